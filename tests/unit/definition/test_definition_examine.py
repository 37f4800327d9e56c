"""Are all mistakes found in one go, each once, in document order?"""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.definition import Examined, examine
from harness.definition.examine import _in_document_order
from harness.errors import DefinitionError, Mistake

ALL_STEP_KINDS = (Path(__file__).parent / "data" / "all_v2.json").read_text()
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def get(path: str) -> dict[str, Any]:
    return {"Get": path}


def step(name: str, *words: Any, after: Any = None, kind: str = "Processing") -> dict[str, Any]:
    written: dict[str, Any] = {"Name": name, "Type": kind, "Arguments": {"Words": list(words)}}
    return {**written, "DependsOn": after} if after else written


def text(*steps: Any, parameters: Any = ()) -> str:
    return json.dumps({"Version": "2020-12-01", "Parameters": list(parameters), "Steps": list(steps)})


def refusal(content: str, **given_values: Any) -> DefinitionError:
    with pytest.raises(DefinitionError) as caught:
        examine(content, source="pipe.json", given=given_values)
    return caught.value


def test_the_sdks_definition_is_fit_to_be_run() -> None:
    examined = examine(ALL_STEP_KINDS, source="all_v2.json", given={"NoDef": "s3://b/raw", "N": "3"})

    assert examined.values == {"Env": "a", "N": 3, "Th": 0.5, "B": True, "NoDef": "s3://b/raw"}
    assert examined.graph.order == (
        "Prep", "Train", "Mod-CreateModel", "Tr", "Check", "Reg-RegisterModel", "Bad", "Lam", "Cb", "Tune",
    )  # fmt: skip
    assert examined.graph.needs["Check"] == {"Prep", "Train"}
    assert examined.graph.needs["Reg-RegisterModel"] == {"Check", "Train"}
    assert examined.graph.needs["Bad"] == {"Check", "Prep"}
    assert examined.definition.step("Bad").branch == "ElseSteps"


def test_all_kinds_of_mistakes_come_together_in_document_order() -> None:
    declared = [{"Name": "Wanted", "Type": "String"}, {"Name": "Strict", "Type": "Integer"}]
    asks = {"Type": "Equal", "LeftValue": get("Nope"), "RightValue": 1}
    steps = [
        step("First", get("Steps.Ghost.X")),
        step("Second", get("Parameters.Undeclared"), after=["Phantom"]),
        step("Twin"),
        step("Twin"),
        step("Tick", after=["Tock"]),
        step("Tock", after=["Tick"]),
        {
            "Name": "Check",
            "Type": "Condition",
            "Arguments": {"Conditions": [asks], "IfSteps": [step("In", {"Std:Foo": 1})]},
        },
    ]

    error = refusal(text(*steps, parameters=declared), Strict="word", Unknown="1")

    assert error.subject == "pipe.json"
    assert [mistake.place for mistake in error.mistakes] == [
        "Parameters.Wanted",
        "Parameters.Strict",
        "Parameters.Unknown",
        "Steps[0].Arguments.Words[0]",
        "Steps[1].Arguments.Words[0]",
        "Steps[1].DependsOn[0]",
        "Steps[3].Name",
        "Steps[4]",
        "Steps[6].Arguments.Conditions[0].Type",
        "Steps[6].Arguments.Conditions[0].LeftValue",
        "Steps[6].Arguments.IfSteps[0].Arguments.Words[0]",
    ]
    names = ["Ghost", "Undeclared", "Phantom", "Twin", "Tick → Tock → Tick", "Wanted", "Strict", "Std:Foo", "step In"]
    assert [name for name in names if name not in str(error)] == []


def test_more_than_ten_steps_stay_in_document_order() -> None:
    error = refusal(text(*[step(f"S{n}", after=["Ghost"]) for n in range(12)]))

    assert [mistake.place for mistake in error.mistakes] == [f"Steps[{n}].DependsOn[0]" for n in range(12)]


def test_a_mistake_in_a_branch_is_told_once() -> None:
    broken = step("In", get("Nope"))
    nested = {
        "Name": "Inner",
        "Type": "Condition",
        "Arguments": {"Conditions": [], "IfSteps": [broken], "ElseSteps": []},
    }
    outer = {
        "Name": "Outer",
        "Type": "Condition",
        "Arguments": {"Conditions": [], "IfSteps": [nested], "ElseSteps": []},
    }

    assert len(refusal(text(outer)).mistakes) == 1


def test_a_condition_without_conditions_is_a_mistake() -> None:
    (mistake,) = refusal(text({"Name": "C", "Type": "Condition", "Arguments": {"IfSteps": []}})).mistakes

    assert (mistake.place, mistake.what) == ("Steps[0].Arguments", "step C: the Condition step has no Conditions")


def test_a_malformed_expression_beside_the_arguments_is_found() -> None:
    (mistake,) = refusal(text({**step("Check", kind="QualityCheck"), "SkipCheck": get("Parameter.Skip")})).mistakes

    assert mistake.place == "Steps[0].SkipCheck"
    assert "step Check" in mistake.what


def test_a_wrong_default_is_told_once() -> None:
    declared = [{"Name": "P", "Type": "Integer", "DefaultValue": "x"}]

    assert len(refusal(text(step("A"), parameters=declared)).mistakes) == 1


def test_a_wrong_default_is_told_although_another_value_is_given() -> None:
    declared = [{"Name": "P", "Type": "Integer", "DefaultValue": "x"}]

    assert len(refusal(text(step("A"), parameters=declared), P="1").mistakes) == 1


def test_a_reference_to_a_wrongly_declared_parameter_is_no_second_mistake() -> None:
    declared = [{"Name": "P", "Type": "Date"}]

    assert len(refusal(text(step("A", get("Parameters.P")), parameters=declared)).mistakes) == 1


