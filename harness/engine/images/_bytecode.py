"""How do Python's byte-code files get into an image, valid for the times that its files will have?

Without them a first ``import pandas`` costs seconds in every container, and ``PYTHONDONTWRITEBYTECODE`` keeps it so.
The script runs in the Python that the image has: on this machine if it is here, else in a container.
"""

from __future__ import annotations

import io
import shutil
import tarfile
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from harness.engine.images._layers import EPOCH
from harness.engine.images._scratch import run_tool
from harness.engine.labels import RUN, owner_labels
from harness.errors import ImageBuildError

if TYPE_CHECKING:
    import docker

__all__ = ["compile_here", "compile_in_container"]

_SKIP = ("test", "tests", "lib2to3", "idlelib", "turtledemo")
_SCRIPT = f"""
import importlib.util, marshal, os, struct, sys, warnings
from concurrent.futures import ProcessPoolExecutor
warnings.simplefilter("ignore")

def one(job):
    source, shown, target = job
    try:
        with open(source, "rb") as file:
            content = file.read()
        code = compile(content, shown, "exec", dont_inherit=True)
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # a template, or a file for another Python
    os.makedirs(os.path.dirname(target), exist_ok=True)
    with open(target, "wb") as file:
        file.write(importlib.util.MAGIC_NUMBER + struct.pack("<III", 0, {EPOCH}, len(content)) + marshal.dumps(code))

def jobs(root, shown, out):
    for folder, folders, files in os.walk(root):
        folders[:] = sorted(f for f in folders if f not in {_SKIP!r} and f != "__pycache__")
        place = os.path.relpath(folder, root)
        for name in sorted(files):
            if name.endswith(".py"):
                cached = importlib.util.cache_from_source(name)
                yield (os.path.join(folder, name), os.path.normpath(os.path.join(shown, place, name)),
                       os.path.normpath(os.path.join(out, place, cached)))

if __name__ == "__main__":
    root, shown, out, workers = sys.argv[1:]
    with ProcessPoolExecutor(int(workers)) as pool:
        for _ in pool.map(one, jobs(root, shown, out), chunksize=32):
            pass
"""


def compile_here(interpreter: Path, folder: Path, *, place: str, into: Path, jobs: int) -> None:
    """Compile what is below a folder with an interpreter of this machine.

    Args:
        interpreter: The Python to compile for.
        folder: Where the sources are.
        place: Where they will be in the image.
        into: Where the byte code goes, laid out as the sources are.
        jobs: How many processes work on it.

    """
    command: list[str | Path] = [interpreter, "-I", "-c", _SCRIPT, folder, place, into, str(jobs)]
    run_tool(command, doing="compiling Python files")


def compile_in_container(
    client: docker.DockerClient, image: str, python: str, folder: Path, *, place: str, into: Path, jobs: int
) -> None:
    """Compile what is below a folder with the Python of an image; nothing of this machine is mounted."""
    from docker.errors import DockerException  # noqa: PLC0415 - `--help` does not pay for it

    command = [python, "-I", "-c", _SCRIPT, "/harness/in", place, "/harness/out", str(jobs)]
    try:
        container = client.containers.create(
            image,
            command,
            entrypoint=[],
            labels={RUN: "stand-in", **owner_labels()},
            network_mode="none",
            working_dir="/",
        )
    except DockerException as error:
        raise ImageBuildError(f"compiling Python files in {image}: {error}") from error
    try:
        container.put_archive("/", _sources(folder))
        container.start()
        code = container.wait()["StatusCode"]
        if code:
            last = container.logs(tail=15).decode("utf-8", "replace")
            raise ImageBuildError(f"compiling Python files in {image}: ended with {code}\n{last}")
        chunks, _ = container.get_archive("/harness/out")
        _unpack(b"".join(chunks), into)
    except DockerException as error:
        raise ImageBuildError(f"compiling Python files in {image}: {error}") from error
    finally:
        container.remove(force=True)


def _sources(folder: Path) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name in ("harness", "harness/in", "harness/out"):
            info = tarfile.TarInfo(name)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for path in sorted(folder.rglob("*.py")):
            if path.is_file() and not set(path.relative_to(folder).parts[:-1]) & set(_SKIP):
                tar.add(path, f"harness/in/{path.relative_to(folder)}")
    return buffer.getvalue()


def _unpack(archive: bytes, into: Path) -> None:
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            name = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            content = tar.extractfile(member) if member.isfile() and ".." not in name.parts else None
            if content:
                target = into / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as out:
                    shutil.copyfileobj(content, out)
