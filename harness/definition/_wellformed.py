"""What is wrong with the form of one expression?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.definition import paths
from harness.definition._syntax import is_expression, is_of_an_iteration, parse_get
from harness.definition._wording import did_you_mean, kind_of, listed, shown

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["wrong_with"]

_FUNCTIONS = ("Std:Join", "Std:JsonGet")


def wrong_with(function: str, body: Any) -> list[str]:
    """Say what is wrong with one expression, its operands apart."""
    if function == "Get":
        # A ForEach step is not emulated, which is no mistake of the definition: resolving it is what fails.
        return [] if is_of_an_iteration(body) else _wrong_with_get(body, property_file=False)
    if function not in _FUNCTIONS:
        hint = did_you_mean(function, _FUNCTIONS) or f"there are {listed(_FUNCTIONS)}"
        return [f"{function} is no known function; {hint}"]
    if not isinstance(body, dict):
        return [f"{function} takes an object, not {kind_of(body)}"]
    return _wrong_with_join(body) if function == "Std:Join" else _wrong_with_json_get(body)


def _wrong_with_get(body: Any, *, property_file: bool) -> list[str]:
    try:
        reference = parse_get(body, "")
    except ValueError as error:
        return [str(error)]
    if property_file and reference.kind != "property_file":
        return [f"Std:JsonGet: PropertyFile takes Steps.<name>.PropertyFiles.<file>, not {reference.text}"]
    if not property_file and reference.kind == "property_file":
        return [f"{reference.text} is a property file: it is read with Std:JsonGet and a Path"]
    return []


def _wrong_with_join(body: Mapping[str, Any]) -> list[str]:
    wrong = []
    if not isinstance(body.get("On", ""), str):
        wrong.append(f"Std:Join: On takes a string, not {kind_of(body['On'])}")
    if "Values" not in body:
        wrong.append("Std:Join has no Values")
    elif not isinstance(body["Values"], list | tuple):
        wrong.append(f"Std:Join: Values takes a list, not {kind_of(body['Values'])}")
    return wrong


def _wrong_with_json_get(body: Mapping[str, Any]) -> list[str]:
    wrong = []
    if "Path" not in body:
        wrong.append("Std:JsonGet has no Path")
    elif not isinstance(body["Path"], str):
        wrong.append(f"Std:JsonGet: Path takes a string, not {kind_of(body['Path'])}")
    else:
        try:
            paths.parse(body["Path"])
        except ValueError as error:
            wrong.append(f"Std:JsonGet: the Path {shown(body['Path'])} cannot be read: {error}")
    if ("PropertyFile" in body) == ("S3Uri" in body):
        found = "both" if "S3Uri" in body else "neither"
        wrong.append(f"Std:JsonGet takes either PropertyFile or S3Uri, not {found}")
    if "PropertyFile" in body:
        file = body["PropertyFile"]
        is_get = isinstance(file, dict) and set(file) == {"Get"}
        wrong += (
            _wrong_with_get(file["Get"], property_file=True)
            if is_get
            else ["Std:JsonGet: PropertyFile takes an object with the one member Get"]
        )
    if "S3Uri" in body and not isinstance(body["S3Uri"], str) and not is_expression(body["S3Uri"]):
        wrong.append(f"Std:JsonGet: S3Uri takes a string or an expression, not {kind_of(body['S3Uri'])}")
    return wrong
