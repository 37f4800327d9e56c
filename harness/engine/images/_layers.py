"""How do files become an image in the engine, the same image from the same files every time?"""

from __future__ import annotations

import hashlib
import json
import shutil
import stat
import tarfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from harness.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

__all__ = ["CREATED", "EPOCH", "Layer", "Tree", "load_image", "parent_layers"]

EPOCH = 315532800
"""1980-01-01, the time of every file: the oldest one that zip archives and byte code can both hold."""
CREATED = "1980-01-01T00:00:00Z"
_MODES = {"tmp": 0o1777, "var/tmp": 0o1777, "root": 0o700}
_BLOCK = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)


@dataclass(frozen=True)
class _Entry:
    """One thing in a file system: a folder, a link or a file."""

    mode: int
    link: str | None = None
    source: Path | bytes | None = None


@dataclass
class Tree:
    """A file system in the making: where each file will be, and where its bytes are now."""

    entries: dict[str, _Entry] = field(default_factory=dict)

    def folder(self, at: str, mode: int | None = None) -> None:
        """Add a folder and those above it."""
        name = at.strip("/")
        for part in reversed(PurePosixPath(name).parents):
            above = str(part)
            if above not in {".", "/"} and above not in self.entries:
                self.entries[above] = _Entry(_MODES.get(above, 0o755))
        if name:
            self.entries[name] = _Entry(_MODES.get(name, 0o755) if mode is None else mode)

    def file(self, at: str, source: Path | bytes, mode: int = 0o644) -> None:
        """Add a file: a path on this machine, or its content."""
        self._above(at)
        self.entries[at.strip("/")] = _Entry(mode, source=source)

    def link(self, at: str, to: str) -> None:
        """Add a symbolic link."""
        self._above(at)
        self.entries[at.strip("/")] = _Entry(0o777, link=to)

    def hide_below(self, at: str) -> None:
        """Make what the layers below have in a folder invisible."""
        self.file(f"{at}/.wh..wh..opq", b"")

    def copy(self, folder: Path, at: str, *, skip: frozenset[str] = frozenset()) -> None:
        """Add everything below a folder of this machine, except what is called by one of the names."""
        for path in sorted(folder.iterdir()):
            if path.name in skip:
                continue
            place = f"{at}/{path.name}"
            if path.is_symlink():
                self.link(place, str(path.readlink()))
            elif path.is_dir():
                if place.strip("/") not in self.entries:
                    self.folder(place)
                self.copy(path, place, skip=skip)
            elif path.is_file():
                self.file(place, path, 0o755 if path.stat().st_mode & stat.S_IXUSR else 0o644)

    def write(self, target: Path) -> Layer:
        """Write everything as a layer."""
        digest = hashlib.sha256()
        with target.open("wb") as out:
            for block in self._blocks():
                digest.update(block)
                out.write(block)
        return Layer(target, f"sha256:{digest.hexdigest()}")

    def _blocks(self) -> Iterator[bytes]:
        for name, entry in sorted(self.entries.items()):
            info = tarfile.TarInfo(name)
            info.mode = entry.mode
            if entry.link is not None:
                info.type, info.linkname = tarfile.SYMTYPE, entry.link
            elif entry.source is None:
                info.type = tarfile.DIRTYPE
            yield from _member(info, entry.source)
        yield _END

    def _above(self, at: str) -> None:
        above = str(PurePosixPath(at.strip("/")).parent)
        if above != "." and above not in self.entries:
            self.folder(above)


@dataclass(frozen=True)
class Layer:
    """A layer in a file, ready to be loaded."""

    path: Path
    diff_id: str


