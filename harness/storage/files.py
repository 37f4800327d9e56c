"""How are files written, linked and read without leaving halves behind or following a container's links?"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import uuid
from typing import TYPE_CHECKING

from harness.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = [
    "alone_in",
    "clone",
    "link_or_clone",
    "make_folders",
    "move",
    "printable",
    "read_text",
    "real_folder",
    "storage_errors",
    "walk_files",
    "walk_followed",
    "write_text",
]

_FICLONE = 0x40049409  # linux/fs.h
FOLDER_MODE, FILE_MODE = 0o755, 0o644


@contextlib.contextmanager
def storage_errors(what: str) -> Iterator[None]:
    """Turn an OSError into a StorageError that says what was being done, and how much room there is.

    Raises:
        StorageError: Disk full, no permission, a file in the way …

    """
    try:
        yield
    except OSError as error:
        place = f" ({printable(str(error.filename))})" if error.filename else ""
        remedy = ""
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            remedy = "make room on that disk, or choose another workspace with --workspace"
        elif error.errno in {errno.EACCES, errno.EPERM}:
            remedy = "make the folder yours, or choose another workspace with --workspace"
        raise StorageError(f"{what}: {error.strerror or error}{place}", remedy=remedy) from error


def printable(name: str) -> str:
    """Write a file's name so that it can be printed and sent, even if its bytes are no UTF-8."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def make_folders(path: Path) -> None:
    """Make a directory and its parents, readable for everybody whatever the caller's umask is."""
    if path.is_dir():
        return
    make_folders(path.parent)
    with contextlib.suppress(FileExistsError):
        path.mkdir()
        path.chmod(FOLDER_MODE)
    if not path.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))


def write_text(path: Path, text: str, *, mode: int = FILE_MODE) -> None:
    """Write a text file whole or not at all: beside it first, then renamed."""
    beside = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        beside.write_text(text, encoding="utf-8")
        beside.chmod(mode)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes that ask for the same out of a folder for a moment, where the system can do that."""
    try:
        import fcntl  # noqa: PLC0415 – not on every platform
    except ImportError:
        yield
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def clone(source: Path, target: Path) -> None:
    """Copy a file's content, without copying bytes where the file system can share them."""
    with source.open("rb") as reading, target.open("xb") as writing:
        if not _reflink(reading.fileno(), writing.fileno()):
            shutil.copyfileobj(reading, writing, 1024 * 1024)
    target.chmod(FILE_MODE)


def _reflink(source: int, target: int) -> bool:
    try:
        import fcntl  # noqa: PLC0415 – not on every platform
    except ImportError:
        return False
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError:
        return False
    return True


def link_or_clone(source: Path, target: Path) -> None:
    """Give a file a second name, or a copy where the file system or its rules do not allow that."""
    real = source.resolve()
    try:
        os.link(real, target)
    except OSError as error:
        if error.errno not in {errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOTSUP}:
            raise
        clone(real, target)


def move(source: Path, target: Path, scratch: Path) -> None:
    """Move a file to its final name in one atomic step, over disks too."""
    try:
        source.replace(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        beside = scratch / uuid.uuid4().hex
        clone(source, beside)
        beside.replace(target)
        source.unlink()


def real_folder(root: Path, relative: str) -> Path | None:
    """Find a folder below a tree that a container wrote; None where it is absent or reached through a link.

    A container may have put a link in the folder's place, or above it: following it would read the host's files.
    """
    path = root
    for part in [part for part in relative.split("/") if part]:
        path /= part
        if not _is_real_folder(path):
            return None
    return path if _is_real_folder(path) else None


def _is_real_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def walk_files(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """List everything below a folder that is no folder: relative POSIX paths in order, each with its ``lstat``.

    Links are listed and not followed.
    """
    pending = [("", root)]
    while pending:
        prefix, folder = pending.pop()
        deeper = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda found: found.name):
                name = f"{prefix}{entry.name}"
                if entry.is_dir(follow_symlinks=False):
                    deeper.append((f"{name}/", folder / entry.name))
                else:
                    yield name, entry.stat(follow_symlinks=False)
        pending.extend(reversed(deeper))


def walk_followed(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """List the files and folders below a caller's own folder: relative POSIX paths in order, each with its ``stat``.

    Links are followed, unlike in what a container wrote: they are the caller's. A folder that leads back to one that
    it lies in is left out, and so are links that lead nowhere.
    """
    pending = [("", root, frozenset({_identity(root.stat())}))]
    while pending:
        prefix, folder, above = pending.pop()
        deeper = []
        for name in sorted(os.listdir(folder)):  # noqa: PTH208 – names, not paths
            path = folder / name
            try:
                info = path.stat()
            except OSError:
                continue
            if stat.S_ISDIR(info.st_mode):
                if _identity(info) in above:
                    continue
                deeper.append((f"{prefix}{name}/", path, above | {_identity(info)}))
            yield f"{prefix}{name}", info
        pending.extend(reversed(deeper))


def _identity(info: os.stat_result) -> tuple[int, int]:
    return info.st_dev, info.st_ino


def read_text(root: Path, relative: str, *, limit_bytes: int) -> str | None:
    """Read the beginning of a text file that a container wrote; None where there is no regular file.

    Bytes that are no UTF-8 are replaced. Links are not followed.
    """
    folder, _, name = relative.rpartition("/")
    home = real_folder(root, folder)
    if home is None:
        return None
    try:
        # Non-blocking: a FIFO in the file's place must not hang the run.
        descriptor = os.open(home / name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:
        return None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        return None
    with os.fdopen(descriptor, "rb") as handle:
        return handle.read(limit_bytes).decode("utf-8", errors="replace")
