"""How do a recipe's packages become files of an image?

uv resolves nothing here: the recipe names every package with its version. It installs them for the image's Python
without needing that Python, and only from wheels, so that nothing of a package is run on this machine.
"""

from __future__ import annotations

import configparser
import re
import sys
from typing import TYPE_CHECKING

from harness.engine.images._indexes import pip_settings, uv_arguments, uv_environment
from harness.engine.images._scratch import find_uv, run_tool
from harness.engine.images._sdists import wheel_folder
from harness.errors import ImageBuildError

if TYPE_CHECKING:
    from pathlib import Path

    from harness.engine.images._indexes import Indexes
    from harness.engine.images._layers import Tree
    from harness.engine.images._recipes import Recipe

__all__ = ["install_packages", "place_packages", "versions"]

PLATFORM = "x86_64-manylinux_2_28"
_SCRIPT = """#!{python}
import sys

from {module} import {start}

if __name__ == "__main__":
    sys.exit({function}())
"""


def install_packages(recipe: Recipe, python: str, folder: Path, *, without: tuple[str, ...] = ()) -> Path:
    """Install a recipe's packages into a folder of this machine.

    Args:
        recipe: Whose packages.
        python: The version that the image has; for another than the recipe's the nearest versions that have wheels
            for it are taken.
        folder: Where the folder is made.
        without: Packages that come from elsewhere.

    Raises:
        ImageBuildError: A package is not to be had.

    """
    exact = python == recipe.python and not without
    sign = "==" if exact else ">="
    indexes = pip_settings()
    wheels = wheel_folder(indexes, recipe.sources)
    target, wanted = folder / f"packages-{python}{sign}", folder / f"requirements-{python}{sign}.txt"
    lines = [f"{name}{sign}{version}\n" for name, version in recipe.locked.items() if name not in without]
    wanted.write_text("".join(lines), encoding="utf-8")
    command: list[str | Path] = [
        find_uv(), "pip", "install", "--target", target, "--requirements", wanted, "--no-progress", "--quiet",
        "--python", sys.executable, "--no-python-downloads", "--python-version", python, "--python-platform", PLATFORM,
        "--only-binary", ":all:", "--find-links", wheels,
        *(["--no-deps"] if exact else ["--resolution", "lowest-direct"]),
    ]  # fmt: skip

    def run(asked: Indexes) -> None:
        run_tool(
            [*command, *uv_arguments(asked)],
            doing=f"installing the packages of {recipe.name}",
            remedy="check that pip can reach its index from here; uv uses the same settings",
            environment=uv_environment(asked),
            folder=folder,
        )

    try:
        run(indexes)
    except ImageBuildError:
        if not recipe.indexes or without:
            raise
        run(indexes.model_copy(update={"extra_index_urls": (*indexes.extra_index_urls, *recipe.indexes)}))
    return target


def versions(installed: Path) -> dict[str, str]:
    """Give the version of each installed package."""
    names = (path.name.removesuffix(".dist-info").split("-") for path in installed.glob("*.dist-info"))
    return {name.replace("_", "-").lower(): version for name, version in names}


def place_packages(recipe: Recipe, installed: Path, tree: Tree, *, site: str, python: str) -> None:
    """Put installed packages and their programs where they belong in the image.

    Args:
        recipe: Whose packages.
        installed: Where they are on this machine.
        tree: The image's files.
        site: Python's folder for packages in the image.
        python: The Python that the programs name in their first line.

    """
    for path in sorted(installed.iterdir()):
        if path.name in {"share", "etc", "include"} and path.is_dir():
            tree.copy(path, f"usr/local/{path.name}")
        elif path.is_dir() and path.name not in {"bin", "__pycache__"}:
            tree.copy(path, f"{site}/{path.name}")
        elif path.is_file() and path.name != ".lock":
            tree.file(f"{site}/{path.name}", path)
    _place_programs(recipe, installed, tree, python)


def _place_programs(recipe: Recipe, installed: Path, tree: Tree, python: str) -> None:
    folder = installed / "bin"
    for program in sorted(folder.iterdir()) if folder.is_dir() else []:
        content = program.read_bytes()
        if not content.startswith(b"#!"):
            tree.file(f"usr/local/bin/{program.name}", program, 0o755)
        elif b"python" in content.partition(b"\n")[0]:
            tree.file(f"usr/local/bin/{program.name}", f"#!{python}\n".encode() + content.partition(b"\n")[2], 0o755)
    for name, entry_point in (*_entry_points(installed), *sorted(recipe.scripts.items())):
        module, _, function = entry_point.partition(":")
        function = re.sub(r"\s*\[.*", "", function).strip()
        text = _SCRIPT.format(python=python, module=module.strip(), function=function, start=function.partition(".")[0])
        tree.file(f"usr/local/bin/{name}", text.encode(), 0o755)


def _entry_points(installed: Path) -> list[tuple[str, str]]:
    found = []
    for file in sorted(installed.glob("*.dist-info/entry_points.txt")):
        parser = configparser.RawConfigParser(delimiters=("=",))
        parser.optionxform = str  # type: ignore[assignment,method-assign]
        parser.read_string(file.read_text(encoding="utf-8"))
        if parser.has_section("console_scripts"):
            found += parser.items("console_scripts")
    return found
