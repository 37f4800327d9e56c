"""Are expressions found, checked and evaluated as the service does?"""

# ruff: noqa: FBT003 - booleans are among the values under test

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.definition.expressions import (
    EXECUTION_VARIABLES,
    Reference,
    is_static,
    mistakes_of,
    references,
    resolve,
    text_of,
)
from harness.errors import ExpressionError

if TYPE_CHECKING:
    from collections.abc import Mapping

# The first draw of a text builds Unicode tables, and a shared machine is slow at times: neither is a finding.
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
URI = "s3://bucket/evaluated/report.json"
REPORT = {"metrics": {"auc": 0.991, "n": 12, "passed": True, "names": ["a", "b"], "odd key": "odd", "none": None}}
PROPERTIES: dict[str, Any] = {
    "Prep": {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "out", "S3Output": {"S3Uri": "s3://bucket/out"}}]}},
    "Train": {"FinalMetricDataList": [{"MetricName": "val:acc", "Value": 0.5}], "HyperParameters": {"n": "3"}},
    "Check": {"Outcome": "true"},
}
PARAMETERS: dict[str, Any] = {"Word": "w", "Count": 7, "Rate": 0.25, "Whole": 1.0, "Yes": True, "No": False}


class FakeScope:
    """Knows two steps, one property file and one S3 object."""

    def parameter(self, name: str) -> str | int | float | bool:
        return PARAMETERS[name]

    def execution(self, name: str) -> str | int | float | bool:
        return f"<{name}>"

    def properties(self, step: str) -> Mapping[str, Any]:
        if step not in PROPERTIES:
            raise ExpressionError(f"step {step} has no properties")
        return PROPERTIES[step]

    def property_file(self, step: str, name: str) -> tuple[Any, str]:
        if (step, name) != ("Prep", "Rep"):
            raise ExpressionError(f"no property file {name} of {step}")
        return REPORT, URI

    def s3_json(self, uri: str) -> Any:
        if uri != URI:
            raise ExpressionError(f"no object {uri}")
        return REPORT


def get(path: str) -> dict[str, Any]:
    return {"Get": path}


def join(*values: Any, on: str = "") -> dict[str, Any]:
    return {"Std:Join": {"On": on, "Values": list(values)}}


def json_get(path: str, file: str = "Rep", step: str = "Prep") -> dict[str, Any]:
    return {"Std:JsonGet": {"PropertyFile": get(f"Steps.{step}.PropertyFiles.{file}"), "Path": path}}


