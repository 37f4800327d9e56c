"""How does a job's ``/opt/ml`` get onto the disk before its container starts?

Three ways, the best that the engine allows:

``overlay``  inputs are hard links in a lower directory under an overlay mount: nothing is copied, the container may
             write into its inputs, the store below stays as it is, and what was written can be told afterwards;
``bind``     inputs are copied (shared by the file system where it can) and the copies are mounted;
``archive``  everything is sent to the engine as a tar and fetched back: the engine sees none of our paths.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from harness.service.spec import Frozen
from harness.storage import files

if TYPE_CHECKING:
    from harness.service.spec import HostSpec, Tree
    from harness.storage.bucket import BucketStore

__all__ = [
    "Mount",
    "StagedHost",
    "StagingMode",
    "changed_inputs",
    "left_out",
    "left_out_list",
    "locate",
    "stage",
]

StagingMode = Literal["overlay", "bind", "archive"]
_BAD_IN_MOUNT_OPTIONS = set(',:\\"')


class Mount(Frozen):
    """One tree of a container on our side."""

    target: str
    kind: Literal["overlay", "bind", "archive"]
    source: Path
    """What the container finds at the start; for an overlay its lower directory."""
    upper: Path | None = None
    """Overlay: what the container changed."""
    work: Path | None = None
    """Overlay: the kernel's own."""
    collected: Path | None = None
    """Where the tree can be read after the end of the job."""


class StagedHost(Frozen):
    """All mounts of one container."""

    mounts: tuple[Mount, ...]
    input_bytes: int


def stage(host: HostSpec, store: BucketStore, home: Path, *, mode: StagingMode) -> StagedHost:
    """Lay one container's trees out below a folder of its own.

    Raises:
        OSError: The disk is full, or an object vanished.

    """
    files.make_folders(home)
    mounts = []
    input_bytes = 0
    for tree in host.trees:
        mount = _mount(tree, home / tree.slug, mode)
        if mount.kind == "overlay":
            for folder in (mount.upper, mount.work):
                if folder:
                    files.make_folders(folder)
        files.make_folders(mount.source)
        # Links would let a container that writes in place change the store: only under an overlay, or for a tar.
        input_bytes += _fill(tree, mount.source, store, link=mount.kind in {"overlay", "archive"})
        mounts.append(mount)
    return StagedHost(mounts=tuple(mounts), input_bytes=input_bytes)


def _mount(tree: Tree, place: Path, mode: StagingMode) -> Mount:
    if mode == "archive":
        return Mount(
            target=tree.path,
            kind="archive",
            source=place / "sent",
            collected=place / "fetched" if tree.collected else None,
        )
    has_objects = any(placement.objects for placement in tree.placements)
    if mode == "overlay" and has_objects and not tree.collected and not _BAD_IN_MOUNT_OPTIONS & set(str(place)):
        return Mount(
            target=tree.path, kind="overlay", source=place / "lower", upper=place / "upper", work=place / "work"
        )
    return Mount(target=tree.path, kind="bind", source=place, collected=place if tree.collected else None)


def _fill(tree: Tree, root: Path, store: BucketStore, *, link: bool) -> int:
    for folder in tree.folders:
        files.make_folders(root / folder)
    for name, text in tree.files.items():
        path = root / name
        files.make_folders(path.parent)
        path.write_text(text, encoding="utf-8")
        path.chmod(files.FILE_MODE)
    total = 0
    made: set[Path] = set()
    for placement in tree.placements:
        home = root / placement.folder if placement.folder else root
        files.make_folders(home)
        for placed in placement.objects:
            target = home / placed.name
            if target.parent not in made:
                files.make_folders(target.parent)
                made.add(target.parent)
            if target.exists():  # two inputs with one path: the later one of the request wins
                target.unlink()
            source = store.path(placed.uri)
            (files.link_or_clone if link else files.clone)(source, target)
            total += target.stat().st_size
    return total


def locate(staged: StagedHost, path: str) -> Path | None:
    """Find a container's path on our side after the end of the job; None where it is absent or behind a link."""
    for mount in sorted(staged.mounts, key=lambda found: -len(found.target)):
        if mount.collected and (path == mount.target or path.startswith(f"{mount.target}/")):
            return files.real_folder(mount.collected, path[len(mount.target) :])
    return None


def left_out_list(mount: Mount) -> Path:
    """Name the file that tells which links and special files were not fetched from a container."""
    assert mount.collected is not None  # noqa: S101 – only what is collected is fetched
    return mount.collected.with_name("left-out.txt")


def left_out(staged: StagedHost) -> int:
    """Count the links and special files that were not fetched from a container."""
    lists = [left_out_list(mount) for mount in staged.mounts if mount.kind == "archive" and mount.collected]
    return sum(len(path.read_text(encoding="utf-8").splitlines()) for path in lists if path.is_file())


def changed_inputs(staged: StagedHost) -> tuple[str, ...]:
    """Name what a container changed in its own inputs, as far as that can be told (overlay only)."""
    found = []
    for mount in staged.mounts:
        if mount.kind == "overlay" and mount.upper and mount.upper.is_dir():
            for name, info in files.walk_files(mount.upper):
                deleted = stat.S_ISCHR(info.st_mode) and os.major(info.st_rdev) == 0
                found.append(f"{mount.target}/{files.printable(name)}{' (deleted)' if deleted else ''}")
    return tuple(found)
