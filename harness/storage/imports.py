"""How do a caller's own files (``--input s3://…=PATH``) become objects of the store, without being touched?"""

from __future__ import annotations

import json
import shutil
import stat
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.errors import KeyLayoutError, Mistake
from harness.service.inputs import join_uri, split_uri
from harness.storage import archives, files

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from harness.storage.bucket import BucketStore

__all__ = ["GivenInput", "bring_in", "read_given"]

_ARCHIVES = (".tar.gz", ".tgz")


@dataclass(frozen=True)
class GivenInput:
    """One ``s3://…=PATH`` and the objects that it stands for."""

    uri: str
    path: Path
    packed: bool
    """A folder that becomes one tar.gz."""
    objects: Mapping[str, Path] = field(default_factory=dict)
    """Source files by object URI; for a packed folder the one object with the folder itself."""


def read_given(given: Mapping[str, Path], store: BucketStore) -> tuple[tuple[GivenInput, ...], list[Mistake]]:
    """Look at what the caller gave; nothing is copied yet.

    A file takes the key (or, with a URI that ends in a slash, its name below it); a folder's files go below the prefix;
    a folder for a key that ends in ``.tar.gz`` is packed.
    """
    found, mistakes = [], []
    for uri, path in given.items():
        try:
            store.path(uri.rstrip("/"))
        except (ValueError, KeyLayoutError) as error:
            mistakes.append(Mistake("--input", str(error)))
            continue
        if not path.exists():
            mistakes.append(Mistake("--input", f"{path} does not exist (given for {uri})"))
            continue
        one = _given(uri, path)
        if not one.objects:
            mistakes.append(Mistake("--input", f"{path} holds no file (given for {uri})"))
        mistakes += _misplaced(one, store)
        found.append(one)
    return tuple(found), mistakes


def _misplaced(given: GivenInput, store: BucketStore) -> Iterator[Mistake]:
    """Find files whose names cannot be keys."""
    for uri in given.objects:
        try:
            store.path(uri)
        except KeyLayoutError as error:
            yield Mistake("--input", str(error))


def _given(uri: str, path: Path) -> GivenInput:
    if path.is_file():
        target = join_uri(uri, path.name) if uri.endswith("/") or not split_uri(uri)[1] else uri
        return GivenInput(uri, path, packed=False, objects={target: path})
    inside = [name for name, info in files.walk_followed(path) if stat.S_ISREG(info.st_mode)] if path.is_dir() else []
    if uri.endswith(_ARCHIVES):
        return GivenInput(uri, path, packed=True, objects={uri: path} if inside else {})
    return GivenInput(uri, path, packed=False, objects={join_uri(uri, name): path / name for name in inside})


def bring_in(given: GivenInput, store: BucketStore, record: Path) -> int:
    """Copy what changed since the last time into the store, and take away what came from there and is gone.

    Args:
        given: What the caller gave.
        store: The store.
        record: A JSON file of ours that remembers earlier imports.

    Returns:
        How many objects were written.

    """
    known = _read_record(record)
    before: dict[str, Any] = known.get(given.uri, {}).get("objects", {})
    now: dict[str, Any] = {}
    written = 0
    for uri, entry in before.items():  # first: what is new may need the place of what is gone
        target = store.path(uri)
        if uri not in given.objects and _stamp(target) == entry["stored"]:  # ours and unchanged
            target.unlink(missing_ok=True)
    for uri, source in given.objects.items():
        signature = _signature(source, packed=given.packed)
        target = store.path(uri)
        entry = before.get(uri)
        if entry is None or entry["source"] != signature or _stamp(target) != entry["stored"]:
            _copy(source, uri, store, packed=given.packed)
            written += 1
        now[uri] = {"source": signature, "stored": _stamp(target)}
    if now != before:
        with files.alone_in(record.parent):
            known = _read_record(record)  # again: another run may have written meanwhile
            known[given.uri] = {"path": str(given.path), "objects": now}
            files.write_text(record, json.dumps(known, indent=1, sort_keys=True))
    return written


def _copy(source: Path, uri: str, store: BucketStore, *, packed: bool) -> None:
    beside = store.scratch / uuid.uuid4().hex
    try:
        if packed:
            archives.pack_folder(source, beside)
        else:
            files.clone(source, beside)
            shutil.copystat(source, beside)
        store.put(beside, uri, writer=f"--input {source}")
    finally:
        beside.unlink(missing_ok=True)


def _signature(source: Path, *, packed: bool) -> list[Any]:
    if not packed:
        return [str(source.resolve()), *(_stamp(source) or [])]
    return [
        [name, *_stamp_of(info)]
        for name, info in files.walk_followed(source)
        if stat.S_ISREG(info.st_mode) and "__pycache__" not in name.split("/")
    ]


def _stamp(path: Path) -> list[int] | None:
    """Size, modification time and inode: what changes when a file is written again."""
    try:
        return _stamp_of(path.stat())
    except OSError:
        return None


def _stamp_of(info: os.stat_result) -> list[int]:
    return [info.st_size, info.st_mtime_ns, info.st_ino]


def _read_record(record: Path) -> dict[str, Any]:
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return known if isinstance(known, dict) else {}
