"""Is a failure explained for a person: the cause first, then the evidence, then the next command?"""

from __future__ import annotations

from typing import Any

import pytest

from harness.report.failure import explain_step, headline
from harness.results import HostUse, StepResult

TRACEBACK = [
    "Traceback (most recent call last):",
    '  File "train.py", line 1, in <module>',
    "    raise ValueError('no data')",
    "ValueError: no data",
]


def step(**more: Any) -> dict[str, Any]:
    given = {"name": "Train", "type": "Training", "status": "Failed", "attempts": 1, **more}
    return StepResult(**given).model_dump(mode="json")


def explained(one: dict[str, Any], *tail: str) -> str:
    return explain_step(one, list(tail), run_id="abc", run_dir="/w/runs/abc", workspace="/w")


def titles(text: str) -> list[str]:
    """List the words before the colons, in order."""
    return [line.strip().partition(":")[0] for line in text.splitlines()[1:] if line[3:4].isupper()]


def test_everything_comes_in_one_order() -> None:
    whole = step(
        exit_code=1, failure_reason="ClientError: x", cause="out of memory", image="img", image_source="engine",
        attempt_dir="steps/Train/1", hosts=[HostUse(host="algo-1", exit_code=1, peak_memory_bytes=1024)],
    )  # fmt: skip

    text = explained(whole, "last words")

    assert titles(text) == [
        "Cause", "Reason", "Last lines", "Exit code", "Image", "Memory", "Folder", "Again", "Next",
    ]  # fmt: skip
    assert text.splitlines()[0] == "── Train (Training): Failed"
    assert "Next:      harness logs abc Train --workspace /w" in text
    assert "Again:     sh /w/runs/abc/steps/Train/1/algo-1/run-again.sh" in text


def test_what_is_not_known_is_left_out() -> None:
    assert explained(step()) == "── Train (Training): Failed"


@pytest.mark.parametrize(
    ("more", "tail", "cause"),
    [
        ({"cause": "out of memory", "exit_code": 137, "failure_reason": "r"}, TRACEBACK, "out of memory"),
        ({"exit_code": 1, "failure_reason": "r"}, TRACEBACK, "ValueError: no data"),
        ({"exit_code": 1, "failure_reason": "r"}, ["no traceback"], "r"),
        ({"exit_code": 0, "failure_reason": "r"}, TRACEBACK, "r"),
        ({"failure_reason": "r"}, TRACEBACK, "r"),
        ({}, [], ""),
    ],
    ids=["known", "exception", "reason", "an exception that did no harm", "no container", "nothing"],
)
def test_the_cause_is_what_is_known_else_the_last_exception_else_the_reason(
    more: dict[str, Any], tail: list[str], cause: str
) -> None:
    assert headline(step(**more), tail) == cause


def test_the_last_of_several_exceptions_is_the_one() -> None:
    chained = [
        *TRACEBACK,
        "",
        "During handling of the above exception, another exception occurred:",
        "",
        *TRACEBACK[:3],
    ]

    assert headline(step(exit_code=1), [*chained, "KeyError: 'x'", "cleaning up"]) == "KeyError: 'x'"


def test_a_reason_that_is_the_cause_is_not_told_twice() -> None:
    assert explained(step(failure_reason="rmse is too high")).count("rmse is too high") == 1


def test_a_cause_of_several_lines_is_indented() -> None:
    assert explained(step(cause="one\ntwo")).splitlines()[1:] == ["   Cause:     one", "              two"]


def test_at_most_twenty_of_the_last_lines_are_shown() -> None:
    text = explained(step(), *(f"line {number}" for number in range(40)))

    assert [line for line in text.splitlines() if "│" in line] == [f"     │ line {number}" for number in range(20, 40)]


def test_the_container_to_start_again_is_the_one_that_decided() -> None:
    hosts = [HostUse(host="algo-1", exit_code=143), HostUse(host="algo-2", exit_code=3)]

    assert "/algo-2/run-again.sh" in explained(step(exit_code=3, hosts=hosts, attempt_dir="steps/Train/1"))


def test_a_step_that_never_had_a_container_has_nothing_to_start_again() -> None:
    text = explained(step(image="img", attempt_dir="steps/Train/1"))

    assert "run-again" not in text
    assert "harness logs" not in text
    assert "Folder:    /w/runs/abc/steps/Train/1" in text
