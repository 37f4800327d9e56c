"""Is a definition read completely, and is everything that is wrong with it said with its place?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.definition import ParameterDeclaration, PropertyFile, read
from harness.errors import DefinitionError

ALL_STEP_KINDS = Path(__file__).parent / "data" / "all_v2.json"
PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def step(name: str, kind: str = "Processing", **more: Any) -> dict[str, Any]:
    return {"Name": name, "Type": kind, "Arguments": {}, **more}


def condition(name: str, then: Any, other: Any) -> dict[str, Any]:
    return step(name, "Condition", Arguments={"Conditions": [], "IfSteps": then, "ElseSteps": other})


def text(*steps: Any, **more: Any) -> str:
    return json.dumps({"Version": "2020-12-01", "Steps": list(steps), **more})


def mistakes(*steps: Any, **more: Any) -> list[tuple[str, str]]:
    _, found = read(text(*steps, **more), source="p.json")
    return [(mistake.place, f"{mistake.what} {mistake.remedy}") for mistake in found]


def test_the_sdks_definition_is_read_without_mistakes() -> None:
    definition, found = read(ALL_STEP_KINDS.read_text(), source="all_v2.json")

    assert found == []
    assert [one.name for one in definition.steps] == [
        "Prep", "Train", "Mod-CreateModel", "Tr", "Check", "Reg-RegisterModel", "Bad", "Lam", "Cb", "Tune",
    ]  # fmt: skip
    assert definition.version == "2020-12-01"
    assert definition.experiment_config == {
        "ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": {"Get": "Execution.PipelineExecutionId"},
    }  # fmt: skip
    assert definition.raw == json.loads(ALL_STEP_KINDS.read_text())


def test_a_steps_members_are_kept() -> None:
    definition, _ = read(ALL_STEP_KINDS.read_text(), source="all_v2.json")

    prep = definition.step("Prep")
    assert (prep.type, prep.display_name, prep.description, prep.place) == ("Processing", "D", "d", "Steps[0]")
    assert prep.property_files == (PropertyFile(name="Rep", output_name="out", file_path="e.json"),)
    assert prep.cache_config == {"Enabled": True, "ExpireAfter": "P30d"}
    assert [policy["ExceptionType"] for policy in prep.retry_policies] == [
        ["Step.SERVICE_FAULT"],
        ["SageMaker.CAPACITY_ERROR"],
    ]
    assert definition.step("Lam").depends_on == ("Prep",)
    assert definition.step("Lam").raw["FunctionArn"] == "arn:aws:lambda:us-east-1:123456789012:function:f"


def test_parameters_are_kept_with_and_without_default() -> None:
    definition, _ = read(ALL_STEP_KINDS.read_text(), source="all_v2.json")

    assert definition.parameters == (
        ParameterDeclaration(name="Env", type="String", default="a", has_default=True, enum_values=("a", "b")),
        ParameterDeclaration(name="N", type="Integer", default=1, has_default=True),
        ParameterDeclaration(name="Th", type="Float", default=0.5, has_default=True),
        ParameterDeclaration(name="B", type="Boolean", default=True, has_default=True),
        ParameterDeclaration(name="NoDef", type="String"),
    )


def test_branch_steps_stand_behind_their_condition_with_their_place() -> None:
    inner = condition("Inner", [], [step("Deepest")])
    definition, found = read(text(step("A"), condition("C", [step("X"), inner], [step("Y")]), step("Z")), source="p")

    assert found == []
    assert [(s.name, s.place, s.parent, s.branch) for s in definition.steps] == [
        ("A", "Steps[0]", None, None),
        ("C", "Steps[1]", None, None),
        ("X", "Steps[1].Arguments.IfSteps[0]", "C", "IfSteps"),
        ("Inner", "Steps[1].Arguments.IfSteps[1]", "C", "IfSteps"),
        ("Deepest", "Steps[1].Arguments.IfSteps[1].Arguments.ElseSteps[0]", "Inner", "ElseSteps"),
        ("Y", "Steps[1].Arguments.ElseSteps[0]", "C", "ElseSteps"),
        ("Z", "Steps[2]", None, None),
    ]


def test_an_unknown_step_is_no_step() -> None:
    definition, _ = read(text(step("A")), source="p")

    with pytest.raises(KeyError):
        definition.step("B")


def test_models_cannot_be_changed() -> None:
    definition, _ = read(text(step("A")), source="p")

    with pytest.raises(ValidationError):
        definition.steps[0].name = "B"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("content", "place", "said"),
    [
        ("", "", "there is nothing in it"),
        (" \n", "", "there is nothing in it"),
        ("{", "line 1, column 2", "this is not JSON"),
        ("{\n  'a': 1}", "line 2, column 3", "this is not JSON"),
        ("not json", "line 1, column 1", "this is not JSON"),
        ("\x00\x01", "line 1, column 1", "this is not JSON"),
        ("[]", "", "this is a list"),
        ("null", "", "this is null"),
        ('"x"', "", "this is a string"),
        ("{}", "Version", '"2020-12-01" is expected'),
        ('{"Version": "2020-12-01"}', "Steps", "no list of Steps"),
        ('{"Version": "1999-01-01", "Steps": []}', "Version", '"1999-01-01"; "2020-12-01" is expected'),
        ('{"Version": 5, "Steps": []}', "Version", "is 5"),
        ('{"Version": "2020-12-01", "Steps": {}}', "Steps", "not an object"),
        ("[" * 100_000, "", "deeper than 200"),
        ('{"a":' * 300 + "1" + "}" * 300, "a.a.a", "deeper than 200"),
        ("9" * 5_000, "", "cannot be read"),
        ('{"Version": "\\ud800"}', "Version", "surrogate"),
        ('{"Steps": {"\\ud800": 1}}', "Steps", "surrogate"),
    ],
)
def test_what_is_no_definition_is_refused_with_its_source(content: str, place: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        read(content, source="here.json")

    assert str(caught.value).startswith("here.json: ")
    assert caught.value.exit_code == 2
    assert caught.value.mistakes[0].place.startswith(place)
    assert said in caught.value.mistakes[0].what


def test_version_and_steps_are_missed_together() -> None:
    with pytest.raises(DefinitionError) as caught:
        read("{}", source="p")

    assert [mistake.place for mistake in caught.value.mistakes] == ["Version", "Steps"]


def test_a_byte_order_mark_is_read_over() -> None:
    assert read("\ufeff" + text(step("A")), source="p")[1] == []


@pytest.mark.parametrize("member", ["Metadata", "Parameters", "PipelineExperimentConfig"])
def test_members_that_are_null_are_absent(member: str) -> None:
    assert mistakes(step("A", DependsOn=None, PropertyFiles=None, CacheConfig=None), **{member: None}) == []


PROPERTY_FILE = {"PropertyFileName": "F", "OutputName": "out", "FilePath": "f.json"}
WITH_OUTPUT = {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "out"}]}}


@pytest.mark.parametrize(
    ("wrong", "place", "said"),
    [
        ("x", "Steps[1]", "a step is an object, not a string"),
        ({"Type": "Fail"}, "Steps[1]", "has no Name"),
        ({"Name": 5, "Type": "Fail"}, "Steps[1]", "Name is a string, not a number"),
        ({"Name": "B"}, "Steps[1]", "step B has no Type"),
        ({"Name": "B", "Type": 5}, "Steps[1].Type", "step B: Type takes a name, not 5"),
        ({"Name": "B", "Type": ""}, "Steps[1].Type", "step B"),
        (step("a b"), "Steps[1].Name", '"a b" is no step name'),
        (step(""), "Steps[1].Name", "is no step name"),
        (step("x" * 65), "Steps[1].Name", "1 to 64"),
        (step("Straße"), "Steps[1].Name", "is no step name"),
        (step("A\n"), "Steps[1].Name", '"A\\n" is no step name'),
        (step("A"), "Steps[1].Name", "two steps named A; the other one is Steps[0]"),
        (condition("C", [step("A")], []), "Steps[1].Arguments.IfSteps[0].Name", "two steps named A"),
        (condition("C", [step("C")], []), "Steps[1].Arguments.IfSteps[0].Name", "two steps named C"),
        (condition("C", [step("X")], [step("X")]), "Steps[1].Arguments.ElseSteps[0].Name", "IfSteps[0]"),
        (condition("C", {}, []), "Steps[1].Arguments.IfSteps", "step C: IfSteps takes a list of steps, not an object"),
        (condition("C", [], "x"), "Steps[1].Arguments.ElseSteps", "step C: ElseSteps takes a list of steps"),
        (condition("C", [1], []), "Steps[1].Arguments.IfSteps[0]", "a step is an object"),
        (step("B", Arguments=[]), "Steps[1].Arguments", "step B: Arguments takes an object, not a list"),
        (step("B", DependsOn="A"), "Steps[1].DependsOn", "step B: DependsOn takes a list, not a string"),
        (step("B", DependsOn=["A", 1]), "Steps[1].DependsOn[1]", "step B: DependsOn takes step names, not a number"),
        (step("B", DependsOn=[{"Step": "A", "Trigger": "Failed"}]), "Steps[1].DependsOn[0]", "not emulated"),
        (step("B", DisplayName=5), "Steps[1].DisplayName", "step B: DisplayName takes a string"),
        (step("B", CacheConfig=True), "Steps[1].CacheConfig", "step B: CacheConfig takes an object"),
        (step("B", RetryPolicies={}), "Steps[1].RetryPolicies", "step B: RetryPolicies takes a list"),
        (step("B", RetryPolicies=[1]), "Steps[1].RetryPolicies[0]", "step B: a policy is an object"),
        (step("B", PropertyFiles={}), "Steps[1].PropertyFiles", "step B: PropertyFiles takes a list"),
        (step("B", PropertyFiles=["F"]), "Steps[1].PropertyFiles[0]", "a property file is an object"),
        (step("B", PropertyFiles=[{"OutputName": "o"}]), "Steps[1].PropertyFiles[0]",
         "no PropertyFileName and no FilePath"),
        (step("B", PropertyFiles=[PROPERTY_FILE]), "Steps[1].PropertyFiles[0].OutputName", "it has no outputs"),
        (step("B", Arguments=WITH_OUTPUT, PropertyFiles=[{**PROPERTY_FILE, "OutputName": "oot"}]),
         "Steps[1].PropertyFiles[0].OutputName", "did you mean out?"),
        (step("B", Arguments=WITH_OUTPUT, PropertyFiles=[PROPERTY_FILE, PROPERTY_FILE]),
         "Steps[1].PropertyFiles[1].PropertyFileName", "two property files named F"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_step_is_a_mistake_with_its_place(wrong: Any, place: str, said: str) -> None:
    ((found_place, what),) = mistakes(step("A"), wrong)

    assert found_place == place
    assert said in what


@pytest.mark.parametrize(
    "arguments",
    [WITH_OUTPUT, {"ProcessingOutputConfig": {"Outputs": [{"OutputName": {"Get": "Parameters.P"}}]}}],
)
def test_a_property_file_in_an_output_that_may_be_there_is_no_mistake(arguments: dict[str, Any]) -> None:
    assert mistakes(step("A", Arguments=arguments, PropertyFiles=[PROPERTY_FILE])) == []


@pytest.mark.parametrize(
    ("wrong", "place", "said"),
    [
        ({"Parameters": {}}, "Parameters", "takes a list, not an object"),
        ({"Parameters": ["P"]}, "Parameters[0]", "a parameter is an object"),
        ({"Parameters": [{"Type": "String"}]}, "Parameters[0]", "has no Name"),
        ({"Parameters": [{"Name": 1, "Type": "String"}]}, "Parameters[0]", "a Name is a string"),
        ({"Parameters": [{"Name": "a b", "Type": "String"}]}, "Parameters[0].Name", "is no parameter name"),
        ({"Parameters": [{"Name": "P"}]}, "Parameters[0].Type", "parameter P has no Type"),
        ({"Parameters": [{"Name": "P", "Type": "Int"}]}, "Parameters[0].Type", '"Int"'),
        ({"Parameters": [{"Name": "P", "Type": "integer"}]}, "Parameters[0].Type", "did you mean Integer?"),
        ({"Parameters": [{"Name": "P", "Type": "String"}] * 2}, "Parameters[1].Name",
         "P is declared already at Parameters[0]"),
        ({"Parameters": [{"Name": "P", "Type": "Integer", "DefaultValue": "1"}]}, "Parameters[0].DefaultValue",
         '"1" is not of type'),
        ({"Parameters": [{"Name": "P", "Type": "Integer", "DefaultValue": 1.5}]}, "Parameters[0].DefaultValue", "1.5"),
        ({"Parameters": [{"Name": "P", "Type": "Integer", "DefaultValue": True}]}, "Parameters[0].DefaultValue",
         "true"),
        ({"Parameters": [{"Name": "P", "Type": "Float", "DefaultValue": "x"}]}, "Parameters[0].DefaultValue", '"x"'),
        ({"Parameters": [{"Name": "P", "Type": "Boolean", "DefaultValue": 0}]}, "Parameters[0].DefaultValue",
         "true or false"),
        ({"Parameters": [{"Name": "P", "Type": "String", "DefaultValue": 5}]}, "Parameters[0].DefaultValue",
         "parameter P"),
        ({"Parameters": [{"Name": "P", "Type": "String", "DefaultValue": []}]}, "Parameters[0].DefaultValue", "a list"),
        ({"Parameters": [{"Name": "P", "Type": "String", "DefaultValue": None}]}, "Parameters[0].DefaultValue",
         "leave it out"),
        ({"Parameters": [{"Name": "P", "Type": "String", "DefaultValue": "z", "EnumValues": ["a", "b"]}]},
         "Parameters[0].DefaultValue", 'allowed are "a", "b"'),
        ({"Parameters": [{"Name": "P", "Type": "String", "EnumValues": "ab"}]}, "Parameters[0].EnumValues",
         "not a string"),
        ({"Parameters": [{"Name": "P", "Type": "String", "EnumValues": []}]}, "Parameters[0].EnumValues",
         "an empty one"),
        ({"Parameters": [{"Name": "P", "Type": "Integer", "EnumValues": [1, "2"]}]}, "Parameters[0].EnumValues[1]",
         '"2"'),
        ({"Metadata": []}, "Metadata", "takes an object, not a list"),
        ({"PipelineExperimentConfig": "x"}, "PipelineExperimentConfig", "takes an object"),
    ],
)  # fmt: skip
def test_what_is_wrong_beside_the_steps_is_a_mistake_with_its_place(
    wrong: dict[str, Any], place: str, said: str
) -> None:
    ((found_place, what),) = mistakes(step("A"), **wrong)

    assert found_place == place
    assert said in what


def test_a_pipeline_without_steps_is_a_mistake() -> None:
    assert mistakes() == [("Steps", "the pipeline has no steps ")]


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"Version":"2020-12-01","Steps":[{"Name":"A","Name":"B","Type":"Fail"}]}', "Steps[0].Name"),
        (
            '{"Version":"2020-12-01","Steps":[{"Name":"A","Type":"X","Arguments":{"E":{"K":1,"K":2}}}]}',
            "Steps[0].Arguments.E.K",
        ),
        ('{"Version":"2020-12-01","Version":"2020-12-01","Steps":[{"Name":"A","Type":"X"}]}', "Version"),
    ],
)
def test_a_member_that_stands_twice_is_a_mistake(content: str, place: str) -> None:
    _, found = read(content, source="p")

    assert [mistake.place for mistake in found] == [place]
    assert "more than once" in found[0].what


@pytest.mark.parametrize("number", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_json_has_not_are_a_mistake(number: str) -> None:
    content = text(step("A", Arguments={"N": ["@"]})).replace('"@"', number)

    _, found = read(content, source="p")

    assert [mistake.place for mistake in found] == ["Steps[0].Arguments.N[0]"]


def test_reading_goes_on_after_a_mistake() -> None:
    wrong = condition("C", [step("X", DependsOn="A")], [step("Y y")])
    found = mistakes({"Type": "Fail"}, wrong, step("C"), Parameters=[{"Name": "P"}])

    assert [place for place, _ in found] == [
        "Parameters[0].Type", "Steps[0]", "Steps[1].Arguments.IfSteps[0].DependsOn",
        "Steps[1].Arguments.ElseSteps[0].Name", "Steps[2].Name",
    ]  # fmt: skip


NAMES = st.sampled_from(["A", "B", "a b", "", "P"])
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4) | NAMES
KEYS = st.sampled_from([
    "Version", "Steps", "Parameters", "Name", "Type", "Arguments", "DependsOn", "IfSteps", "ElseSteps",
     "PropertyFiles", "OutputName",
    "PropertyFileName", "FilePath", "Get", "Conditions", "DefaultValue", "EnumValues", "CacheConfig",
     "ProcessingOutputConfig", "Outputs",
])  # fmt: skip
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=5), max_leaves=25
)
STEP = st.fixed_dictionaries({}, optional={
    "Name": NAMES | JSON, "Type": st.sampled_from(["Condition", "Fail", "Processing"]) | JSON, "Arguments": JSON,
    "DependsOn": JSON, "PropertyFiles": JSON, "CacheConfig": JSON, "RetryPolicies": JSON, "DisplayName": JSON,
})  # fmt: skip
DOCUMENT = st.fixed_dictionaries(
    {"Version": st.just("2020-12-01"), "Steps": st.lists(STEP | JSON, max_size=4)},
    optional={"Parameters": JSON | st.lists(JSON), "Metadata": JSON, "PipelineExperimentConfig": JSON},
)


@PATIENT
@given(JSON | DOCUMENT)
def test_reading_any_json_ends_with_a_definition_or_a_definition_error(document: Any) -> None:
    try:
        definition, _ = read(json.dumps(document), source="p")
    except DefinitionError:
        return
    assert definition.raw.keys() == document.keys()


@PATIENT
@given(st.text())
def test_reading_any_text_ends_with_a_definition_error(content: str) -> None:
    with pytest.raises(DefinitionError):
        read(content, source="p")
