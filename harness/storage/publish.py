"""What happens to the files that a finished job left in its output folders?"""

from __future__ import annotations

import stat
import uuid
from typing import TYPE_CHECKING

from harness.service.inputs import join_uri
from harness.service.spec import Frozen
from harness.storage import archives, files
from harness.storage.staging import StagedHost, locate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from harness.service.spec import Publication
    from harness.storage.bucket import BucketStore

__all__ = ["Published", "publish"]


class Published(Frozen):
    """What one publication put into the store."""

    name: str
    uri: str
    objects: int = 0
    bytes_total: int = 0
    notes: tuple[str, ...] = ()


def publish(
    publication: Publication,
    hosts: Sequence[StagedHost],
    store: BucketStore,
    *,
    writer: str,
    later: Iterable[Publication] = (),
) -> Published:
    """Publish one directory of a job's containers.

    Regular files only: links are not followed and not uploaded, empty folders vanish (contract b.7). Keys that the job
    did not write stay. Files are moved, not copied: the store is the only place that has them afterwards – unless one
    of the publications that come ``later`` needs them too.

    Raises:
        KeyLayoutError: A key cannot be a file of the workspace.
        OSError: The disk is full.

    """
    roots = [root for staged in hosts if (root := locate(staged, publication.path))]
    if publication.form == "archive":
        return _archive(publication, roots, store, writer)
    needed_again = any(_nested(publication.path, other.path) for other in later)
    return _files(publication, roots, store, writer, copied=needed_again)


def _nested(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _files(
    publication: Publication, roots: Sequence[Path], store: BucketStore, writer: str, *, copied: bool
) -> Published:
    count, total, skipped, seen, twice = 0, 0, 0, set[str](), 0
    for root in roots:
        for name, info in list(files.walk_files(root)):
            if not stat.S_ISREG(info.st_mode):
                skipped += 1
                continue
            twice += name in seen
            seen.add(name)
            source = _copy(root / name, store) if copied else root / name
            try:
                store.put(source, join_uri(publication.uri, name), writer=writer)
            finally:
                if copied:
                    source.unlink(missing_ok=True)
            count, total = count + 1, total + info.st_size
    notes = []
    if skipped:
        notes.append(
            f"output {publication.name!r}: {skipped} link(s) or special file(s) not uploaded, as on the service"
        )
    if twice:
        notes.append(f"output {publication.name!r}: {twice} file(s) written by several hosts, the last one's are kept")
    return Published(name=publication.name, uri=publication.uri, objects=count, bytes_total=total, notes=tuple(notes))


def _copy(source: Path, store: BucketStore) -> Path:
    beside = store.scratch / uuid.uuid4().hex
    files.clone(source, beside)
    return beside


def _archive(publication: Publication, roots: Sequence[Path], store: BucketStore, writer: str) -> Published:
    beside = store.scratch / f"{uuid.uuid4().hex}.tar.gz"
    try:
        packed = archives.pack(roots, beside)
        if not packed.members:
            return Published(name=publication.name, uri=publication.uri)
        store.put(beside, publication.uri, writer=writer)
    finally:
        beside.unlink(missing_ok=True)
    notes = []
    if packed.skipped:
        notes.append(f"{publication.path}: {len(packed.skipped)} link(s) or special file(s) not packed")
    if packed.collisions:
        notes.append(
            f"{publication.path}: {len(packed.collisions)} file(s) written by several hosts, the last one's are kept"
        )
    return Published(
        name=publication.name, uri=publication.uri, objects=1, bytes_total=packed.bytes_total, notes=tuple(notes)
    )