def test_steps_of_kinds_that_nobody_knows_are_not_refused() -> None:
    body = [step("Body", get("ForEach.CurrentItem.path"))]
    each = {
        "Name": "Each",
        "Type": "ForEach",
        "Arguments": {"ForEachBody": body, "Selector": get("IterationOutput.Body.X")},
    }

    assert examine(text(each, step("New", kind="SomethingNew")), source="p").graph.order == ("Each", "New")


def test_a_definition_cannot_steer_the_terminal() -> None:
    error = refusal(text(step("red\x1b[31m\nnext", after=["\x1b]0;title\x07"])))

    assert all(mistake.what.isprintable() and mistake.place.isprintable() for mistake in error.mistakes)
    assert len(str(error).splitlines()) == 1 + len(error.mistakes)


def test_a_mistake_that_two_checks_find_is_told_once() -> None:
    mistakes = [Mistake("Steps[1]", "b"), Mistake("Steps[0]", "a"), Mistake("Steps[1]", "b")]

    assert _in_document_order(mistakes, {"Steps": [{}, {}]}) == [Mistake("Steps[0]", "a"), Mistake("Steps[1]", "b")]


def test_two_thousand_unknown_names_are_all_told() -> None:
    error = refusal(text(*[step(f"Step{n}", after=[f"Stop{n}"]) for n in range(2000)]))

    assert len(error.mistakes) == 2000


def test_importing_the_room_does_not_import_networkx() -> None:
    examining = f"harness.definition.examine({text(step('A'))!r}, source='p')"
    code = f"import sys, harness.definition; {examining}; sys.exit('networkx' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


SMALL: dict[str, Any] = {
    "Version": "2020-12-01",
    "Metadata": {},
    "Parameters": [{"Name": "P", "Type": "Integer", "DefaultValue": 1, "EnumValues": [1, 2]}],
    "PipelineExperimentConfig": {"ExperimentName": get("Execution.PipelineName")},
    "Steps": [
        {"Name": "A", "Type": "Processing", "DependsOn": [],
         "Arguments": {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "o"}]}, "E": {"N": get("Parameters.P")}},
         "PropertyFiles": [{"PropertyFileName": "F", "OutputName": "o", "FilePath": "f.json"}]},
        {"Name": "C", "Type": "Condition", "DependsOn": ["A"], "Arguments": {
            "Conditions": [
                {"Type": "Not", "Condition": {"Type": "In", "QueryValue": get("Parameters.P"), "Values": [1, 2]}},
                {"Type": "Or", "Conditions": [{
                    "Type": "Equals", "RightValue": 1,
                    "LeftValue": {"Std:JsonGet": {"PropertyFile": get("Steps.A.PropertyFiles.F"), "Path": "m['k'][0]"}},
                }]},
            ],
            "IfSteps": [{"Name": "X", "Type": "Training", "Arguments": {"U": {"Std:Join": {"On": "/", "Values": ["s",
             get("Steps.A.X.Y")]}}}}],
            "ElseSteps": [{"Name": "Z", "Type": "Fail", "Arguments": {"ErrorMessage": "no"}}],
        }},
    ],
}  # fmt: skip
SPARE = [
    None, True, 0, -1, 1.5, "", "A", "C", "X", "Z", "P", "Steps.X.B", "Steps.Z.B", "Parameters.Q", "Condition",
     "Fail", "ForEach", [], {},
    ["A"], ["X"], {"Get": "Steps.C.Outcome"}, {"Get": 1}, {"Std:Join": {}}, {"Std:JsonGet": {}}, {"Std:No": 1},
     {"Type": "Not"},
]  # fmt: skip


def spots(value: Any) -> list[tuple[Any, Any]]:
    """Give every place of a document as its container and key."""
    found: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        here = waiting.pop()
        if isinstance(here, dict | list):
            keys = list(here) if isinstance(here, dict) else list(range(len(here)))
            found += [(here, key) for key in keys]
            waiting += [here[key] for key in keys]
    return found


def test_the_small_definition_is_fit_before_it_is_mutated() -> None:
    assert examine(json.dumps(SMALL), source="p").graph.order == ("A", "C", "X", "Z")


def verdict(content: str, given_values: dict[str, Any]) -> tuple[tuple[Mistake, ...], Examined | None]:
    """Give the mistakes, or what was examined; there is always one of them."""
    try:
        return (), examine(content, source="p", given=given_values)
    except DefinitionError as error:
        return error.mistakes or ("a refusal without a reason",) * 2, None  # type: ignore[return-value]


@settings(PATIENT, max_examples=400)
@given(st.data())
def test_examining_a_mutated_definition_ends_with_a_verdict(data: st.DataObject) -> None:
    document = copy.deepcopy(SMALL)
    for _ in range(data.draw(st.integers(1, 4))):
        container, key = data.draw(st.sampled_from(spots(document)))
        change = data.draw(st.sampled_from(["replace", "delete", "double"]))
        if change == "replace":
            container[key] = copy.deepcopy(data.draw(st.sampled_from(SPARE)))
        elif change == "delete":
            del container[key]
        elif isinstance(container, list):
            container.append(copy.deepcopy(container[key]))
    given_values = data.draw(
        st.dictionaries(st.sampled_from(["P", "Q"]), st.sampled_from(["1", "x", 2, True, 1.5]), max_size=2)
    )

    mistakes, examined = verdict(json.dumps(document), given_values)

    assert len(set(mistakes)) == len(mistakes)
    if examined is not None:
        assert sorted(examined.graph.order) == sorted(one.name for one in examined.definition.steps)
        assert set(examined.values) == {parameter.name for parameter in examined.definition.parameters}
