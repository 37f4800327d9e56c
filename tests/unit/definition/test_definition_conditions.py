"""Do conditions answer as the service does, and refuse to answer where there is no answer?"""

# ruff: noqa: FBT003 - booleans are among the values under test

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.definition.conditions import evaluate, mistakes_of
from harness.errors import ExpressionError

VALUES: dict[str, Any] = {"Count": 4, "Rate": 0.5, "Flag": True, "Word": "w"}


class FakeScope:
    """Knows a few parameters and no steps."""

    def parameter(self, name: str) -> Any:
        if name not in VALUES:
            raise ExpressionError(f"Parameters.{name} has no value")
        return VALUES[name]

    def execution(self, name: str) -> Any:
        return name

    def properties(self, step: str) -> Any:
        raise ExpressionError(f"step {step} has no properties")

    def property_file(self, step: str, name: str) -> Any:
        return {"metric": 0.9, "none": None, "list": [1]}, f"s3://b/{step}/{name}"

    def s3_json(self, uri: str) -> Any:
        raise ExpressionError(uri)


def get(path: str) -> dict[str, Any]:
    return {"Get": path}


def file(path: str) -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": get("Steps.S.PropertyFiles.F"), "Path": path}}


def compare(kind: str, left: Any, right: Any) -> dict[str, Any]:
    return {"Type": kind, "LeftValue": left, "RightValue": right}


def equals(left: Any, right: Any) -> dict[str, Any]:
    return compare("Equals", left, right)


def within(value: Any, *values: Any) -> dict[str, Any]:
    return {"Type": "In", "QueryValue": value, "Values": list(values)}


def negate(condition: Any) -> dict[str, Any]:
    return {"Type": "Not", "Condition": condition}


def either(*conditions: Any) -> dict[str, Any]:
    return {"Type": "Or", "Conditions": list(conditions)}


# The first draw of a text builds Unicode tables, and a shared machine is slow at times: neither is a finding.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
YES, NO = equals(1, 1), equals(1, 2)
BROKEN = equals(get("Steps.Ghost.X"), 1)


@pytest.mark.parametrize(
    ("conditions", "answer"),
    [
        ([equals(3, 3)], True), ([equals(3, 4)], False), ([equals(1, 1.0)], True), ([equals(0.9, 1)], False),
        ([equals("a", "a")], True), ([equals("a", "b")], False), ([equals("a", "A")], False), ([equals("", "")], True),
        ([equals(True, True)], True), ([equals(True, False)], False),
        ([compare("GreaterThan", 2, 1)], True), ([compare("GreaterThan", 2, 2)], False),
        ([compare("GreaterThan", 10, 9)], True),
        ([compare("GreaterThan", "10", "9")], False), ([compare("GreaterThan", "b", "a")], True),
        ([compare("GreaterThanOrEqualTo", 2, 2)], True), ([compare("GreaterThanOrEqualTo", 1.5, 2)], False),
        ([compare("GreaterThanOrEqualTo", "a", "a")], True),
        ([compare("LessThan", 0.5, 0.75)], True), ([compare("LessThan", 1, 1)], False),
        ([compare("LessThan", -1.5, 0)], True),
        ([compare("LessThan", "a", "b")], True), ([compare("LessThan", "Z", "a")], True),
        ([compare("LessThanOrEqualTo", 1, 1)], True), ([compare("LessThanOrEqualTo", 2, 1.99)], False),
        ([within("b", "a", "b")], True), ([within("c", "a", "b")], False), ([within(2, 1, 2.0)], True),
        ([within(1)], False),
        ([within(True, False, True)], True), ([within("a", get("Parameters.Word"), "a")], True),
        ([negate(NO)], True), ([negate(YES)], False), ([negate(negate(NO))], False),
        ([either(NO, YES)], True), ([either(NO, NO)], False), ([either()], False),
        ([either(negate(within("a", "b")), NO)], True),
        ([], True), ([YES, YES], True), ([YES, NO], False), ([NO, YES], False),
        ([equals(get("Parameters.Count"), 4)], True), ([compare("GreaterThan", get("Parameters.Rate"), 0.4)], True),
        ([equals(get("Parameters.Flag"), True)], True), ([equals(file("metric"), 0.9)], True),
        ([compare("GreaterThanOrEqualTo", file("metric"), 1)], False),
        ([equals({"Std:Join": {"On": "-", "Values": ["a", "b"]}}, "a-b")], True),
        ([equals({"Std:Join": {"Values": [get("Parameters.Flag")]}}, "true")], True),
        # from left to right, and no further than needed
        ([NO, BROKEN], False), ([either(YES, BROKEN)], True), ([negate(either(YES, BROKEN))], False),
    ],
)  # fmt: skip
def test_conditions_are_answered(conditions: list[Any], answer: bool) -> None:  # noqa: FBT001
    assert evaluate(conditions, FakeScope()) is answer


