"""How are model.tar.gz and output.tar.gz packed, and how is a container's tar read without trusting it?"""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import stat
import tarfile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, NoReturn, cast

from harness.errors import ArchiveError
from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Packed", "extract", "pack", "pack_folder"]

_GZIP_LEVEL = 1  # the archive is read on this machine: time matters, size does not
_MAX_MEMBERS = 1_000_000
_PERMISSIONS = 0o777  # not setuid and the like


class Packed:
    """What went into an archive, and what did not."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self.members = 0
        self.bytes_total = 0
        self.skipped: list[str] = []
        """Links and special files: they are not packed (contract, DECIDED 14)."""
        self.collisions: list[str] = []
        """Files that several hosts wrote: the last host's is kept (contract a.8)."""


def pack(roots: Sequence[Path], target: Path) -> Packed:
    """Pack the contents of one or several folders as the service does.

    Bare entry names without ``./``, directory entries included, owner 0/0 without names, a gzip header without time
    (contract a.8, from a real archive). Folders of several hosts are merged.

    Nothing is written when the folders hold no file: an empty ``/opt/ml/model`` makes no object (contract a.8).
    """
    packed = Packed()
    entries = _entries(roots, packed)
    if not any(stat.S_ISREG(info.st_mode) for _, info in entries.values()):
        return packed
    with (
        target.open("xb") as raw,
        gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.GNU_FORMAT, bufsize=1024 * 1024) as tar,
    ):
        for name, (path, info) in sorted(entries.items()):
            _add(tar, name, path, info)
            packed.members += 1
            packed.bytes_total += info.st_size if stat.S_ISREG(info.st_mode) else 0
    return packed


def pack_folder(folder: Path, target: Path) -> Packed:
    """Pack a caller's own folder, such as a source directory; links are followed there, since they are the caller's."""
    packed = Packed()
    with (
        target.open("xb") as raw,
        gzip.GzipFile("", "wb", _GZIP_LEVEL, raw, mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w|", format=tarfile.GNU_FORMAT) as tar,
    ):
        for name, info in files.walk_followed(folder):
            if "__pycache__" in name.split("/"):
                continue
            if stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode):
                _add(tar, name, folder / name, info)
                packed.members += 1
    return packed


def _entries(roots: Sequence[Path], packed: Packed) -> dict[str, tuple[Path, os.stat_result]]:
    entries: dict[str, tuple[Path, os.stat_result]] = {}
    for root in roots:
        for folder, names, others in os.walk(root, onerror=_raise):
            here = Path(folder)
            for name in [*names, *others]:
                path = here / name
                info = path.lstat()
                relative = path.relative_to(root).as_posix()
                if not (stat.S_ISREG(info.st_mode) or stat.S_ISDIR(info.st_mode)):
                    packed.skipped.append(relative)
                    continue
                if relative in entries and stat.S_ISREG(info.st_mode):
                    packed.collisions.append(relative)
                entries[relative] = (path, info)
    return entries


def _raise(error: OSError) -> NoReturn:
    raise error  # a folder that cannot be read must not look like an empty one


def _add(tar: tarfile.TarFile, name: str, path: Path, info: os.stat_result) -> None:
    member = tarfile.TarInfo(name)
    member.mode, member.mtime = stat.S_IMODE(info.st_mode), int(info.st_mtime)
    if stat.S_ISDIR(info.st_mode):
        member.type = tarfile.DIRTYPE
        tar.addfile(member)
        return
    member.size = info.st_size
    with path.open("rb") as handle:
        tar.addfile(member, handle)


class _Chunks:
    """A stream of chunks, as a file that tarfile can read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks, self._rest = iter(chunks), b""

    def read(self, size: int) -> bytes:
        while len(self._rest) < size:
            more = next(self._chunks, None)
            if more is None:
                break
            self._rest += more
        taken, self._rest = self._rest[:size], self._rest[size:]
        return taken


def extract(chunks: Iterable[bytes], target: Path, *, top: str) -> list[str]:
    """Unpack the tar that an engine made of a container's folder, trusting nothing in it.

    Only regular files and directories are made, only below ``target``; since no link is ever made, none can be
    followed. A file's further names (hard links) become copies. Of the modes only the permissions are taken over, and
    the caller can always read. The archive's entries begin with the folder's own name ``top``.

    Returns:
        What was left out: symbolic links and special files.

    Raises:
        ArchiveError: An entry's name leads outside, or is there twice; there are too many; the archive is broken.

    """
    left_out = []
    made: set[Path] = set()
    stream: IO[bytes] = _Chunks(chunks)  # type: ignore[assignment]
    try:
        with tarfile.open(fileobj=stream, mode="r|") as tar:
            for count, member in enumerate(tar):
                if count >= _MAX_MEMBERS:
                    raise ArchiveError(f"more than {_MAX_MEMBERS} entries in the container's folder {top}")
                path = _place(target, member.name, top)
                if member.isdir():
                    files.make_folders(path)
                    path.chmod(member.mode & _PERMISSIONS | stat.S_IRWXU)
                elif member.isreg():
                    files.make_folders(path.parent)
                    with path.open("xb") as handle:
                        shutil.copyfileobj(cast("IO[bytes]", tar.extractfile(member)), handle, 1024 * 1024)
                    _dress(path, member)
                    made.add(path)
                elif member.islnk() and (source := _earlier(target, member.linkname, top, made)):
                    files.make_folders(path.parent)
                    files.clone(source, path)
                    _dress(path, member)
                else:
                    left_out.append(member.name)
    except tarfile.TarError as error:
        raise ArchiveError(f"the archive of the container's folder {top} cannot be read: {error}") from error
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArchiveError(f"refused: an entry of the container's folder {top} stands in the way of another") from error
    return left_out


def _dress(path: Path, member: tarfile.TarInfo) -> None:
    path.chmod(member.mode & _PERMISSIONS | stat.S_IRUSR | stat.S_IWUSR)
    with contextlib.suppress(OverflowError):  # a container may date its files as it likes
        os.utime(path, (member.mtime, member.mtime))


def _earlier(target: Path, name: str, top: str, made: set[Path]) -> Path | None:
    """Find the file that a hard link is another name of, if this archive brought it."""
    parts = PurePosixPath(name).parts
    path = target.joinpath(*parts[1:])
    return path if parts[:1] == (top,) and path in made else None


def _place(target: Path, name: str, top: str) -> Path:
    parts = PurePosixPath(name).parts
    if not parts or parts[0] != top or ".." in parts:
        raise ArchiveError(f"refused: the entry {name!r} does not lie inside of {top!r}")
    return target.joinpath(*parts[1:])
