"""How does data get into a container and out of it: by overlay, by bind mount, or as a tar over the engine's API?"""

from __future__ import annotations

import contextlib
import os
import queue
import stat
import tarfile
import threading
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from docker.errors import APIError, DockerException
from docker.types import DriverConfig
from docker.types import Mount as DockerMount
from requests.exceptions import RequestException

from harness.engine import labels
from harness.storage import archives, files, staging

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

    from harness.storage.staging import Mount, StagingMode

__all__ = ["fetch", "find_mode", "send"]


def find_mode(client: docker.DockerClient, scratch: Path, image: str, info: dict[str, Any]) -> StagingMode:
    """Try which way of mounting works for folders below ``scratch``.

    A container that is never started is enough: the engine mounts its volumes to read a file out of it. What comes
    back is compared with a word that only this call knows, since a remote engine, or one outside of our own container,
    would quietly mount another directory of the same name.
    """
    place = scratch / f"probe-{uuid.uuid4().hex}"
    word = uuid.uuid4().hex
    try:
        for name in ("lower", "upper", "work"):
            files.make_folders(place / name)
        (place / "lower" / "sentinel").write_text(word, encoding="ascii")
        bind = DockerMount("/harness-probe/bind", str(place / "lower"), type="bind")
        options = f"lowerdir={place / 'lower'},upperdir={place / 'upper'},workdir={place / 'work'}"
        overlay = DockerMount(
            "/harness-probe/overlay",
            None,
            type="volume",
            no_copy=True,
            labels={labels.RUN: "probe"},
            driver_config=DriverConfig("local", {"type": "overlay", "device": "overlay", "o": options}),
        )
        # The overlay's own folders are the kernel's (root's): a rootless engine could not clean them up.
        rootless = any("rootless" in option for option in info.get("SecurityOptions") or [])
        if not rootless and not set(',:\\"') & set(str(place)) and _reads(client, image, overlay, word):
            return "overlay"
        return "bind" if _reads(client, image, bind, word) else "archive"
    finally:
        _remove_probe(place)


def _remove_probe(place: Path) -> None:
    import shutil  # noqa: PLC0415

    # The kernel's work directory belongs to root; a caller who is not may remove it, since it is empty.
    inner = place / "work" / "work"
    with contextlib.suppress(OSError):
        inner.rmdir()
    shutil.rmtree(place, ignore_errors=True)


def _reads(client: docker.DockerClient, image: str, mount: DockerMount, word: str) -> bool:
    api = client.api
    made = None
    try:
        made = api.create_container(
            image,
            command=["true"],
            host_config=api.create_host_config(mounts=[mount], network_mode="none"),
            labels={labels.RUN: "probe", **labels.owner_labels()},
        )["Id"]
        chunks, _ = api.get_archive(made, f"{mount['Target']}/sentinel")
        return word.encode() in b"".join(chunks)
    except (APIError, DockerException, RequestException, OSError):
        return False
    finally:
        if made:
            with contextlib.suppress(APIError, RequestException):
                api.remove_container(made, force=True, v=True)


class _Pipe:
    """A file object for tarfile that hands its blocks to an HTTP request in another thread."""

    def __init__(self) -> None:
        self.blocks: queue.Queue[bytes | None] = queue.Queue(maxsize=16)

    def write(self, block: bytes) -> int:
        self.blocks.put(bytes(block))
        return len(block)

    def __iter__(self) -> Iterator[bytes]:
        while (block := self.blocks.get()) is not None:
            yield block


def send(api: Any, container: str, mount: Mount) -> None:
    """Put a tree into a container that has not been started, everything owned by root."""
    pipe = _Pipe()

    def owned_by_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    def write() -> None:
        try:
            with tarfile.open(fileobj=pipe, mode="w|", dereference=False) as tar:  # type: ignore[call-overload]
                _add_parents(tar, mount.target)
                tar.add(mount.source, arcname=mount.target.lstrip("/"), filter=owned_by_root)
        finally:
            pipe.blocks.put(None)

    writer = threading.Thread(target=write, name="send", daemon=True)
    writer.start()
    api.put_archive(container, "/", iter(pipe))
    writer.join()


def _add_parents(tar: tarfile.TarFile, target: str) -> None:
    """Name the folders above the tree: an engine makes none on its own."""
    parents = list(Path(target).parents)[-2::-1] if target.count("/") > 1 else []
    for parent in parents:
        entry = tarfile.TarInfo(str(parent).lstrip("/"))
        entry.type, entry.mode = tarfile.DIRTYPE, stat.S_IFMT(0) | 0o755
        if entry.name:
            tar.addfile(entry)


def fetch(api: Any, container: str, mount: Mount) -> None:
    """Get a tree out of a stopped container, trusting nothing in it."""
    if mount.collected is None:
        return
    files.make_folders(mount.collected)
    chunks, _ = api.get_archive(container, mount.target, chunk_size=1024 * 1024)
    top = os.path.basename(mount.target)  # noqa: PTH119 – a container's path
    if left_out := archives.extract(chunks, mount.collected, top=top):
        lines = (files.printable(name).replace("\n", "\\n") for name in left_out)
        files.write_text(staging.left_out_list(mount), "".join(f"{line}\n" for line in lines))
