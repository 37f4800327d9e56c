"""How are values, kinds and near misses worded in the mistakes of this room?"""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["MAX_DEPTH", "did_you_mean", "kind_of", "listed", "shown"]

MAX_DEPTH = 200
"""How deep lists and objects may nest. Real definitions stay below 30; recursion over values stays far from Python's
own limit of 1,000 frames."""

_LISTED = 12
_SHOWN = 80
_CANDIDATES = 50


def kind_of(value: Any) -> str:
    """Name a value's JSON kind with its article: ``a number``, ``a string``, ``null``."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    return f"a {type(value).__name__}"


def shown(value: Any) -> str:
    """Write a value as short JSON."""
    if isinstance(value, Mapping | list | tuple):
        # A summary, because a whole object would bury the sentence (and may nest too deep for the JSON writer).
        return f"{kind_of(value)} of {len(value)}"
    text = json.dumps(value, ensure_ascii=False, default=repr) if not _is_huge(value) else "a huge number"
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def _is_huge(value: Any) -> bool:
    # Python refuses to write integers of more than 4,300 digits (about 14,000 bits).
    return isinstance(value, int) and value.bit_length() > 14_000  # noqa: PLR2004


def listed(names: Iterable[Any]) -> str:
    """Write names in a row, the first dozen of them."""
    every = [str(name) for name in names]
    head = ", ".join(every[:_LISTED])
    return f"{head} and {len(every) - _LISTED} more" if len(every) > _LISTED else head


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Ask for the nearest known name, or say nothing."""
    folded = name.casefold()
    # Comparing with each of 2,000 steps for each of 2,000 mistakes would take minutes: only plausible ones are compared.
    plausible = (k for k in known if k and abs(len(k) - len(name)) <= 3 and _alike(k.casefold(), folded))  # noqa: PLR2004
    candidates = {k.casefold(): k for k in islice(plausible, _CANDIDATES)}
    near = difflib.get_close_matches(folded, candidates, n=1)
    return f"did you mean {candidates[near[0]]}?" if near else ""


def _alike(known: str, name: str) -> bool:
    return known[:1] == name[:1] or known[-2:] == name[-2:]
