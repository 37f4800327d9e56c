"""How are values, kinds and near misses worded in the mistakes of this room?"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["HUGE_BITS", "MAX_DEPTH", "did_you_mean", "kind_of", "listed", "printable", "shown"]

MAX_DEPTH = 200
"""How deep lists and objects may nest. Real definitions stay below 30; recursion over values stays far from Python's
own limit of 1,000 frames."""

# Booleans before numbers, because Python's are integers too.
_KINDS: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (type(None), "null"),
    (bool, "a boolean"),
    ((int, float), "a number"),
    (str, "a string"),
    (Mapping, "an object"),
    ((list, tuple), "a list"),
)

HUGE_BITS = 14_000
"""Python refuses to write integers of more than 4,300 digits, which are a little more bits than this."""

_LISTED = 12
_SHOWN = 80
_CANDIDATES = 50
_LENGTHS_APART = 3


def kind_of(value: Any) -> str:
    """Name a value's JSON kind with its article: ``a number``, ``a string``, ``null``."""
    for types, name in _KINDS:
        if isinstance(value, types):
            return name
    return f"a {type(value).__name__}"


def shown(value: Any) -> str:
    """Write a value as short JSON."""
    if isinstance(value, Mapping | list | tuple):
        # A summary, because a whole object would bury the sentence (and may nest too deep for the JSON writer).
        return f"{kind_of(value)} of {len(value)}"
    if isinstance(value, int) and value.bit_length() > HUGE_BITS:
        return "a huge number"
    text = json.dumps(value, ensure_ascii=False, default=repr)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def listed(names: Iterable[Any]) -> str:
    """Write names in a row, the first dozen of them."""
    every = [str(name) for name in names]
    head = ", ".join(every[:_LISTED])
    return f"{head} and {len(every) - _LISTED} more" if len(every) > _LISTED else head


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the nearest known name, or say nothing."""
    folded = name.casefold()
    # To compare 2,000 wrong names with 2,000 steps each would take minutes: only plausible ones are compared.
    plausible = (k for k in known if _is_plausible(k.casefold(), folded))
    candidates = {k.casefold(): k for k in islice(plausible, _CANDIDATES)}
    near = difflib.get_close_matches(folded, candidates, n=1)
    return f"did you mean {candidates[near[0]]}?" if near else ""


def printable(text: str) -> str:
    """Write control characters and halves of surrogate pairs as escapes: a definition must not steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)


def _is_plausible(known: str, name: str) -> bool:
    if abs(len(known) - len(name)) > _LENGTHS_APART:
        return False
    return known[:1] == name[:1] or known[-2:] == name[-2:]
