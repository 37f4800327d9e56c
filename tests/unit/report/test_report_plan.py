"""How is a plan shown to a person, and as the one document of --json?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.execution.preflight import InputNeed, Plan, PlannedStep
from harness.report.document import plan_document, run_document
from harness.report.plan import plan_text
from harness.results import RunResult, StepResult


def need(uri: str, state: str, step: str = "Prepare", name: str = "raw") -> InputNeed:
    return InputNeed(step=step, name=name, place=f"Steps[0].{name}", uri=uri, state=state)


def planned(name: str, kind: str = "Processing", generation: int = 0, *needs: str, **more: Any) -> PlannedStep:
    return PlannedStep(name=name, type=kind, generation=generation, needs=needs, **more)


PLAN = Plan(
    pipeline="churn",
    source="churn/pipeline.json",
    parameters={"Depth": 5, "Strict": True, "Name": "x"},
    steps=(
        planned("Prepare", image="sklearn", image_source="stand-in (sklearn:1.2-1)"),
        planned("Train", "Training", 1, "Prepare", image="mine", image_problem="nobody has it – pull it"),
        planned("Gate", "Condition", 2, "Train", "Prepare"),
        planned("Deploy", "Processing", 3, "Gate", parent="Gate", branch="IfSteps", image="sklearn"),
        planned("Reject", "Fail", 3, "Gate", "Train", parent="Gate", branch="ElseSteps"),
        planned("Notify", "Lambda", 3, "Gate", emulated=False),
    ),
    inputs=(
        need("s3://b/raw", "missing"),
        need("s3://b/prepared", "produced by Prepare", "Train", "train"),
        need("s3://b/other", "given", "Deploy", "x"),
    ),
)

TEXT = """\
churn (churn/pipeline.json): 6 steps

Parameters
  Depth   5
  Strict  true
  Name    x

Steps, in the order in which they can start (one stage can run at the same time)
  stage  step     type                   after
  1      Prepare  Processing
  2      Train    Training               Prepare
  3      Gate     Condition              Train, Prepare
  4      Deploy   Processing             Gate is true
  4      Reject   Fail                   Gate is false, Train
  4      Notify   Lambda (not emulated)  Gate

Images
  sklearn  stand-in (sklearn:1.2-1)  Prepare, Deploy
  mine     nobody has it             Train

Inputs
  s3://b/raw       missing              Prepare: raw
  s3://b/prepared  produced by Prepare  Train: train
  s3://b/other     given                Deploy: x

Missing
  Steps[0].raw: step Prepare: input 'raw' has no data: no object under s3://b/raw – --input s3://b/raw=PATH
  step Train: nobody has it – pull it"""


def test_a_plan_as_text() -> None:
    assert plan_text(PLAN) == TEXT


def test_a_plan_of_little_says_little() -> None:
    plan = Plan(pipeline="p", source="p.json", parameters={}, steps=(planned("A", "Fail"),), inputs=())

    assert plan_text(plan) == (
        "p (p.json): 1 step\n\n"
        "Steps, in the order in which they can start (one stage can run at the same time)\n"
        "  stage  step  type  after\n"
        "  1      A     Fail"
    )


def test_images_that_were_not_looked_up_and_the_engine_that_was_not_there() -> None:
    plan = Plan(
        pipeline="p", source="p.json", parameters={}, steps=(planned("A", image="mine"),), inputs=(),
        engine_problem="no Docker engine answers – start Docker",
    )  # fmt: skip

    text = plan_text(plan)

    assert "  mine  not looked up  A" in text
    assert text.endswith("Missing\n  no Docker engine answers – start Docker")


def test_of_many_users_of_an_image_five_are_named() -> None:
    steps = tuple(planned(f"S{number}", image="mine") for number in range(8))

    text = plan_text(Plan(pipeline="p", source="p.json", parameters={}, steps=steps, inputs=()))

    assert "S0, S1, S2, S3, S4 and 3 more" in text


# one document on standard output


def test_a_plan_as_a_document_says_what_is_missing() -> None:
    document = json.loads(plan_document(PLAN))

    assert document["missing"] == {
        "inputs": [
            "Steps[0].raw: step Prepare: input 'raw' has no data: no object under s3://b/raw – --input s3://b/raw=PATH",
        ],
        "images": ["step Train: nobody has it – pull it"],
    }
    assert Plan.model_validate({key: value for key, value in document.items() if key != "missing"}) == PLAN


@pytest.mark.parametrize("name", ["Zürich", "東京", "a b"])
def test_a_result_as_a_document_reads_back_to_the_same_result(name: str) -> None:
    step = StepResult(name="A", type="Training", status="Failed", cause=name, exit_code=3)
    result = RunResult(
        run_id="abc", pipeline=name, status="Failed", exit_code=1, run_dir="/w", started_at="t", duration_s=1.5,
        steps=(step,),
    )  # fmt: skip

    assert RunResult.model_validate_json(run_document(result)) == result
