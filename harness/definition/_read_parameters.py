"""Which parameters does a definition declare, and what is wrong with each declaration?"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from harness.definition._wording import did_you_mean, kind_of, listed, shown
from harness.definition.models import ParameterDeclaration, ParameterType
from harness.definition.parameters import fitted
from harness.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["read_parameters"]

_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
_TYPES: Sequence[str] = get_args(ParameterType)


def read_parameters(entries: Any, mistakes: list[Mistake]) -> list[ParameterDeclaration]:
    """Read the list of parameters; add what is wrong to mistakes. A parameter without a name is left out."""
    if entries is None:
        return []
    if not isinstance(entries, list):
        mistakes.append(Mistake("Parameters", f"Parameters takes a list, not {kind_of(entries)}"))
        return []
    declarations: list[ParameterDeclaration] = []
    places: dict[str, str] = {}
    for index, entry in enumerate(entries):
        place = f"Parameters[{index}]"
        name = entry.get("Name") if isinstance(entry, dict) else None
        if not isinstance(name, str):
            what = "the parameter has no Name" if isinstance(entry, dict) else "a parameter is an object"
            mistakes.append(Mistake(place, what if name is None else f"a Name is a string, not {kind_of(name)}"))
            continue
        if not _NAME.fullmatch(name):
            what = f"{shown(name)} is no parameter name; 1 to 256 letters, digits, '-' and '_' are"
            mistakes.append(Mistake(f"{place}.Name", what))
        if name in places:
            mistakes.append(Mistake(f"{place}.Name", f"the parameter {name} is declared already at {places[name]}"))
        places.setdefault(name, place)
        declarations.append(_Reader(entry, name, place, mistakes).declaration())
    return declarations


class _Reader:
    """Reads one declaration and notes what is wrong with it."""

    def __init__(self, entry: dict[str, Any], name: str, place: str, mistakes: list[Mistake]) -> None:
        self._entry = entry
        self._name = name
        self._place = place
        self._mistakes = mistakes

    def declaration(self) -> ParameterDeclaration:
        kind = self._entry.get("Type")
        if not isinstance(kind, str) or kind not in _TYPES:
            what = "has no Type" if kind is None else f"has a Type that there is not: {shown(kind)}"
            hint = did_you_mean(kind, _TYPES) if isinstance(kind, str) else ""
            self._wrong("Type", what, hint or f"there are {listed(_TYPES)}")
            # Known by its name, so that what refers to it is no second mistake; what it holds cannot be judged.
            return ParameterDeclaration(name=self._name, type="String", has_default=True, default="")
        options = self._enum(kind)
        return ParameterDeclaration.model_validate(
            {
                "name": self._name,
                "type": kind,
                "default": self._default(kind, options),
                "has_default": "DefaultValue" in self._entry,
                "enum_values": options,
            }
        )

    def _wrong(self, member: str, what: str, remedy: str = "") -> None:
        self._mistakes.append(Mistake(f"{self._place}.{member}", f"parameter {self._name} {what}", remedy))

    def _enum(self, kind: str) -> tuple[Any, ...] | None:
        options = self._entry.get("EnumValues")
        if options is None:
            return None
        if not isinstance(options, list) or not options:
            found = "an empty one" if options == [] else kind_of(options)
            self._wrong("EnumValues", f"takes a list of EnumValues, not {found}")
            return None
        read = [self._fitted(f"EnumValues[{index}]", kind, option) for index, option in enumerate(options)]
        return tuple(option for option in read if option is not None)

    def _default(self, kind: str, options: tuple[Any, ...] | None) -> Any:
        if "DefaultValue" not in self._entry:
            return None
        default = self._fitted("DefaultValue", kind, self._entry["DefaultValue"])
        # An Integer enum holds no boolean (fitting saw to that), so plain equality will do.
        if options is not None and default is not None and default not in options:
            allowed = listed(shown(option) for option in options)
            self._wrong("DefaultValue", f"has a default that is not allowed, {shown(default)}; allowed are {allowed}")
        return default

    def _fitted(self, member: str, kind: str, value: Any) -> Any:
        """Give a value of the declared type; None, and a mistake noted, if it is of another."""
        if value is None:
            self._wrong(member, "has a value that is null", "leave it out if there is none")
            return None
        try:
            return fitted(kind, value)
        except ValueError as error:
            self._wrong(member, f"has a value of another type: {error}")
            return None
