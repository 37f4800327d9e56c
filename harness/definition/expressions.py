"""What does an expression refer to, is it well formed, and what is its value?"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from harness.definition import paths
from harness.definition._syntax import (
    EXECUTION_VARIABLES,
    Reference,
    expression_text,
    is_expression,
    parse_get,
    walk,
)
from harness.definition._wellformed import wrong_with
from harness.definition._wording import HUGE_BITS, MAX_DEPTH, kind_of, shown
from harness.errors import ExpressionError, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = [
    "EXECUTION_VARIABLES",
    "Reference",
    "Scope",
    "expression_text",
    "is_static",
    "mistakes_of",
    "references",
    "resolve",
    "text_of",
]


class Scope(Protocol):
    """Where the values come from when a step is about to start.

    Every method raises ExpressionError when it has no value to give.
    """

    def parameter(self, name: str) -> str | int | float | bool:
        """Give a parameter's typed value."""

    def execution(self, name: str) -> str | int | float | bool:
        """Give an execution variable, e.g. ``PipelineExecutionId`` or ``PipelineExperimentConfig.TrialName``."""

    def properties(self, step: str) -> Mapping[str, Any]:
        """Give the ``Describe*`` response of a finished step."""

    def property_file(self, step: str, name: str) -> tuple[Any, str]:
        """Give a property file's parsed JSON and its S3 URI."""

    def s3_json(self, uri: str) -> Any:
        """Give an S3 object's parsed JSON."""


def references(value: Any, place: str = "", *, skip: Sequence[str] = ()) -> Iterator[Reference]:
    """Yield what the expressions of a value refer to, in document order.

    Malformed expressions yield nothing: :func:`mistakes_of` is about them. ``skip`` names members of the outermost
    object to leave out (a Condition step's branches belong to other steps).
    """
    for found in walk(value, place, skip=skip):
        text, where = found.body, found.place
        if found.function == "Std:JsonGet":
            file = found.body.get("PropertyFile") if isinstance(found.body, dict) else None
            text = file.get("Get") if isinstance(file, dict) else None
            where = f"{found.place}.Std:JsonGet.PropertyFile"
        elif found.function != "Get":
            continue
        try:
            yield parse_get(text, where)
        except ValueError:
            continue


def is_static(value: Any) -> bool:
    """Tell whether a value can be resolved before any step has run.

    Parameters and execution variables are fine. Whatever reads a step is not, nor is any ``Std:JsonGet``: the object
    that it reads may be written by the run.
    """
    if any(found.function == "Std:JsonGet" for found in walk(value, "")):
        return False
    return all(reference.step is None for reference in references(value))


def mistakes_of(value: Any, place: str, *, skip: Sequence[str] = ()) -> list[Mistake]:
    """Find the malformed expressions of a value; places are JSON paths that begin with ``place``."""
    mistakes: list[Mistake] = []
    for found in walk(value, place, skip=skip):
        mistakes += [Mistake(found.place, what) for what in wrong_with(found.function, found.body)]
    return mistakes


def resolve(value: Any, scope: Scope) -> Any:
    """Replace every expression in a value by what it stands for.

    Types are kept: a bare ``Get`` of an Integer parameter stays an int. ``Std:Join`` gives a string, made with
    :func:`text_of`.

    Raises:
        ExpressionError: An expression is malformed, or has no value; the message names the expression, the part that
            is missing and what is there instead.

    """
    return _resolve(value, scope, 0)


def _resolve(value: Any, scope: Scope, depth: int) -> Any:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"the value nests deeper than {MAX_DEPTH} levels")
    if is_expression(value):
        return _evaluate(value, scope, depth)
    if isinstance(value, dict):
        return {key: _resolve(inner, scope, depth + 1) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_resolve(inner, scope, depth + 1) for inner in value]
    return value


def _evaluate(expression: Mapping[str, Any], scope: Scope, depth: int) -> Any:
    ((function, body),) = expression.items()
    if wrong := wrong_with(function, body):
        raise ExpressionError(f"{expression_text(expression)}: {wrong[0]}")
    if function == "Get":
        try:
            reference = parse_get(body, "")
        except ValueError as error:
            raise ExpressionError(str(error)) from None
        return _value_of(reference, scope)
    if function == "Std:Join":
        # depth + 2: an operand stands two levels below the expression, in its body and in the list of Values.
        texts = [_joined(inner, _resolve(inner, scope, depth + 2)) for inner in body["Values"]]
        return str(body.get("On", "")).join(texts)
    return _json_get(expression, body, scope, depth)


def _value_of(reference: Reference, scope: Scope) -> Any:
    if reference.kind == "parameter":
        return scope.parameter(reference.name)
    if reference.kind == "execution":
        return scope.execution(reference.name)
    properties = scope.properties(reference.step or "")
    try:
        return paths.lookup(properties, reference.name, by_name=True)
    except (LookupError, ValueError) as error:
        raise ExpressionError(f"{reference.text}: in the properties of {reference.step}, {error}") from None


def _joined(operand: Any, resolved: Any) -> str:
    try:
        return text_of(resolved)
    except ExpressionError as error:
        raise ExpressionError(f"Std:Join of {expression_text(operand)}: {error.message}") from None


def _json_get(expression: Any, body: Mapping[str, Any], scope: Scope, depth: int) -> Any:
    if "PropertyFile" in body:
        file = parse_get(body["PropertyFile"]["Get"], "")
        document, uri = scope.property_file(file.step or "", file.name)
    else:
        uri = _resolve(body["S3Uri"], scope, depth + 2)
        if not isinstance(uri, str):
            raise ExpressionError(f"{expression_text(expression)}: its S3Uri is {kind_of(uri)}, not a string")
        document = scope.s3_json(uri)
    try:
        return paths.lookup(document, body["Path"])
    except (LookupError, ValueError) as error:
        raise ExpressionError(f"{expression_text(expression)}: in {uri}, {error}") from None


def text_of(value: Any) -> str:
    """Write a value as the service does when it needs a string.

    ``true``/``false`` (recorded in the SDK's ``test_fail_steps.py`` and ``test_pipeline_var_behaviors.py``), integers
    as digits, floats in their shortest form (``0.25``, ``1.0``), strings as they are, without quotes.

    Raises:
        ExpressionError: The value has no text: null (the service's text for it is not known, and a silent ``null`` in
            a path or an argument would hide a missing metric), NaN and infinities, integers of thousands of digits,
            lists, objects.

    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int) and value.bit_length() <= HUGE_BITS:
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return repr(value)
    if isinstance(value, int | float):
        raise ExpressionError(f"{shown(value)} is no number that can be written as text")
    raise ExpressionError(f"{kind_of(value)} cannot be written as text; strings, numbers and booleans can")
