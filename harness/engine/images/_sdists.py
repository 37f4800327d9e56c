"""How do packages that are published as source only become wheels, without running their build scripts?

A recipe's source distribution is fetched, checked against the digest in ``images/sdists.yaml`` and laid out as a
pure-Python wheel: no compiler, no matching interpreter and no code of the package is needed, and one wheel serves every
Python version. What a C extension would have given is declared as a difference by the recipes that use it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import tarfile
import zipfile
from email.parser import BytesHeaderParser
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from harness.engine.images._indexes import fetch
from harness.engine.images._scratch import cache_folder, exclusively
from harness.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from harness.engine.images._indexes import Indexes
    from harness.engine.images._recipes import SourceDistribution

__all__ = ["make_wheel", "wheel_folder"]

_EPOCH = (1980, 1, 1, 0, 0, 0)
_WHEEL = b"""Wheel-Version: 1.0
Generator: sagemaker-harness
Root-Is-Purelib: true
Tag: py3-none-any
"""


def wheel_folder(indexes: Indexes, sources: Iterable[SourceDistribution]) -> Path:
    """Give a folder that holds a wheel of each source distribution; what is there already is not made again."""
    sources = tuple(sources)
    folder = cache_folder("wheels", hashlib.sha256(repr(sorted(s.key for s in sources)).encode()).hexdigest()[:12])
    with exclusively(f"wheels-{folder.name}"):
        for source in sources:
            wheel = folder / f"{source.distribution}-{source.version}-py3-none-any.whl"
            if not wheel.exists():
                content = fetch(indexes, source.project, source.file, source.sha256)
                new = wheel.with_suffix(".new")
                new.write_bytes(make_wheel(source, content))
                new.rename(wheel)
    return folder


def make_wheel(source: SourceDistribution, archive: bytes) -> bytes:
    """Lay the content of a source distribution out as a wheel."""
    files: dict[str, bytes] = dict(_additions(source))
    metadata = entry_points = requires = b""
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            name = PurePosixPath(*PurePosixPath(member.name).parts[1:])
            if not member.isfile() or ".." in name.parts:
                continue
            stream = tar.extractfile(member)
            content = stream.read() if stream else b""
            if str(name) == "PKG-INFO":
                metadata = content
            elif name.match("*.egg-info/entry_points.txt"):
                entry_points = content
            elif name.match("*.egg-info/requires.txt"):
                requires = content
            elif (place := _place(source, name)) is not None:
                files[place] = _patched(source, place, content)
    if not metadata:
        raise ImageBuildError(f"{source.file} has no PKG-INFO")
    info = f"{source.distribution}-{source.version}.dist-info"
    files[f"{info}/METADATA"] = _metadata(metadata, requires)
    files[f"{info}/WHEEL"] = _WHEEL
    if entry_points:
        files[f"{info}/entry_points.txt"] = entry_points
    return _zipped(files, f"{info}/RECORD")


def _place(source: SourceDistribution, name: PurePosixPath) -> str | None:
    """Give a file's place in the wheel, or None if it is not part of it."""
    if name.suffix in {".c", ".h", ".pyx"}:
        return None
    for origin, place in source.contents.items():
        if str(name) == origin:
            return place
        if name.is_relative_to(origin):
            return str(PurePosixPath(place) / name.relative_to(origin))
    return None


def _patched(source: SourceDistribution, place: str, content: bytes) -> bytes:
    for patch in source.replace:
        if patch.file == place:
            if patch.old.encode() not in content:
                raise ImageBuildError(f"{source.file}: {place} does not hold {patch.old!r}, which the recipe replaces")
            content = content.replace(patch.old.encode(), patch.new.encode())
    return content


def _additions(source: SourceDistribution) -> Iterable[tuple[str, bytes]]:
    for place, text in source.add.items():
        yield place, text.encode()


def _metadata(pkg_info: bytes, requires: bytes) -> bytes:
    headers = BytesHeaderParser().parsebytes(pkg_info)
    lines = [
        f"{name}: {headers[name]}"
        for name in ("Metadata-Version", "Name", "Version", "Summary", "Home-page", "License")
        if headers[name] and "\n" not in headers[name]
    ]
    if "Requires-Dist" in headers:
        lines += [f"Requires-Dist: {value}" for value in headers.get_all("Requires-Dist") or []]
    else:
        for line in requires.decode().splitlines():
            if line.startswith("["):
                break  # extras follow
            if line.strip():
                lines.append(f"Requires-Dist: {line.strip()}")
    return ("\n".join(lines) + "\n").encode()


def _zipped(files: dict[str, bytes], record: str) -> bytes:
    rows = io.StringIO()
    writer = csv.writer(rows, lineterminator="\n")
    for name, content in sorted(files.items()):
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        writer.writerow([name, f"sha256={digest}", len(content)])
    writer.writerow([record, "", ""])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as wheel:
        for name, content in [*sorted(files.items()), (record, rows.getvalue().encode())]:
            entry = zipfile.ZipInfo(name, _EPOCH)
            entry.external_attr = 0o644 << 16
            entry.compress_type = zipfile.ZIP_DEFLATED
            wheel.writestr(entry, content)
    return buffer.getvalue()
