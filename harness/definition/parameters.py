"""Which value does every pipeline parameter have in this run?"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any

from harness.definition import paths
from harness.definition._wording import did_you_mean, kind_of, listed, shown
from harness.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.definition.models import ParameterDeclaration

__all__ = ["Scalar", "fitted", "parse_values"]

Scalar = str | int | float | bool

_INTEGER = re.compile(r"[+-]?[0-9]{1,1024}")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WANTED = {
    "String": "a string",
    "Integer": "an integer such as 42",
    "Float": "a finite number such as 0.5",
    "Boolean": "true or false",
}


def parse_values(
    declarations: Sequence[ParameterDeclaration], given: Mapping[str, Scalar]
) -> tuple[dict[str, Scalar], list[Mistake]]:
    """Give every declared parameter its value: the given one, else its default.

    Strings are read by the declared type, as they come from a command line; other values have to be of that type
    already (an int will do for a Float; a boolean is never an Integer). Values of Float parameters are always floats.

    Returns:
        The values by name, in the order of the declarations, and the mistakes with places like ``Parameters.Count``:
        unknown names, missing values, wrong types, values that the enum does not allow. A parameter with a mistake
        has no value.

    """
    values: dict[str, Scalar] = {}
    mistakes: list[Mistake] = []
    declared = {declaration.name: declaration for declaration in reversed(declarations)}
    for name, declaration in reversed(declared.items()):
        place = paths.extend("Parameters", name)
        if name not in given:
            if declaration.has_default:
                values[name] = _default(declaration)
            else:
                what = f"the {declaration.type} parameter {name} has no default and was not given"
                mistakes.append(Mistake(place, what, f"give it, e.g. -p {name}=VALUE"))
            continue
        try:
            value = _read(declaration.type, given[name])
            _check_enum(declaration, value)
        except ValueError as error:
            mistakes.append(Mistake(place, f"parameter {name}: {error}"))
        else:
            values[name] = value
    for name in given:
        if name not in declared:
            there = f"there are {listed(declared)}" if declared else "the pipeline declares none"
            remedy = did_you_mean(name, declared) or there
            mistakes.append(Mistake(paths.extend("Parameters", name), f"there is no parameter {name}", remedy))
    return values, mistakes


def _default(declaration: ParameterDeclaration) -> Any:
    try:
        return fitted(declaration.type, declaration.default)
    except ValueError:
        # Reading the definition has reported it already, with a better place than this function knows.
        return declaration.default


def fitted(kind: str, value: Any) -> Scalar:
    """Give a native JSON value as a value of a parameter type.

    Raises:
        ValueError: The value is not of that type; the message says what would be.

    """
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "Float" and is_number:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
    elif (
        (kind == "String" and isinstance(value, str))
        or (kind == "Integer" and is_number and isinstance(value, int))
        or (kind == "Boolean" and isinstance(value, bool))
    ):
        return value
    said = shown(value) if isinstance(value, str | int | float) else kind_of(value)
    raise ValueError(f"{said} is not of type {kind}, which takes {_WANTED[kind]}")


def _read(kind: str, value: Any) -> Scalar:
    """Read a given value; strings by the declared type."""
    if not isinstance(value, str) or kind == "String":
        return fitted(kind, value)
    if kind == "Integer" and _INTEGER.fullmatch(value):
        return int(value)
    if kind == "Float" and _FLOAT.fullmatch(value) and math.isfinite(float(value)):
        return float(value)
    if kind == "Boolean" and value.lower() in {"true", "false"}:
        return value.lower() == "true"
    raise ValueError(f"{shown(value)} is not of type {kind}, which takes {_WANTED[kind]}")


def _check_enum(declaration: ParameterDeclaration, value: Scalar) -> None:
    # Kinds are compared too, because Python holds True and 1 for equal.
    allowed = declaration.enum_values
    if allowed is None or any(kind_of(option) == kind_of(value) and option == value for option in allowed):
        return
    raise ValueError(f"{shown(value)} is not allowed; allowed are {listed(shown(option) for option in allowed)}")
