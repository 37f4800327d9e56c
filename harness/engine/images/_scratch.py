"""Where do image builds keep what they may need again, and how do they keep out of each other's way?"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import subprocess
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from harness.errors import ImageBuildError, ImageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

__all__ = ["cache_folder", "exclusively", "find_uv", "run_tool", "scratch"]

LAST_LINES = 15


def cache_folder(*parts: str) -> Path:
    """Give (and make) a folder in the user's cache directory."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    folder = Path(home, "sagemaker-harness", *parts)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ImageBuildError(
            f"cannot write the cache folder {folder}: {error.strerror}",
            remedy="make it writable, or set XDG_CACHE_HOME to a folder that is",
        ) from error
    return folder


@contextlib.contextmanager
def exclusively(name: str, *, waiting: Callable[[], object] = lambda: None) -> Iterator[None]:
    """Let one thread of one process in at a time; the kernel lets go when the process ends, however it ends.

    Args:
        name: What is locked.
        waiting: Called once if somebody else is in.

    """
    with (cache_folder("locks") / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            waiting()
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Give a folder that is gone afterwards; a killed process's folder is removed by the next build."""
    root = cache_folder("scratch")
    _sweep(root)
    folder = root / uuid.uuid4().hex
    guard = folder.with_suffix(".lock")
    with guard.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)
            guard.unlink(missing_ok=True)


def run_tool(
    command: Sequence[str | Path],
    *,
    doing: str,
    remedy: str = "",
    environment: Mapping[str, str] | None = None,
    folder: Path | None = None,
    stdin: str | None = None,
) -> str:
    """Run a program and give what it wrote on standard output.

    Args:
        command: The program and its arguments.
        doing: What it is run for, for the error text.
        remedy: What to do if it fails.
        environment: Variables on top of this process's.
        folder: Where to run it.
        stdin: What it reads.

    Raises:
        ImageBuildError: It is missing or ended with an error; its last lines are in the text.

    """
    try:
        done = subprocess.run(
            [str(part) for part in command],
            env={**os.environ, **(environment or {})},
            cwd=folder,
            input=stdin,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise ImageBuildError(f"{doing}: cannot run {command[0]}: {error.strerror}", remedy=remedy) from error
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines()[-LAST_LINES:]
        raise ImageBuildError(
            "\n".join([f"{doing}: {Path(command[0]).name} ended with {done.returncode}", *(f"    {x}" for x in lines)]),
            remedy=remedy,
        )
    return done.stdout


def find_uv() -> str:
    """Give the path of uv, which resolves and installs the packages.

    Raises:
        ImageError: It is not installed.

    """
    with contextlib.suppress(ImportError, FileNotFoundError):
        from uv import find_uv_bin  # noqa: PLC0415 - an extra of this package

        return str(find_uv_bin())
    if found := shutil.which("uv"):
        return found
    raise ImageError(
        "stand-in images are built with uv, which is not installed",
        remedy="pip install 'sagemaker-harness[images]'",
    )


def _sweep(root: Path) -> None:
    for guard in root.glob("*.lock"):
        with contextlib.suppress(OSError), guard.open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(guard.with_suffix(""), ignore_errors=True)
            guard.unlink(missing_ok=True)
