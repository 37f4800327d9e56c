"""Where in a document does a path such as ``A.B[0]['k'].C`` lead?

Two languages share this grammar: property references (``Steps.S.<path>``) and the ``Path`` of ``Std:JsonGet``. It is
what the SDK writes and reads (``workflow/properties.py`` and ``get_using_dot_notation`` of SDK 2.257): members by dot,
``[0]``, ``['k']`` and ``["k"]``. Wildcards, slices and filters are refused by name instead of being half understood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from harness.definition._wording import kind_of, listed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["extend", "lookup", "parse", "render"]

_BARE = re.compile(r"[^\s.\[\]'\"*?()]+")
_INDEX = re.compile(r"\[\s*(0|[1-9][0-9]{0,8})\s*\]")
_QUOTED = re.compile(r"\[\s*(?:'((?:[^'\\]|\\.)*)'|\"((?:[^\"\\]|\\.)*)\")\s*\]", re.DOTALL)
_ESCAPED = re.compile(r"\\(['\"\\])")
# What is written without quotes: a part of what is read without quotes, so that rendered paths stay readable.
_PLAIN = re.compile(r"[A-Za-z0-9_:\-]+")

# The members by which the service names the elements of its lists, e.g. Outputs['train'] (SDK workflow/properties.py).
_NAME_MEMBERS = (
    "OutputName", "InputName", "MetricName", "ChannelName", "ParameterName", "PropertyFileName", "Name",
)  # fmt: skip


def parse(text: str) -> tuple[str | int, ...]:
    """Split a path into member names (str) and list positions (int).

    A leading ``$`` stands for the whole document: ``$`` is ``()``, ``$.a`` is ``("a",)``. Inside quotes a backslash
    protects a quote or a backslash; dots are ordinary there.

    Raises:
        ValueError: The path breaks the grammar; the message says at which position (counted from 1).

    """
    position = 0
    parts: list[str | int] = []
    rooted = text.startswith("$") and (len(text) == 1 or text[1] in ".[")
    if rooted:
        position = 1
    if not text:
        raise ValueError("position 1: the path is empty")
    while position < len(text):
        if index := _INDEX.match(text, position):
            parts.append(int(index[1]))
            position = index.end()
        elif quoted := _QUOTED.match(text, position):
            parts.append(_ESCAPED.sub(r"\1", quoted[1] if quoted[1] is not None else quoted[2]))
            position = quoted.end()
        else:
            position, name = _bare(text, position, first=not parts and not rooted)
            parts.append(name)
    return tuple(parts)


def _bare(text: str, position: int, *, first: bool) -> tuple[int, str]:
    """Read a member name that has no quotes; every name but the first follows a dot."""
    start = position if first else position + 1
    if not first and text[position] != ".":
        expected = "[0] or ['name']" if text[position] == "[" else "'.', [0] or ['name']"
        raise ValueError(f"position {position + 1}: expected {expected}, found {text[position : position + 12]!r}")
    name = _BARE.match(text, start)
    if not name:
        found = repr(text[start : start + 12]) if start < len(text) else "the end"
        raise ValueError(f"position {start + 1}: expected a member name, found {found}")
    return name.end(), name[0]


def render(parts: Iterable[str | int]) -> str:
    """Write parts as a path that :func:`parse` reads back to the same parts; no parts are ``$``."""
    text = ""
    for part in parts:
        text = extend(text, part)
    return text or "$"


def extend(path: str, part: str | int) -> str:
    """Write a path one part longer: ``extend("Steps", 1)`` is ``Steps[1]``."""
    if isinstance(part, int):
        return f"{path}[{part}]"
    if _PLAIN.fullmatch(part):
        return f"{path}.{part}" if path else part
    escaped = part.replace("\\", "\\\\").replace("'", "\\'")
    return f"{path}['{escaped}']"


def lookup(document: Any, path_text: str, *, by_name: bool = False) -> Any:
    """Follow a path into a document of mappings and lists.

    Args:
        document: A parsed JSON document or a ``Describe*`` response.
        path_text: The path, as :func:`parse` reads it.
        by_name: A list may be indexed by a name, as the service does in property references
            (``Outputs['train']``, ``FinalMetricDataList['val:acc']``). JSON documents have no such index.

    Raises:
        ValueError: The path breaks the grammar.
        LookupError: A part is missing; the message names it and what is there instead.

    """
    here = document
    walked = ""
    for part in parse(path_text):
        where = f"'{walked}'" if walked else "the top level"
        if isinstance(part, int):
            here = _element(here, part, where)
        elif by_name and isinstance(here, list | tuple):
            here = _named(here, part, where)
        else:
            here = _member(here, part, where)
        walked = extend(walked, part)
    return here


def _member(here: Any, name: str, where: str) -> Any:
    if not isinstance(here, Mapping):
        raise LookupError(f"{where} is {kind_of(here)} and has no member '{name}'")  # noqa: TRY004
    if name not in here:
        there = f"it has {listed(here)}" if here else "it is empty"
        raise LookupError(f"{where} has no member '{name}'; {there}")
    return here[name]


def _element(here: Any, index: int, where: str) -> Any:
    if not isinstance(here, list | tuple):
        raise LookupError(f"{where} is {kind_of(here)} and has no element [{index}]")  # noqa: TRY004
    if index >= len(here):
        raise LookupError(f"{where} has no element [{index}]; its length is {len(here)}")
    return here[index]


def _named(here: Sequence[Any], name: str, where: str) -> Any:
    names: list[str] = []
    for element in here:
        own = [element[key] for key in _NAME_MEMBERS if key in element] if isinstance(element, Mapping) else []
        if name in own:
            return element
        names += [text for text in own[:1] if isinstance(text, str)]
    there = f"it has {listed(names)}" if names else "its elements have no names" if here else "it is empty"
    raise LookupError(f"{where} has no element named '{name}'; {there}")
