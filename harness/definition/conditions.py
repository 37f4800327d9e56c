"""Does a Condition step take its IfSteps or its ElseSteps?

The service joins ``Conditions`` by AND (SDK 2.257 ``workflow/conditions.py`` and ``condition_step.py``). An evaluation
that cannot be done is an error, never False: a gate that answers "no" because a metric is missing hides the reason.
"""

from __future__ import annotations

import math
import operator
from typing import TYPE_CHECKING, Any

from harness.definition._syntax import expression_text, is_expression
from harness.definition._wording import MAX_DEPTH, did_you_mean, kind_of, listed, shown
from harness.definition.expressions import resolve
from harness.errors import ExpressionError, Mistake

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.definition.expressions import Scope

__all__ = ["evaluate", "mistakes_of"]

_COMPARISONS: dict[str, Callable[[Any, Any], Any]] = {
    "Equals": operator.eq,
    "GreaterThan": operator.gt,
    "GreaterThanOrEqualTo": operator.ge,
    "LessThan": operator.lt,
    "LessThanOrEqualTo": operator.le,
}
_MEMBERS = {
    **dict.fromkeys(_COMPARISONS, ("LeftValue", "RightValue")),
    "In": ("QueryValue", "Values"),
    "Not": ("Condition",),
    "Or": ("Conditions",),
}


def evaluate(conditions: Sequence[Any], scope: Scope) -> bool:
    """Evaluate conditions that are joined by AND; none at all is true.

    AND and Or go from left to right and stop as soon as the answer is known, as the SDK's local mode does: what stands
    behind is not evaluated. An int and a float compare as numbers (1 equals 1.0), a boolean is no number, strings
    order by code point. ``In`` wants every one of its values to be of the queried value's kind.

    Raises:
        ExpressionError: A condition is malformed, a value cannot be resolved, kinds differ, or the kind has no order;
            the message names both values and their kinds.

    """
    if not isinstance(conditions, list | tuple):
        raise ExpressionError(f"Conditions takes a list, not {kind_of(conditions)}")
    return all(_holds(condition, scope, 0) for condition in conditions)


def _holds(condition: Any, scope: Scope, depth: int) -> bool:
    if depth > MAX_DEPTH:
        raise ExpressionError(f"the conditions nest deeper than {MAX_DEPTH} levels")
    if wrong := _wrong_with(condition):
        raise ExpressionError(wrong[0][1])
    kind = condition["Type"]
    if kind == "Not":
        return not _holds(condition["Condition"], scope, depth + 1)
    if kind == "Or":
        return any(_holds(inner, scope, depth + 1) for inner in condition["Conditions"])
    if kind == "In":
        queried = _operand(condition, "QueryValue", scope)
        # All are compared before any answer is given: a value of another kind is an error wherever it stands.
        answers = [
            _compare(kind, queried, (expression_text(value), resolve(value, scope))) for value in condition["Values"]
        ]
        return any(answers)
    return _compare(kind, _operand(condition, "LeftValue", scope), _operand(condition, "RightValue", scope))


def _operand(condition: Mapping[str, Any], member: str, scope: Scope) -> tuple[str, Any]:
    """Give an operand's text and value."""
    return expression_text(condition[member]), resolve(condition[member], scope)


def _compare(kind: str, left: tuple[str, Any], right: tuple[str, Any]) -> bool:
    kinds = kind_of(left[1]), kind_of(right[1])
    said = f"{kind} cannot compare {_described(*left)} with {_described(*right)}"
    if kinds[0] != kinds[1]:
        raise ExpressionError(f"{said}: the kinds differ")
    if kinds[0] not in {"a number", "a string", "a boolean"}:
        raise ExpressionError(f"{said}: only numbers, strings and booleans can be compared")
    if any(isinstance(value, float) and math.isnan(value) for _, value in (left, right)):
        raise ExpressionError(f"{said}: NaN compares with nothing")
    if kinds[0] == "a boolean" and kind not in {"Equals", "In"}:
        raise ExpressionError(f"{said}: booleans have no order")
    compare = _COMPARISONS["Equals" if kind == "In" else kind]
    return bool(compare(left[1], right[1]))


def _described(text: str, value: Any) -> str:
    """Write ``0.9 (a number)``, and where it came from, if from elsewhere."""
    written = shown(value)
    return f"{written} ({kind_of(value)})" if text == written else f"{text} = {written} ({kind_of(value)})"


def mistakes_of(conditions: Any, place: str) -> list[Mistake]:
    """Find the malformed conditions of a Condition step; expressions in them are not looked into.

    Args:
        conditions: The step's ``Conditions``.
        place: Their JSON path, with which the places of the mistakes begin.

    """
    if not isinstance(conditions, list | tuple):
        return [Mistake(place, f"Conditions takes a list, not {kind_of(conditions)}")]
    mistakes: list[Mistake] = []
    waiting = [(f"{place}[{index}]", inner) for index, inner in enumerate(conditions)][::-1]
    while waiting:
        here, condition = waiting.pop()
        wrong = _wrong_with(condition)
        mistakes += [Mistake(f"{here}.{member}" if member else here, what) for member, what in wrong]
        if not isinstance(condition, dict):
            continue
        if condition.get("Type") == "Not" and "Condition" in condition:
            waiting.append((f"{here}.Condition", condition["Condition"]))
        elif condition.get("Type") == "Or" and isinstance(condition.get("Conditions"), list | tuple):
            inner_place = f"{here}.Conditions"
            waiting += [(f"{inner_place}[{i}]", inner) for i, inner in enumerate(condition["Conditions"])][::-1]
    return mistakes


def _wrong_with(condition: Any) -> list[tuple[str, str]]:
    """Say what is wrong with one condition: pairs of the member concerned and a sentence."""
    if not isinstance(condition, dict) or is_expression(condition):
        what = "an expression" if isinstance(condition, dict) else kind_of(condition)
        return [("", f"a condition is an object with a Type, not {what}")]
    if "Type" not in condition:
        return [("", "the condition has no Type")]
    kind = condition["Type"]
    if not isinstance(kind, str) or kind not in _MEMBERS:
        hint = did_you_mean(kind, _MEMBERS) if isinstance(kind, str) else ""
        return [("Type", f"{shown(kind)} is no known condition type; {hint or f'there are {listed(_MEMBERS)}'}")]
    wrong = [("", f"the condition {kind} has no {member}") for member in _MEMBERS[kind] if member not in condition]
    due = {"In": "Values", "Or": "Conditions"}.get(kind)
    if due and due in condition and not isinstance(condition[due], list | tuple):
        wrong.append((due, f"the condition {kind}: {due} takes a list, not {kind_of(condition[due])}"))
    return wrong
