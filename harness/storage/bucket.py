"""Where does ``s3://bucket/key`` lie? In ``<workspace>/s3/bucket/key``, written whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import KeyLayoutError
from harness.service.inputs import split_uri
from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["BucketStore"]

_MAX_NAME_BYTES = 255
_MAX_KEY_BYTES = 1024  # S3's own


class BucketStore:
    """S3 as a directory: buckets are folders, objects are files.

    Several threads and several runs may use one store at the same time: an object appears by a rename, so a reader
    sees the old one or the new one, never a part.
    """

    def __init__(self, root: Path, scratch: Path) -> None:
        """Keep the folder of the buckets, and one on the same disk for what is not finished."""
        self.root, self.scratch = root, scratch
        self._writers: dict[str, str] = {}
        self._lock = threading.Lock()

    def path(self, uri: str) -> Path:
        """Find an object's file, whether it exists or not.

        Raises:
            KeyLayoutError: The key cannot be a file's path here.

        """
        bucket, key = split_uri(uri)
        parts = [bucket, *key.split("/")] if key else [bucket]
        for part in parts:
            self._check_part(part, uri)
        if (size := len(key.encode())) > _MAX_KEY_BYTES:
            raise KeyLayoutError(f"the key of {uri!r} has {size} bytes: S3 allows {_MAX_KEY_BYTES}")
        return self.root.joinpath(*parts)

    @staticmethod
    def _check_part(part: str, uri: str) -> None:
        trouble = ""
        if part in {"", ".", ".."}:
            trouble = f"has a part {part!r}" if part else "has an empty part"
        elif "\0" in part:
            trouble = "has a NUL character"
        else:
            try:
                size = len(part.encode("utf-8"))
            except UnicodeEncodeError:
                trouble = "is no UTF-8"
            else:
                trouble = f"has a part of {size} bytes (at most {_MAX_NAME_BYTES})" if size > _MAX_NAME_BYTES else ""
        if trouble:
            raise KeyLayoutError(f"the key of {uri!r} {trouble}: it cannot be a file of the workspace")

    def keys(self, uri: str) -> list[str]:
        """List the keys that begin with the URI's key, in S3's order (by UTF-8 bytes). A *string* prefix, as on S3."""
        bucket, prefix = split_uri(uri)
        folder, slash, start = prefix.rpartition("/")
        if slash and not folder:
            return []  # a key that begins with a slash has an empty part
        try:
            home = self.path(f"s3://{bucket}/{folder}" if folder else f"s3://{bucket}")
        except KeyLayoutError:
            return []
        found = self._below(home, f"{folder}/" if folder else "", start)
        return sorted(found, key=lambda key: key.encode("utf-8", "surrogateescape"))

    def _below(self, home: Path, prefix: str, start: str) -> Iterator[str]:
        pending = [(home, prefix, start)]
        while pending:
            folder, above, begin = pending.pop()
            try:
                entries = os.scandir(folder)
            except (FileNotFoundError, NotADirectoryError):
                continue
            with entries:
                for entry in entries:
                    if not entry.name.startswith(begin):
                        continue
                    # Links are the user's own here (nothing that a container makes gets into the store): followed.
                    if entry.is_dir():
                        pending.append((folder / entry.name, f"{above}{entry.name}/", ""))
                    elif entry.is_file():
                        yield f"{above}{entry.name}"

    def size(self, uri: str) -> int:
        """Tell an object's size in bytes."""
        return self.path(uri).stat().st_size

    def read_json(self, uri: str) -> Any:
        """Read an object as JSON.

        Raises:
            FileNotFoundError: There is no such object.
            ValueError: It is no JSON.

        """
        return json.loads(self.path(uri).read_bytes())

    def put(self, source: Path, uri: str, *, writer: str) -> None:
        """Move a finished file into the store as an object; whatever had the key is replaced.

        Args:
            source: A file of ours; it is gone afterwards.
            uri: The object's URI.
            writer: Who wrote it, for the error text of a later collision.

        Raises:
            KeyLayoutError: The key is a prefix of other objects already, or one of its parents is an object.

        """
        target = self.path(uri)
        try:
            files.make_folders(target.parent)
            source.chmod(files.FILE_MODE)  # S3 knows no modes: what comes out again is root's, 0644 (contract a.2)
            try:
                files.move(source, target, self.scratch)
            except OSError:
                if not _drop_empty(target):
                    raise
                files.move(source, target, self.scratch)
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise self._collision(uri, writer) from error
        except OSError as error:
            if error.errno in {errno.ENOTEMPTY, errno.EISDIR, errno.ENOTDIR, errno.EEXIST}:
                raise self._collision(uri, writer) from error
            raise
        with self._lock:
            self._writers[uri] = writer

    def _collision(self, uri: str, writer: str) -> KeyLayoutError:
        target = self.path(uri)
        bucket = split_uri(uri)[0]
        if target.is_dir():
            other = next((f"s3://{bucket}/{key}" for key in self.keys(f"{uri}/")), f"{uri}/")
        else:
            taken = next(parent for parent in [target, *target.parents] if parent.exists())
            other = f"s3://{taken.relative_to(self.root).as_posix()}"
        with self._lock:
            owner = self._writers.get(other, "something before this run")
        return KeyLayoutError(
            f"{uri} (written by {writer}) and {other} (written by {owner}) cannot both exist here: "
            "one is an object and a prefix of the other at the same time",
            remedy="S3 allows that, a directory does not: give one of them another key",
        )


def _drop_empty(folder: Path) -> bool:
    """Remove a folder that holds nothing but empty folders: to S3 it does not exist. True if it is gone."""
    if not folder.is_dir():
        return False
    for here, _, _ in os.walk(folder, topdown=False):
        with contextlib.suppress(OSError):
            Path(here).rmdir()
    return not folder.exists()