def s3_get(uri: Any, path: str) -> dict[str, Any]:
    return {"Std:JsonGet": {"S3Uri": uri, "Path": path}}


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        # literals stay as they are
        (None, None), (1, 1), (1.5, 1.5), (True, True), ("x", "x"), ([], []), ({}, {}),
        ({"Get": "x", "b": 1}, {"Get": "x", "b": 1}),
        # a bare Get keeps its type
        (get("Parameters.Word"), "w"), (get("Parameters.Count"), 7), (get("Parameters.Rate"), 0.25),
        (get("Parameters.Whole"), 1.0), (get("Parameters.Yes"), True), (get("Parameters.No"), False),
        *[(get(f"Execution.{name}"), f"<{name}>") for name in EXECUTION_VARIABLES],
        (get("PipelineExperimentConfig.TrialName"), "<PipelineExperimentConfig.TrialName>"),
        # at any depth
        ({"a": [get("Parameters.Count"), {"b": get("Parameters.Word")}]}, {"a": [7, {"b": "w"}]}),
        ((get("Parameters.Count"),), [7]),
        # properties, lists by name and by position
        (get("Steps.Prep.ProcessingOutputConfig.Outputs['out'].S3Output.S3Uri"), "s3://bucket/out"),
        (get('Steps.Prep.ProcessingOutputConfig.Outputs["out"].S3Output.S3Uri'), "s3://bucket/out"),
        (get("Steps.Prep.ProcessingOutputConfig.Outputs[0].OutputName"), "out"),
        (get("Steps.Train.FinalMetricDataList['val:acc'].Value"), 0.5),
        (get("Steps.Train.HyperParameters.n"), "3"), (get("Steps.Train.HyperParameters['n']"), "3"),
        (get("Steps.Train.HyperParameters"), {"n": "3"}), (get("Steps.Check.Outcome"), "true"),
        # Join
        (join(), ""), (join("a"), "a"), (join("a", "b", on="/"), "a/b"), (join(get("Parameters.Yes")), "true"),
        (join(get("Parameters.No")), "false"), (join(get("Parameters.Count")), "7"),
        (join(get("Parameters.Rate")), "0.25"), (join(get("Parameters.Whole")), "1.0"),
        (join("a", True, 3, on=","), "a,true,3"),
        (join("a", get("Parameters.Word"), join("x", get("Parameters.Count"), on="_"), on="/"), "a/w/x_7"),
        ({"Std:Join": {"Values": ["a", 1]}}, "a1"), (join("", "", on="-"), "-"), (join(-1, 1e16, on=" "), "-1 1e+16"),
        (join(json_get("metrics.auc"), json_get("metrics.passed"), on=" "), "0.991 true"),
        ({"k": join("a", get("Execution.PipelineName"))}, {"k": "a<PipelineName>"}),
        # JsonGet
        (json_get("metrics.auc"), 0.991), (json_get("metrics.n"), 12), (json_get("metrics.passed"), True),
        (json_get("metrics.names[1]"), "b"), (json_get("metrics['odd key']"), "odd"), (json_get("$.metrics.n"), 12),
        (json_get("metrics.none"), None), (json_get("metrics.names"), ["a", "b"]), (json_get("$"), REPORT),
        (s3_get(URI, "metrics.n"), 12), (s3_get(join("s3://bucket", "evaluated/report.json", on="/"), "metrics.n"), 12),
    ],
)  # fmt: skip
def test_an_expression_has_the_services_value(value: Any, resolved: Any) -> None:
    answer = resolve(value, FakeScope())

    assert answer == resolved
    assert type(answer) is type(resolved)


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (get("Steps.Prep.Foo['x']"), ["Steps.Prep.Foo['x']", "'Foo'", "ProcessingOutputConfig"]),
        (get("Steps.Prep.ProcessingOutputConfig.Outputs['in']"), ["Outputs['in']", "named 'in'", "it has out"]),
        (get("Steps.Ghost.X"), ["Ghost"]),
        (json_get("metrics.nowhere"), ["metrics.nowhere", "Steps.Prep.PropertyFiles.Rep", URI, "it has auc, n"]),
        (json_get("metrics.names[7]"), ["metrics.names[7]", "its length is 2"]),
        (json_get("a", file="Absent"), ["Absent"]),
        (s3_get("s3://bucket/other.json", "a"), ["s3://bucket/other.json"]),
        (s3_get(get("Parameters.Count"), "a"), ["a number", "S3Uri"]),
        (s3_get(URI, "x.y"), [URI, "x.y"]),
        (join(json_get("metrics.none")), ["metrics.none", "null"]),
        (join(json_get("metrics.names")), ["metrics.names", "a list"]),
        (join({"a": 1}), ["an object"]),
        (get("Execution.Nope"), ["Execution.Nope", "PipelineName"]),
        (get("ForEach.CurrentItem.name"), ["ForEach"]),
        (get("IterationOutput.Step.x"), ["ForEach"]),
        ({"Std:Nope": 1}, ["Std:Nope"]),
        (get(5), ["a number"]),  # type: ignore[arg-type]
    ],
)
def test_what_has_no_value_is_an_error_that_names_it(value: Any, named: list[str]) -> None:
    with pytest.raises(ExpressionError) as caught:
        resolve({"deep": [value]}, FakeScope())

    assert [name for name in named if name not in str(caught.value)] == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("", ""), ("x y", "x y"), (True, "true"), (False, "false"), (0, "0"), (-3, "-3"), (10**20, "1" + "0" * 20),
        (0.25, "0.25"), (1.0, "1.0"), (-0.5, "-0.5"), (1e-07, "1e-07"), (0.1, "0.1"), (1 / 3, "0.3333333333333333"),
    ],
)  # fmt: skip
def test_a_value_has_one_text(value: Any, text: str) -> None:
    assert text_of(value) == text


