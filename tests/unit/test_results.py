"""Do results keep what they say, and which exit code do they amount to?"""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pydantic import ValidationError

from harness.results import HostUse, ImageUse, RunResult, StepResult, exit_code_of

STATUSES = ["Succeeded", "Failed", "Stopped", "NotEmulated", "NotStarted"]


def step(status: Any, kind: Any = None, name: str = "A") -> StepResult:
    return StepResult(name=name, type="Training", status=status, cause_kind=kind)


PASSED = step("Succeeded")
FAILED = step("Failed", "algorithm")
REFUSED = step("Failed", "definition")
STOPPED = step("Stopped", "algorithm")
BROKEN = step("Failed", "infrastructure")
UNKNOWN = step("NotEmulated", "not emulated")
HELD_BACK = step("NotStarted", "upstream")


@pytest.mark.parametrize(
    ("steps", "code"),
    [
        ((), 0),
        ((PASSED,), 0),
        ((PASSED, FAILED), 1),
        ((REFUSED,), 1),
        ((STOPPED,), 1),
        ((BROKEN,), 5),
        ((UNKNOWN,), 8),
        ((HELD_BACK,), 8),
        ((step("Failed"),), 1),
        ((step("Stopped", "infrastructure"),), 5),
    ],
)
def test_what_steps_amount_to(steps: tuple[StepResult, ...], code: int) -> None:
    assert exit_code_of(steps) == code


@pytest.mark.parametrize("order", list(itertools.permutations([BROKEN, FAILED, UNKNOWN, PASSED])))
def test_of_several_causes_the_weightiest_counts_in_whatever_order(order: tuple[StepResult, ...]) -> None:
    assert exit_code_of(order) == 5
    assert exit_code_of(tuple(one for one in order if one is not BROKEN)) == 1
    assert exit_code_of(tuple(one for one in order if one is not BROKEN and one is not FAILED)) == 8


def test_an_interrupt_outweighs_everything() -> None:
    assert exit_code_of((BROKEN, FAILED), interrupted=True) == 130
    assert exit_code_of((), interrupted=True) == 130


def test_infrastructure_counts_only_where_a_step_was_lost_to_it() -> None:
    assert exit_code_of((step("NotStarted", "infrastructure"),)) == 8


@pytest.mark.parametrize(
    ("status", "successful"), [("Succeeded", True), ("Failed", False), ("Inconclusive", False), ("Interrupted", False)]
)
def test_inconclusive_is_not_success(status: Any, *, successful: bool) -> None:
    result = RunResult(run_id="a", pipeline="p", status=status, exit_code=0, run_dir="d", started_at="t", duration_s=1)

    assert result.is_successful() is successful


def test_a_result_reads_back_from_json_as_it_was_written() -> None:
    use = ImageUse(uri="u", reference="r", source="stand-in", detail="d", differences=("x",))
    whole = StepResult(
        name="A", type="Training", status="Failed", exit_code=1, failure_reason="r", cause="c", cause_kind="algorithm",
        image="u", image_used=use, attempts=1, outputs={"model": "s3://b/m"}, notes=("n",),
        hosts=(HostUse(host="algo-1", cpu_s=1.5),),
    )  # fmt: skip
    result = RunResult(
        run_id="a", pipeline="p", status="Failed", exit_code=1, run_dir="d", parameters={"Depth": 5}, started_at="t",
        duration_s=1.25, steps=(whole,),
    )  # fmt: skip

    assert RunResult.model_validate_json(result.model_dump_json()) == result


@pytest.mark.parametrize("status", STATUSES)
def test_a_step_has_one_of_five_statuses(status: str) -> None:
    assert step(status).status == status
    with pytest.raises(ValidationError):
        step(status.lower())


def test_results_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        PASSED.status = "Failed"  # type: ignore[misc]
