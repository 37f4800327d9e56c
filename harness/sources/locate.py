"""Which file does PIPELINE mean?"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from harness.errors import DefinitionError, Mistake, UsageError

__all__ = ["Source", "find_source"]

DEFINITION = "pipeline.json"
_EXAMPLES = Path("examples")
_SIZE_LIMIT = 64 * 1024 * 1024
_SHOWN = 100


@dataclass(frozen=True)
class Source:
    """A definition's text and where it came from."""

    label: str
    """How messages name it."""
    text: str
    folder: Path | None
    """Where its ``harness.yaml`` and its files lie; None for standard input."""
    name: str
    """What the pipeline is called unless something else says so."""


def find_source(pipeline: str) -> Source:
    """Find a pipeline: a definition of any name, a folder with ``pipeline.json``, a folder under ``examples/``, ``-``.

    Raises:
        UsageError: There is no such file or folder.
        DefinitionError: It cannot be read as text.

    """
    if pipeline == "-":
        label = "standard input"
        return Source(label, _decoded(sys.stdin.buffer.read(_SIZE_LIMIT + 1), label), None, "pipeline")
    path = Path(pipeline)
    if not _exists(path) and len(path.parts) == 1 and _exists(_EXAMPLES / path / DEFINITION):
        path = _EXAMPLES / path
    if not _exists(path):
        shown = pipeline if len(pipeline) <= _SHOWN else f"{pipeline[:_SHOWN]}…"
        raise UsageError(
            f"no pipeline {shown}: there is no such file or folder",
            remedy=f"give a definition's JSON file, or a folder with {DEFINITION}",
        )
    if path.is_dir():
        if not (path / DEFINITION).is_file():
            raise UsageError(f"the folder {path} has no {DEFINITION}", remedy="name the definition's file itself")
        return _read(path / DEFINITION, path, path.resolve().name)
    return _read(path, path.parent, path.stem)


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # too long for a name, say: a whole definition given as the argument
        return False


def _read(path: Path, folder: Path, name: str) -> Source:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    return Source(str(path), _decoded(data, str(path)), folder, name)


def _decoded(data: bytes, label: str) -> str:
    if len(data) > _SIZE_LIMIT:
        raise DefinitionError(label, [Mistake("", f"more than {_SIZE_LIMIT} bytes are no pipeline definition")])
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DefinitionError(label, [Mistake("", f"not UTF-8 text: {error}")]) from error