@pytest.mark.parametrize(
    "value", [None, [], {}, float("nan"), float("inf"), pytest.param(10**5_000, id="huge"), object()]
)
def test_what_has_no_text_is_an_error(value: Any) -> None:
    with pytest.raises(ExpressionError):
        text_of(value)


@pytest.mark.parametrize(
    ("value", "place", "said"),
    [
        ({"Std:Foo": []}, "", "Std:Foo is no known function"),
        ({"Std:join": {"Values": []}}, "", "did you mean Std:Join?"),
        (get(5), "", "Get takes a string such as Parameters.Name, not a number"),  # type: ignore[arg-type]
        (get(""), "", "is no reference"),
        (get("Parameter.X"), "", "is no reference"),
        (get("Parameters."), "", "is no reference"),
        (get("Parameters.X.y"), "", "is no reference"),
        (get("Steps.Prep"), "", "is no reference"),
        (get("Steps.Prep."), "", "is no reference"),
        (get("Steps.Prep.A[x]"), "", "cannot be read: position 2"),
        (get("Steps.Prep.$.A"), "", "does not begin with '$'"),
        (get("Steps.Pr ep.A"), "", "is no reference"),
        (get("Execution.PipelineNam"), "", "did you mean PipelineName?"),
        (get("Execution.Wholly"), "", "there are StartDateTime"),
        (get("Steps.Prep.PropertyFiles.Rep"), "", "read with Std:JsonGet"),
        ({"Std:Join": "x"}, "", "Std:Join takes an object, not a string"),
        ({"Std:Join": {"On": "/"}}, "", "has no Values"),
        ({"Std:Join": {"On": 1, "Values": []}}, "", "On takes a string, not a number"),
        ({"Std:Join": {"Values": "ab"}}, "", "Values takes a list, not a string"),
        ({"Std:Join": {"Values": ["a", get("x")]}}, ".Std:Join.Values[1]", "is no reference"),
        ({"Std:JsonGet": []}, "", "takes an object, not a list"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k"}}, "", "has no Path"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": 1}}, "", "Path takes a string"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": "a["}}, "", "position 2"),
        ({"Std:JsonGet": {"S3Uri": "s3://b/k", "Path": ""}}, "", "the path is empty"),
        ({"Std:JsonGet": {"Path": "a"}}, "", "neither"),
        ({"Std:JsonGet": {**json_get("a")["Std:JsonGet"], "S3Uri": "s3://b/k"}}, "", "both"),
        ({"Std:JsonGet": {"PropertyFile": "Rep", "Path": "a"}}, "", "the one member Get"),
        ({"Std:JsonGet": {"PropertyFile": get("Steps.Prep.X"), "Path": "a"}}, "", "not Steps.Prep.X"),
        (s3_get(5, "a"), "", "S3Uri takes a string or an expression, not a number"),
        (s3_get(join(get("Nope")), "a"), ".Std:JsonGet.S3Uri.Std:Join.Values[0]", "is no reference"),
        ({"a": {"b c": [get("Nope")]}}, ".a['b c'][0]", "is no reference"),
    ],
)
def test_a_malformed_expression_is_a_mistake_with_its_place(value: Any, place: str, said: str) -> None:
    (mistake,) = mistakes_of(value, "Here")

    assert mistake.place == f"Here{place}"
    assert said in mistake.what
    with pytest.raises(ExpressionError):
        resolve(value, FakeScope())


@pytest.mark.parametrize(
    "value",
    [join("a", get("Parameters.X")), json_get("a.b"), s3_get(join("a"), "a"), get("Steps.S.A['k'].B[0]"),
     {"Get": 1, "other": 2}, get("ForEach.CurrentItem"), get("ForEach.CurrentItem['a']"),
     get("IterationOutput.Body.OutputParameters['n']"), get("PipelineExperimentConfig.ExperimentName")],
)  # fmt: skip
def test_a_well_formed_expression_is_no_mistake(value: Any) -> None:
    assert mistakes_of(value, "") == []


