"""On which Python is a stand-in image built?

In this order: ``python:3.X-slim`` if the engine has it, or may pull it and the registry answers at once → a root file
system made from a Python of this machine → Debian's Python, whose version may be another one.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.engine.images import _debian, _rootfs
from harness.engine.images._interpreters import Interpreter, find_interpreter
from harness.engine.images._layers import CREATED, Layer, load_image
from harness.engine.images._recipes import BUILDER, NAMESPACE
from harness.engine.images._scratch import exclusively, scratch
from harness.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

__all__ = ["Base", "find_base"]

REPOSITORY = f"{NAMESPACE}/base"
_ANSWER_S = 5


@dataclass(frozen=True)
class Base:
    """An image with a Python and the usual tools."""

    image: str
    python: str
    site: str
    """Python's folder for packages, without the slash in front."""
    executable: str
    made: str
    """How it came to be, in words."""
    interpreter: Interpreter | None = None
    """A Python of this machine that writes the same byte code."""


def find_base(
    client: docker.DockerClient,
    python: str,
    *,
    debian: tuple[str, ...] = (),
    allow_pull: bool,
    jobs: int,
    progress: Callable[[str], None],
) -> Base:
    """Find an image with a Python, or make one.

    Args:
        client: The engine.
        python: The version wanted, such as ``3.10``.
        debian: Debian packages that it must have: then only Debian's own Python will do.
        allow_pull: Whether the registry may be asked.
        jobs: How many processes may work on it.
        progress: Told what is going on.

    Raises:
        ImageBuildError: No way led to one.

    """
    tried = []
    if not debian:
        slim = f"python:{python}-slim"
        found = _architecture(client, slim)
        if found is None and allow_pull and _registry_answers(client, slim):
            progress(f"pulling {slim}")
            _pull(client, slim)
            found = _architecture(client, slim)
        if found == "amd64":
            return _slim(slim, python)
        tried.append(f"{slim} is not in the engine" if found is None else f"{slim} in the engine is for {found}")
        interpreter = find_interpreter(python)
        if interpreter:
            return _of_this_machine(client, interpreter, jobs=jobs, progress=progress)
        tried.append(f"there is no Python {python} for Linux on x86-64 here (looked on PATH, in pyenv's and in uv's)")
    why_not = _debian.why_not()
    if why_not:
        tried.append(f"no root file system of Debian: {why_not}")
        raise ImageBuildError(
            "\n".join([f"no base with Python {python} for stand-in images", *(f"    {line}" for line in tried)]),
            remedy=f"docker pull --platform linux/amd64 python:{python}-slim, or: uv python install {python}",
        )
    return _of_debian(client, python, debian, progress=progress)


def _slim(image: str, python: str) -> Base:
    return Base(
        image=image,
        python=python,
        site=f"usr/local/lib/python{python}/site-packages",
        executable=f"/usr/local/bin/python{python}",
        made=f"from {image}",
        interpreter=find_interpreter(python),
    )


def _of_this_machine(
    client: docker.DockerClient, interpreter: Interpreter, *, jobs: int, progress: Callable[[str], None]
) -> Base:
    python = interpreter.short
    tag = f"{REPOSITORY}:py{python}-{_rootfs.identity(interpreter)}-{BUILDER}"
    made = f"root file system made from this machine's CPython {interpreter.version}"
    with exclusively(f"base-py{python}", waiting=lambda: progress(f"waiting for another build of Python {python}")):
        if _architecture(client, tag) is None:
            progress(f"making a root file system with this machine's Python {interpreter.version}")
            with scratch() as folder:
                layer = _rootfs.make_rootfs(interpreter, folder, jobs=jobs).write(folder / "layer.tar")
                _load(client, tag, layer, made)
    return Base(
        image=tag,
        python=python,
        site=f"usr/local/lib/python{python}/{interpreter.packages}",
        executable=f"/usr/local/bin/python{python}",
        made=made,
        interpreter=interpreter,
    )


def _of_debian(
    client: docker.DockerClient, python: str, packages: tuple[str, ...], *, progress: Callable[[str], None]
) -> Base:
    suite = _debian.suite_for(python)
    tag = f"{REPOSITORY}:{suite.name}-py{suite.python}-{_debian.identity(suite, packages)}-{BUILDER}"
    made = f"Debian {suite.name} with its Python {suite.python}"
    with exclusively(
        f"base-{suite.name}", waiting=lambda: progress(f"waiting for another build of Debian {suite.name}")
    ):
        if _architecture(client, tag) is None:
            progress(f"making a root file system of Debian {suite.name}, with Python {suite.python}")
            with scratch() as folder:
                layer = _debian.make_layer(suite, packages, folder, progress=progress)
                _load(client, tag, layer, made)
    return Base(
        image=tag,
        python=suite.python,
        site=f"usr/local/lib/python{suite.python}/dist-packages",
        executable=f"/usr/bin/python{suite.python}",
        made=made,
        interpreter=find_interpreter(suite.python),
    )


def _load(client: docker.DockerClient, tag: str, layer: Layer, made: str) -> None:
    history = [{"created": CREATED, "created_by": f"sagemaker-harness: {made}"}]
    settings = {"Env": [f"PATH={_rootfs.PATH}", "LANG=C.UTF-8"], "Labels": {f"{NAMESPACE}.base": made}}
    load_image(client, tag, [layer], settings, history=history)


def _architecture(client: docker.DockerClient, image: str) -> str | None:
    from docker.errors import ImageNotFound  # noqa: PLC0415 - `--help` does not pay for it

    try:
        return str(client.images.get(image).attrs["Architecture"])
    except ImageNotFound:
        return None


def _registry_answers(client: docker.DockerClient, image: str) -> bool:
    """Ask for the image, and take no answer within a few seconds for a no."""
    from docker.errors import DockerException  # noqa: PLC0415 - `--help` does not pay for it
    from requests.exceptions import RequestException  # noqa: PLC0415

    answers: list[Any] = []

    def ask() -> None:
        try:
            answers.append(client.images.get_registry_data(image))
        except (DockerException, RequestException):
            return

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(_ANSWER_S)
    return bool(answers)


def _pull(client: docker.DockerClient, image: str) -> None:
    from docker.errors import DockerException  # noqa: PLC0415 - `--help` does not pay for it

    try:
        client.images.pull(image, platform="linux/amd64")
    except DockerException:
        return  # the next way is tried
