"""Which JSON document does a text hold, and which of its values can no definition hold?"""

from __future__ import annotations

import json
import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from harness.definition import paths
from harness.definition._wording import MAX_DEPTH, kind_of, printable
from harness.errors import DefinitionError, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["read_document"]

_TOO_DEEP = f"the JSON nests deeper than {MAX_DEPTH} levels"
_HALF = "the text holds half of a surrogate pair, which no UTF-8 file can hold"


def read_document(text: str, *, source: str) -> tuple[dict[str, Any], list[Mistake]]:
    """Parse a text to a JSON object.

    Returns:
        The object, and what strict JSON would not have in it: members that stand twice in one object, NaN, infinities.

    Raises:
        DefinitionError: The text is no JSON (with line and column), no object, nests too deep to be looked at, or
            holds halves of surrogate pairs.

    """
    doubled: list[tuple[dict[str, Any], list[str]]] = []

    def to_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        read = dict(pairs)
        if len(read) != len(pairs):
            counts = Counter(name for name, _ in pairs)
            # The object is kept beside its names: later its identity tells where in the document it stands.
            doubled.append((read, [name for name, count in counts.items() if count > 1]))
        return read

    if not text.strip():
        raise DefinitionError(source, [Mistake("", "there is nothing in it: a JSON pipeline definition is expected")])
    try:
        # Some editors begin a file with a byte order mark.
        document = json.loads(text.removeprefix("\ufeff"), object_pairs_hook=to_object)
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise DefinitionError(source, [Mistake(place, f"this is not JSON: {error.msg}")]) from None
    except RecursionError:
        raise DefinitionError(source, [Mistake("", _TOO_DEEP)]) from None
    except ValueError as error:
        # Python refuses to read numbers of more than 4,300 digits.
        raise DefinitionError(source, [Mistake("", f"this JSON cannot be read: {error}")]) from None
    if not isinstance(document, dict):
        what = f"a pipeline definition is a JSON object, this is {kind_of(document)}"
        raise DefinitionError(source, [Mistake("", what)])
    return document, _survey(document, {id(read): names for read, names in doubled}, source)


def _survey(document: dict[str, Any], doubled: dict[int, list[str]], source: str) -> list[Mistake]:
    """Look at every value once, with an explicit stack."""
    mistakes: list[Mistake] = []
    waiting: list[tuple[str, Any, int]] = [("", document, 0)]
    while waiting:
        place, value, depth = waiting.pop()
        if isinstance(value, dict):
            mistakes += [
                Mistake(paths.extend(place, name), f"the member {name} stands more than once in its object")
                for name in doubled.get(id(value), ())
            ]
            _refuse_halves(place, value, source)
            inner = [(paths.extend(place, name), member, depth + 1) for name, member in value.items()]
        elif isinstance(value, list):
            inner = [(f"{place}[{index}]", element, depth + 1) for index, element in enumerate(value)]
        else:
            if isinstance(value, float) and not math.isfinite(value):
                mistakes.append(Mistake(place, "NaN, infinities and numbers that are too large are no JSON"))
            if isinstance(value, str):
                _refuse_halves(place, (value,), source)
            continue
        if inner and depth >= MAX_DEPTH:
            raise DefinitionError(source, [Mistake(printable(place), _TOO_DEEP)])
        waiting += reversed(inner)
    return mistakes


def _refuse_halves(place: str, texts: Iterable[str], source: str) -> None:
    # Nothing that holds such a text can be printed or written to a file: there is no going on with it.
    for text in texts:
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            raise DefinitionError(source, [Mistake(printable(place), _HALF)])
