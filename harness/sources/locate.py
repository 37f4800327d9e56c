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
        return Source("standard input", sys.stdin.read(), None, "pipeline")
    path = Path(pipeline)
    if not path.exists() and len(path.parts) == 1 and (_EXAMPLES / path / DEFINITION).is_file():
        path = _EXAMPLES / path
    if path.is_dir():
        if not (path / DEFINITION).is_file():
            raise UsageError(f"the folder {path} has no {DEFINITION}", remedy="name the definition's file itself")
        return _read(path / DEFINITION, path, path.resolve().name)
    if not path.exists():
        raise UsageError(
            f"no pipeline {pipeline}: there is no such file or folder",
            remedy=f"give a definition's JSON file, or a folder with {DEFINITION}",
        )
    return _read(path, path.parent, path.stem)


def _read(path: Path, folder: Path, name: str) -> Source:
    try:
        data = path.read_bytes()
        if len(data) > _SIZE_LIMIT:
            raise DefinitionError(str(path), [Mistake("", f"{len(data)} bytes are no pipeline definition")])
        text = data.decode("utf-8-sig")
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DefinitionError(str(path), [Mistake("", f"not UTF-8 text: {error}")]) from error
    return Source(str(path), text, folder, name)