@pytest.mark.parametrize(
    ("condition", "named"),
    [
        (equals(1, "1"), ["1 (a number)", '"1" (a string)']),
        (equals(True, 1), ["true (a boolean)", "1 (a number)"]),
        (equals(0, False), ["0 (a number)", "false (a boolean)"]),
        (equals("true", True), ['"true" (a string)', "true (a boolean)"]),
        (compare("LessThan", "a", 1), ['"a" (a string)', "1 (a number)"]),
        (compare("LessThan", False, True), ["booleans have no order"]),
        (compare("GreaterThanOrEqualTo", True, True), ["booleans have no order"]),
        (within(1, "a", 1), ['"a" (a string)']),
        (within(1, 1, "a"), ['"a" (a string)']),
        (within(True, 1), ["a boolean", "a number"]),
        (equals(file("none"), None), ["null"]),
        (equals(file("none"), 1), ["Std:JsonGet", "none", "null", "a number"]),
        (equals(file("list"), file("list")), ["a list"]),
        (equals(get("Parameters.Word"), 1), ['Parameters.Word = "w" (a string)']),
        (equals(float("nan"), 1), ["NaN"]),
        (equals(file("no.such.path"), 1), ["no.such.path"]),
        (equals(get("Parameters.Ghost"), 1), ["Parameters.Ghost"]),
        (BROKEN, ["Ghost"]),
        (either(NO, BROKEN), ["Ghost"]),
        (negate(BROKEN), ["Ghost"]),
        ({"Type": "NotEquals", "LeftValue": 1, "RightValue": 1}, ["NotEquals"]),
        ({"Type": "Equals", "LeftValue": 1}, ["RightValue"]),
        ("yes", ["a string"]),
    ],
)
def test_a_condition_without_an_answer_is_an_error_and_never_false(condition: Any, named: list[str]) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate([condition], FakeScope())

    assert [name for name in named if name not in str(caught.value)] == []


def test_conditions_that_are_no_list_are_an_error() -> None:
    with pytest.raises(ExpressionError, match="takes a list, not an object"):
        evaluate(YES, FakeScope())  # type: ignore[arg-type]


NUMBERS = st.integers() | st.floats(allow_nan=False)
KINDS = {
    "number": NUMBERS,
    "string": st.text(max_size=4),
    "boolean": st.booleans(),
    "null": st.none(),
    "list": st.just([]),
}
COMPARISONS = ["Equals", "GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo"]


@PATIENT
@given(st.permutations(sorted(KINDS)), st.sampled_from([*COMPARISONS, "In"]), st.data())
def test_values_of_different_kinds_are_never_compared(kinds: list[str], comparison: str, data: st.DataObject) -> None:
    left, right = data.draw(KINDS[kinds[0]]), data.draw(KINDS[kinds[1]])
    asked = within(left, right) if comparison == "In" else compare(comparison, left, right)

    with pytest.raises(ExpressionError):
        evaluate([asked], FakeScope())


@PATIENT
@given(NUMBERS, NUMBERS)
def test_comparisons_of_numbers_agree_with_each_other(left: float, right: float) -> None:
    answers = {kind: evaluate([compare(kind, left, right)], FakeScope()) for kind in COMPARISONS}

    assert answers["GreaterThan"] is not answers["LessThanOrEqualTo"]
    assert answers["LessThan"] is not answers["GreaterThanOrEqualTo"]
    assert answers["Equals"] is (answers["LessThanOrEqualTo"] and answers["GreaterThanOrEqualTo"])
    assert evaluate([within(left, right)], FakeScope()) is answers["Equals"]


@pytest.mark.parametrize(
    ("conditions", "place", "said"),
    [
        ("yes", "", "Conditions takes a list, not a string"),
        ({}, "", "Conditions takes a list, not an object"),
        (["yes"], "[0]", "a condition is an object with a Type, not a string"),
        ([get("Parameters.Flag")], "[0]", "not an expression"),
        ([{}], "[0]", "has no Type"),
        ([YES, {"Type": 5}], "[1].Type", "5 is no known condition type"),
        ([{"Type": "Equal"}], "[0].Type", "did you mean Equals?"),
        ([{"Type": "NotIn", "QueryValue": 1, "Values": []}], "[0].Type", "is no known condition type"),
        ([{"Type": "Equals", "LeftValue": 1}], "[0]", "has no RightValue"),
        ([{"Type": "In", "Value": 1, "Values": []}], "[0]", "has no QueryValue"),
        ([{"Type": "In", "QueryValue": 1, "Values": "abc"}], "[0].Values", "Values takes a list, not a string"),
        ([{"Type": "In", "QueryValue": 1, "Values": get("Parameters.X")}], "[0].Values", "not an object"),
        ([{"Type": "Not"}], "[0]", "has no Condition"),
        ([{"Type": "Or", "Conditions": "x"}], "[0].Conditions", "takes a list, not a string"),
        ([negate({"Type": "Or", "Conditions": [YES, {"Type": "Nope"}]})], "[0].Condition.Conditions[1].Type", "Nope"),
    ],
)
def test_a_malformed_condition_is_a_mistake_with_its_place(conditions: Any, place: str, said: str) -> None:
    (mistake,) = mistakes_of(conditions, "C")

    assert mistake.place == f"C{place}"
    assert said in mistake.what


def test_well_formed_conditions_are_no_mistake() -> None:
    assert mistakes_of([YES, within(1, 2), negate(either(YES, NO)), BROKEN], "C") == []


def test_deep_conditions_never_exhaust_the_stack() -> None:
    condition: Any = YES
    for _ in range(20_000):
        condition = negate(condition)

    assert mistakes_of([condition], "C") == []
    with pytest.raises(ExpressionError, match="deeper than 200"):
        evaluate([condition], FakeScope())