def test_references_are_found_everywhere_with_their_places() -> None:
    value = {
        "env": {"A": get("Parameters.P"), "B": get("Execution.PipelineName")},
        "list": [join("x", get("Steps.Prep.ProcessingJobName"), s3_get(join(get("Steps.Train.A.B")), "k"))],
        "file": json_get("m.v"),
        "broken": get("nonsense"),
    }

    assert list(references(value, "Steps[1].Arguments")) == [
        Reference("parameter", None, "P", "Steps[1].Arguments.env.A"),
        Reference("execution", None, "PipelineName", "Steps[1].Arguments.env.B"),
        Reference("property", "Prep", "ProcessingJobName", "Steps[1].Arguments.list[0].Std:Join.Values[1]"),
        Reference(
            "property",
            "Train",
            "A.B",
            "Steps[1].Arguments.list[0].Std:Join.Values[2].Std:JsonGet.S3Uri.Std:Join.Values[0]",
        ),
        Reference("property_file", "Prep", "Rep", "Steps[1].Arguments.file.Std:JsonGet.PropertyFile"),
    ]


@pytest.mark.parametrize(
    "text",
    ["Parameters.P", "Execution.PipelineArn", "Steps.S.A['b'].C", "Steps.S.PropertyFiles.F",
     "PipelineExperimentConfig.TrialName"],
)  # fmt: skip
def test_a_reference_keeps_its_text(text: str) -> None:
    value = {"Std:JsonGet": {"PropertyFile": get(text), "Path": "a"}} if "Files" in text else get(text)

    assert [reference.text for reference in references(value)] == [text]


def test_skipped_members_are_skipped_at_the_top_only() -> None:
    value = {"IfSteps": get("Parameters.A"), "other": {"IfSteps": get("Parameters.B")}}

    assert [reference.name for reference in references(value, skip=("IfSteps",))] == ["B"]


@pytest.mark.parametrize(
    ("value", "static"),
    [(1, True), (get("Parameters.P"), True), (join("a", get("Execution.PipelineExecutionId")), True),
     (get("Steps.S.A"), False), (join("a", get("Steps.S.A")), False), (json_get("a"), False),
     (s3_get("s3://b/k", "a"), False), ({"a": [get("Steps.S.A")]}, False)],
)  # fmt: skip
def test_only_what_reads_no_step_is_static(value: Any, static: bool) -> None:  # noqa: FBT001
    assert is_static(value) is static


def nested(depth: int, inner: Any) -> Any:
    for _ in range(depth):
        inner = [inner]
    return inner


def test_deep_values_are_walked_without_recursion() -> None:
    value = nested(50_000, get("Parameters.P"))

    assert [reference.name for reference in references(value)] == ["P"]
    assert mistakes_of(value, "") == []


@pytest.mark.parametrize("depth", [199, 201, 5_000])
def test_deep_values_are_resolved_or_refused_but_never_exhaust_the_stack(depth: int) -> None:
    if depth < 200:
        assert resolve(nested(depth, get("Parameters.Count")), FakeScope()) == nested(depth, 7)
        return
    with pytest.raises(ExpressionError, match="deeper than 200"):
        resolve(nested(depth, 1), FakeScope())


def test_deep_joins_never_exhaust_the_stack() -> None:
    value: Any = "x"
    for _ in range(3_000):
        value = join(value)

    with pytest.raises(ExpressionError, match="deeper"):
        resolve(value, FakeScope())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["Parameters.Word", "Steps.Prep.A", "Execution.X", "Steps.Prep.PropertyFiles.Rep"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["Get", "Std:Join", "Std:JsonGet", "Std:X", "On", "Values", "S3Uri", "Path",
     "PropertyFile"]),
                      inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


@PATIENT
@given(JSON)
def test_any_value_is_resolved_or_is_an_expression_error(value: Any) -> None:
    found = mistakes_of(value, "V")
    list(references(value, "V"))
    try:
        resolve(value, FakeScope())
    except (ExpressionError, KeyError):
        return
    assert found == []


@PATIENT
@given(JSON)
def test_resolving_does_not_change_the_definition(value: Any) -> None:
    before = json.dumps(value, sort_keys=True)
    with contextlib.suppress(ExpressionError, KeyError):
        resolve(value, FakeScope())
    assert json.dumps(value, sort_keys=True) == before