def _member(info: tarfile.TarInfo, source: Path | bytes | None) -> Iterator[bytes]:
    """Give a tar archive's member piece by piece: many times faster than the library's own writer."""
    info.mtime = EPOCH
    if source is not None:
        info.size = len(source) if isinstance(source, bytes) else source.stat().st_size
    yield info.tobuf(tarfile.PAX_FORMAT)
    if isinstance(source, bytes):
        yield source
    elif source is not None:
        with source.open("rb") as content:
            while block := content.read(_BLOCK):
                yield block
    yield bytes(-info.size % tarfile.BLOCKSIZE)


def parent_layers(client: docker.DockerClient, image: str, folder: Path) -> tuple[list[Layer], dict[str, Any]]:
    """Take an image of the engine apart: its layers, and its configuration."""
    saved = folder / "parent.tar"
    with saved.open("wb") as out:
        for chunk in client.api.get_image(image):
            out.write(chunk)
    with tarfile.open(saved) as tar:
        manifest = json.loads(_read(tar, "manifest.json"))[0]
        config: dict[str, Any] = json.loads(_read(tar, manifest["Config"]))
        layers = []
        for number, (name, diff_id) in enumerate(zip(manifest["Layers"], config["rootfs"]["diff_ids"], strict=True)):
            target = folder / f"parent-{number}.tar"
            with target.open("wb") as out:
                content = tar.extractfile(_resolved(tar, name))
                if content:
                    shutil.copyfileobj(content, out, _BLOCK)
            layers.append(Layer(target, diff_id))
    saved.unlink()
    return layers, config


def load_image(
    client: docker.DockerClient,
    tag: str,
    layers: list[Layer],
    settings: dict[str, Any],
    *,
    history: list[dict[str, Any]],
) -> None:
    """Put an image into the engine; its tag appears only when all of it is there.

    Args:
        client: The engine.
        tag: The image's name.
        layers: From the bottom up.
        settings: What ``config`` holds in an image's configuration: ``Env``, ``Labels`` and so on.
        history: What ``docker history`` says of each layer.

    Raises:
        ImageBuildError: The engine refused it.

    """
    from docker.errors import DockerException  # noqa: PLC0415 - `--help` does not pay for it
    from requests.exceptions import RequestException  # noqa: PLC0415

    config = {
        "architecture": "amd64",
        "os": "linux",
        "created": CREATED,
        "config": settings,
        "rootfs": {"type": "layers", "diff_ids": [layer.diff_id for layer in layers]},
        "history": history,
    }
    text = json.dumps(config, sort_keys=True).encode()
    name = f"{hashlib.sha256(text).hexdigest()}.json"
    manifest = [{"Config": name, "RepoTags": [tag], "Layers": [f"{n}/layer.tar" for n in range(len(layers))]}]
    members: list[tuple[str, Path | bytes]] = [(name, text), ("manifest.json", json.dumps(manifest).encode())]
    members += [(f"{number}/layer.tar", layer.path) for number, layer in enumerate(layers)]
    load: Any = client.api.load_image
    try:
        for message in load(_archive(members)):
            if "error" in message:
                raise ImageBuildError(f"the engine refused the image {tag}: {message['error']}")
    except (DockerException, RequestException) as error:
        raise ImageBuildError(f"the engine did not take the image {tag}: {error}") from error


def _archive(members: list[tuple[str, Path | bytes]]) -> Iterator[bytes]:
    """Give the archive piece by piece: an image need not be on the disk twice."""
    for name, source in members:
        yield from _member(tarfile.TarInfo(name), source)
    yield _END


def _read(tar: tarfile.TarFile, name: str) -> bytes:
    content = tar.extractfile(name)
    return content.read() if content else b""


def _resolved(tar: tarfile.TarFile, name: str) -> tarfile.TarInfo:
    """Follow the link that engines before 25 save in place of a layer that is there twice."""
    member = tar.getmember(name)
    while member.issym():
        parts: list[str] = []
        for part in (PurePosixPath(member.name).parent / member.linkname).parts:
            if part == "..":
                parts.pop()
            else:
                parts.append(part)
        member = tar.getmember("/".join(parts))
    return member
