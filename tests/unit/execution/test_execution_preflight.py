"""Is all that a run needs found, or found missing, before anything runs?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import (
    channel,
    condition,
    fail,
    get,
    output_uri,
    pipeline,
    processing,
    processing_input,
    processing_output,
    training,
)

from harness.definition import examine
from harness.errors import ImageError, PreflightError
from harness.execution.preflight import Plan, find_images, make_plan
from harness.execution.scope import RunScope
from harness.results import ImageUse
from harness.service.names import Identity
from harness.storage.bucket import BucketStore
from harness.storage.imports import GivenInput

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PATH = "/opt/ml/processing/in"


class Desk:
    """Makes plans for a store."""

    def __init__(self, root: Path) -> None:
        self.store = BucketStore(root / "s3", root / "tmp")

    def put(self, uri: str) -> None:
        path = self.store.path(uri)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")

    def read(self, *steps: Mapping[str, Any], **more: Any) -> tuple[Any, RunScope]:
        examined = examine(json.dumps({**pipeline(*steps), **more}), source="p.json")
        identity = Identity("us-east-1", "111122223333", "Churn", "abcdefghijkl")
        scope = RunScope(examined.definition, examined.values, identity, self.store, started_at="", now=str)
        return examined, scope

    def plan(
        self, *steps: Mapping[str, Any], given: Any = (), images: Any = None, problem: str | None = None, **more: Any
    ) -> Plan:
        examined, scope = self.read(*steps, **more)
        return make_plan(examined, scope, source="p.json", given=given, images=images or {}, engine_problem=problem)

    def states(self, *steps: Mapping[str, Any], **options: Any) -> dict[tuple[str, str], str]:
        return {(need.step, need.name): need.state for need in self.plan(*steps, **options).inputs}


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def reads(name: str, uri: Any, *after: str, **more: Any) -> dict[str, Any]:
    return processing(name, "image", inputs=[processing_input("data", uri, PATH)], **waits(*after), **more)


def writes(name: str, uri: Any, *after: str) -> dict[str, Any]:
    return processing(name, "image", outputs=[processing_output("out", uri)], **waits(*after))


def waits(*after: str) -> dict[str, Any]:
    return {"DependsOn": list(after)} if after else {}


def given(uri: str, path: Path) -> GivenInput:
    return GivenInput(uri, path, packed=False, objects={uri: path})


# inputs


def test_an_input_without_an_object_is_missing(desk: Desk) -> None:
    assert desk.states(reads("A", "s3://b/data")) == {("A", "data"): "missing"}


@pytest.mark.parametrize("uri", ["s3://b/data", "s3://b/data/", "s3://b/da", "s3://b/data/a.csv", "s3://b"])
def test_an_input_with_an_object_under_its_string_prefix_is_present(desk: Desk, uri: str) -> None:
    desk.put("s3://b/data/a.csv")

    assert desk.states(reads("A", uri)) == {("A", "data"): "present"}


def test_an_input_that_is_given_is_given_even_if_it_was_there_before(desk: Desk, tmp_path: Path) -> None:
    desk.put("s3://b/data/a.csv")

    states = desk.states(reads("A", "s3://b/data"), given=[given("s3://b/data/b.csv", tmp_path)])

    assert states == {("A", "data"): "given"}


def test_an_input_that_a_step_before_writes_is_produced(desk: Desk) -> None:
    states = desk.states(writes("W", "s3://b/data"), reads("A", "s3://b/data", "W"))

    assert states == {("A", "data"): "produced by W"}


@pytest.mark.parametrize("uri", ["s3://b/data/", "s3://b/data/part", "s3://b", "s3://b/da"])
def test_a_writer_is_recognised_from_above_and_from_below(desk: Desk, uri: str) -> None:
    assert desk.states(writes("W", "s3://b/data"), reads("A", uri, "W")) == {("A", "data"): "produced by W"}


@pytest.mark.parametrize("uri", ["s3://b/data2", "s3://other/data", "s3://b/dat/x"])
def test_a_writer_of_something_else_is_none(desk: Desk, uri: str) -> None:
    assert desk.states(writes("W", "s3://b/data"), reads("A", uri, "W")) == {("A", "data"): "missing"}


def test_a_writer_that_does_not_run_before_is_none(desk: Desk) -> None:
    states = desk.states(writes("W", "s3://b/data"), reads("A", "s3://b/data"))

    assert states == {("A", "data"): "missing"}


def test_of_several_writers_the_first_in_order_is_named(desk: Desk) -> None:
    steps = [writes(f"W{number}", "s3://b/data") for number in range(9)]

    states = desk.states(*steps, reads("A", "s3://b/data", *(f"W{number}" for number in range(9))))

    assert states == {("A", "data"): "produced by W0"}


def test_a_training_job_writes_below_its_output_path_and_its_checkpoints(desk: Desk) -> None:
    train = training("T", "image", request={"CheckpointConfig": {"S3Uri": "s3://b/saved"}})

    states = desk.states(train, reads("A", "s3://bucket/T/x", "T"), reads("B", "s3://b/saved", "T"))

    assert set(states.values()) == {"produced by T"}


def test_training_channels_are_inputs_too(desk: Desk) -> None:
    plan = desk.plan(training("T", "image", channels=[channel("train", "s3://b/train")]))

    (need,) = plan.inputs
    assert (need.step, need.name, need.state) == ("T", "train", "missing")
    assert need.place == "Steps[0].Arguments.InputDataConfig[0].DataSource.S3DataSource.S3Uri"


def test_what_is_known_only_when_the_step_starts_is_not_asked_for(desk: Desk) -> None:
    assert desk.states(writes("W", "s3://b/x"), reads("A", output_uri("W"))) == {}


def test_parameters_and_execution_variables_are_resolved(desk: Desk) -> None:
    uri = {
        "Std:Join": {"On": "/", "Values": ["s3://b", get("Parameters.Folder"), get("Execution.PipelineExecutionId")]}
    }
    parameters = [{"Name": "Folder", "Type": "String", "DefaultValue": "data"}]

    (need,) = desk.plan(reads("A", uri), Parameters=parameters).inputs

    assert need.uri == "s3://b/data/abcdefghijkl"


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda step: condition("C", 1, 1, then=[step]),
        lambda step: condition("C", 1, 1, other=[condition("D", 1, 1, then=[step])]),
    ],
    ids=["a branch", "a branch of a branch"],
)
def test_a_step_that_may_not_run_may_not_need_its_input(desk: Desk, wrapped: Any) -> None:
    assert desk.states(wrapped(reads("A", "s3://b/data"))) == {("A", "data"): "maybe"}


def test_a_step_that_waits_for_one_that_may_not_run_may_not_need_its_input_either(desk: Desk) -> None:
    steps = [condition("C", 1, 1, then=[writes("W", "s3://b/x")]), reads("A", "s3://b/data", "W")]

    assert desk.states(*steps) == {("A", "data"): "maybe"}


def test_a_step_that_waits_for_a_condition_needs_its_input_anyhow(desk: Desk) -> None:
    assert desk.states(condition("C", 1, 1), reads("A", "s3://b/data", "C")) == {("A", "data"): "missing"}


def test_a_step_that_is_not_emulated_may_write_anything(desk: Desk) -> None:
    unknown = {"Name": "L", "Type": "Lambda", "Arguments": {}, "FunctionArn": "arn"}

    states = desk.states(unknown, reads("A", "s3://b/data", "L"), reads("B", "s3://b/data"))

    assert states == {("A", "data"): "maybe", ("B", "data"): "missing"}


@pytest.mark.parametrize("uri", ["not-s3", "https://b/x", "s3://"])
def test_what_is_no_s3_uri_is_left_to_the_steps_start(desk: Desk, uri: str) -> None:
    assert desk.states(reads("A", uri)) == {}


def test_app_managed_inputs_are_nobodys_business(desk: Desk) -> None:
    managed = {**processing_input("data", "s3://b/data", PATH), "AppManaged": True}

    assert desk.states(processing("A", "image", inputs=[managed])) == {}


ODD: list[Any] = [None, 5, "text", [], ["x"], {}, {"x": 1}]


@pytest.mark.parametrize("odd", ODD, ids=repr)
@pytest.mark.parametrize(
    ("kind", "member"),
    [
        ("Processing", "ProcessingInputs"),
        ("Processing", "ProcessingOutputConfig"),
        ("Processing", "AppSpecification"),
        ("Training", "InputDataConfig"),
        ("Training", "OutputDataConfig"),
        ("Training", "CheckpointConfig"),
        ("Training", "AlgorithmSpecification"),
    ],
)
def test_requests_of_whatever_shape_can_be_planned(desk: Desk, kind: str, member: str, odd: Any) -> None:
    for value in (
        odd,
        [odd],
        {"Outputs": odd},
        [{"S3Input": odd, "DataSource": odd}],
        {"Outputs": [{"S3Output": odd}]},
    ):
        plan = desk.plan({"Name": "A", "Type": kind, "Arguments": {member: value}})

        assert [step.name for step in plan.steps] == ["A"]
        assert plan.inputs == ()


# images


def use(uri: str, source: Any = "stand-in", detail: str = "sklearn:1.2-1") -> ImageUse:
    return ImageUse(uri=uri, reference=uri, source=source, detail=detail)


def test_images_are_listed_once_in_the_order_of_the_steps(desk: Desk) -> None:
    steps = [processing("B", "two", DependsOn=["A"]), processing("A", "one"), training("C", "one"), fail("F", "no")]

    assert find_images(*desk.read(*steps)) == ["one", "two"]


def test_an_image_that_is_known_only_when_the_step_starts_is_open(desk: Desk) -> None:
    steps = [processing("A", "one"), processing("B", get("Steps.A.AppSpecification.ImageUri"))]

    assert find_images(*desk.read(*steps)) == ["one"]
    assert [step.image for step in desk.plan(*steps).steps] == ["one", None]


def test_a_plan_says_where_each_image_comes_from_or_why_it_does_not(desk: Desk) -> None:
    images = {"one": use("one"), "two": use("two", "engine", ""), "three": ImageError("gone", remedy="pull it")}

    steps = desk.plan(processing("A", "one"), processing("B", "two"), processing("C", "three"), images=images).steps

    assert [(step.image_source, step.image_problem) for step in steps] == [
        ("stand-in (sklearn:1.2-1)", None),
        ("engine", None),
        (None, "gone – pull it"),
    ]


# steps


def test_steps_come_by_stages_with_what_they_need(desk: Desk) -> None:
    steps = [
        condition("C", 1, 1, then=[processing("Yes", "i")], other=[fail("No", "no")], DependsOn=["A"]),
        processing("A", "i"),
        processing("Z", "i"),
    ]

    planned = desk.plan(*steps).steps

    assert [(step.name, step.generation) for step in planned] == [("A", 0), ("Z", 0), ("C", 1), ("Yes", 2), ("No", 2)]
    assert [(step.name, step.needs, step.parent, step.branch) for step in planned[3:]] == [
        ("Yes", ("C",), "C", "IfSteps"),
        ("No", ("C",), "C", "ElseSteps"),
    ]


@pytest.mark.parametrize(
    ("kind", "emulated"),
    [("Processing", True), ("Training", True), ("Condition", True), ("Fail", True), ("Transform", False), ("X", False)],
)
def test_a_plan_says_what_is_not_emulated(desk: Desk, kind: str, *, emulated: bool) -> None:
    arguments = {"Conditions": []} if kind == "Condition" else {}

    (step,) = desk.plan({"Name": "A", "Type": kind, "Arguments": arguments}).steps

    assert step.emulated is emulated


# the verdict


def test_nothing_is_missing_when_everything_is_there(desk: Desk) -> None:
    desk.put("s3://b/data/a")

    desk.plan(reads("A", "s3://b/data"), images={"image": use("image")}).check()


def test_all_that_is_missing_is_named_at_once_with_its_remedy(desk: Desk) -> None:
    plan = desk.plan(
        reads("A", "s3://b/one"), reads("B", "s3://b/two"), images={"image": ImageError("nobody has the image image")}
    )

    with pytest.raises(PreflightError) as caught:
        plan.check()

    said = str(caught.value)
    assert "p.json" in said
    assert "Steps[0].Arguments.ProcessingInputs[0].S3Input.S3Uri: step A: input 'data' has no data" in said
    assert "--input s3://b/one=PATH" in said
    assert "--input s3://b/two=PATH" in said
    assert said.count("nobody has the image image") == 1


@pytest.mark.parametrize(
    ("missing_input", "missing_image", "problem", "code"),
    [
        (True, False, None, 2),
        (False, True, None, 7),
        (True, True, None, 2),
        (False, False, "no Docker engine answers", 7),
        (True, False, "no Docker engine answers", 2),
    ],
)
def test_missing_inputs_end_with_2_and_missing_images_or_engines_with_7(
    desk: Desk,
    *,
    missing_input: bool,
    missing_image: bool,
    problem: str | None,
    code: int,
) -> None:
    if not missing_input:
        desk.put("s3://b/data")
    images = {"image": ImageError("gone") if missing_image else use("image")}

    with pytest.raises(PreflightError) as caught:
        desk.plan(reads("A", "s3://b/data"), images=images, problem=problem).check()

    assert caught.value.exit_code == code
    assert (problem or "") in str(caught.value)


def test_what_may_be_missing_or_will_be_produced_is_no_problem(desk: Desk) -> None:
    steps = [writes("W", "s3://b/x"), reads("A", "s3://b/x", "W"), condition("C", 1, 1, then=[reads("B", "s3://b/y")])]

    desk.plan(*steps, images={"image": use("image")}).check()
