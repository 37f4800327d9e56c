"""How do a recipe, a base and packages become a stand-in image?"""

from __future__ import annotations

import concurrent.futures
import json
from typing import TYPE_CHECKING, Any

from harness.engine.images._bases import find_base
from harness.engine.images._bytecode import compile_here, compile_in_container
from harness.engine.images._layers import CREATED, Tree, load_image, parent_layers
from harness.engine.images._recipes import LABEL
from harness.engine.images._trees import install_packages, place_packages, versions
from harness.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import docker

    from harness.engine.images._bases import Base
    from harness.engine.images._recipes import Recipe

__all__ = ["assemble"]


def assemble(
    client: docker.DockerClient,
    recipe: Recipe,
    tag: str,
    folder: Path,
    *,
    progress: Callable[[str], None],
    jobs: int,
    allow_pull: bool,
) -> None:
    """Build a recipe's image.

    Args:
        client: The engine.
        recipe: What to build.
        tag: The image's name; it appears at the end.
        folder: Where intermediate files go.
        progress: Told what is going on.
        jobs: How many processes may work on it.
        allow_pull: Whether a base image may be pulled.

    Raises:
        ImageBuildError: It could not be built.

    """
    base, installed, changes = _base_and_packages(client, recipe, folder, progress, jobs, allow_pull=allow_pull)
    progress(f"{recipe.name}: compiling Python files")
    place, compiled = f"/{base.site}", folder / "compiled"
    if base.interpreter:
        compile_here(base.interpreter.executable, installed, place=place, into=compiled, jobs=jobs)
    else:
        compile_in_container(client, base.image, base.executable, installed, place=place, into=compiled, jobs=jobs)
    tree = _files(recipe, base, installed)
    if compiled.is_dir():
        tree.copy(compiled, base.site)
    progress(f"{recipe.name}: loading the image into the engine")
    layer = tree.write(folder / "layer.tar")
    layers, parent = parent_layers(client, base.image, folder)
    settings = _settings(recipe, base, parent, [*recipe.differences, *changes])
    load_image(client, tag, [*layers, layer], settings, history=_story(recipe, parent, base))


def _base_and_packages(
    client: docker.DockerClient,
    recipe: Recipe,
    folder: Path,
    progress: Callable[[str], None],
    jobs: int,
    *,
    allow_pull: bool,
) -> tuple[Base, Path, list[str]]:
    """Make the base and install the packages, at the same time where the Python is as wanted."""

    def install(python: str, without: tuple[str, ...] = ()) -> Path:
        progress(f"{recipe.name}: installing {len(recipe.locked) - len(without)} packages for Python {python}")
        return install_packages(recipe, python, folder, without=without)

    def base(debian: tuple[str, ...] = ()) -> Base:
        return find_base(client, recipe.python, debian=debian, allow_pull=allow_pull, jobs=jobs, progress=progress)

    with concurrent.futures.ThreadPoolExecutor(max_workers=1) as pool:
        installing = pool.submit(install, recipe.python)
        found = base()
        try:
            installed = installing.result()
        except ImageBuildError:
            if not recipe.debian:
                raise
            progress(f"{recipe.name}: no index offers {', '.join(recipe.fallback_without)} here; taking Debian's")
            found = base(recipe.debian)
            installed = install(found.python, recipe.fallback_without)
            changes = [f"{', '.join(recipe.debian)} of {found.made} instead of {', '.join(recipe.fallback_without)}"]
            return found, installed, changes + _changes(recipe, found, installed)
    if found.python != recipe.python:
        installed = install(found.python)
    return found, installed, _changes(recipe, found, installed)


def _changes(recipe: Recipe, base: Base, installed: Path) -> list[str]:
    """List what another Python than the recipe's made different."""
    if base.python == recipe.python:
        return []
    found = versions(installed)
    other = [
        f"{name}=={found[name]} instead of {name}=={version}: the nearest with a wheel for Python {base.python}"
        for name, version in recipe.locked.items()
        if name in found and found[name] != version
    ]
    return [f"Python {base.python} instead of {recipe.python}: {base.made}", *other]


def _files(recipe: Recipe, base: Base, installed: Path) -> Tree:
    """Lay out what the image has on top of its base."""
    tree = Tree()
    prefix = recipe.python_link or "/usr/local"
    if recipe.python_link:
        tree.link(recipe.python_link, "/usr/local")
    for name in ("python", "python3"):
        tree.link(f"usr/local/bin/{name}", base.executable)
    if "dist-packages" not in base.site:
        tree.hide_below(base.site)  # the base's own pip and what belongs to it
    place_packages(recipe, installed, tree, site=base.site, python=f"{prefix}/bin/{recipe.python_name}")
    for at in recipe.directories:
        tree.folder(at)
    for at, to in recipe.links.items():
        tree.link(at, to)
    for place, path in recipe.files.items():  # a wheel may have lost the files' modes on its way
        tree.file(place, path, 0o755 if path.parent.name == "bin" else 0o644)
    return tree


def _settings(recipe: Recipe, base: Base, parent: dict[str, Any], differences: list[str]) -> dict[str, Any]:
    """Give the image's configuration: the base's variables, the recipe's over them, and what it says of itself."""
    environment = dict(line.split("=", 1) for line in (parent.get("config") or {}).get("Env") or [])
    environment.update(recipe.environment)
    labels = {
        LABEL: recipe.name,
        f"{LABEL}.stands-for": json.dumps(recipe.stands_for.model_dump(), sort_keys=True),
        f"{LABEL}.recipe": recipe.hash,
        f"{LABEL}.python": base.python,
        f"{LABEL}.base": base.made,
        f"{LABEL}.differences": json.dumps(differences),
        **recipe.labels,
    }
    settings: dict[str, Any] = {
        "Env": [f"{name}={value}" for name, value in environment.items()],
        "Labels": labels,
        "Cmd": list(recipe.command) or None,
        "Entrypoint": list(recipe.entrypoint) or None,
        "WorkingDir": "",
        "User": "",
    }
    if recipe.ports:
        settings["ExposedPorts"] = {f"{port}/tcp": {} for port in recipe.ports}
    return settings


def _story(recipe: Recipe, parent: dict[str, Any], base: Base) -> list[dict[str, Any]]:
    """Tell ``docker history`` where the layers come from."""
    own = {"created": CREATED, "created_by": f"sagemaker-harness: {recipe.name}, {base.made}"}
    return [*(parent.get("history") or []), own]
