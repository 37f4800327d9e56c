"""How did a job end, in the service's words and in plain ones?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.service.outcome import (
    HostEnd,
    JobEnd,
    escape_control,
    failure_reason,
    final_metrics,
    judge,
    metric_pattern,
    step_reason,
)

LIMIT = 1024  # contract, DECIDED 5


def ended(host: str = "algo-1", code: int = 0, **more: Any) -> HostEnd:
    return HostEnd(host=host, exit_code=code, **more)


def judged(*ends: HostEnd, kind: str = "Training", texts: dict[str, str] | None = None, **more: Any) -> JobEnd:
    return judge(kind, ends, failure_texts=texts or {}, **more)


# the wording


def test_a_reason_is_the_failure_files_text_and_the_exit_code() -> None:
    assert failure_reason("ValueError: no data", 1) == "AlgorithmError: ValueError: no data, exit code: 1"


def test_without_a_failure_file_the_text_is_empty() -> None:
    assert failure_reason("", 127) == "AlgorithmError: , exit code: 127"


@given(text=st.text(max_size=3000), code=st.integers(-1, 2**31))
def test_a_reason_has_at_most_1024_characters_and_always_its_exit_code(text: str, code: int) -> None:
    reason = failure_reason(text, code)

    assert len(reason) <= LIMIT
    assert reason.endswith(f", exit code: {code}")


def test_a_text_that_just_fits_is_not_cut() -> None:
    text = "x" * (LIMIT - len("AlgorithmError: , exit code: 1"))

    assert failure_reason(text, 1) == f"AlgorithmError: {text}, exit code: 1"
    assert failure_reason(text + "y", 1) == f"AlgorithmError: {text}, exit code: 1"


def test_a_steps_reason_has_client_error_in_front() -> None:
    assert step_reason("AlgorithmError: , exit code: 1") == "ClientError: AlgorithmError: , exit code: 1"


def test_a_step_that_did_not_fail_has_no_reason() -> None:
    assert step_reason("") == ""


# one host


@pytest.mark.parametrize("kind", ["Training", "Processing"])
def test_exit_code_0_completes(kind: str) -> None:
    end = judged(ended(), kind=kind)

    assert (end.status, end.exit_code, end.failure_reason, end.secondary) == ("Completed", 0, "", "Completed")
    assert end.causes == ()


def test_exit_code_0_completes_though_there_is_a_failure_file() -> None:
    end = judged(ended(), texts={"algo-1": "stale"})

    assert (end.status, end.failure_reason) == ("Completed", "")


@pytest.mark.parametrize("code", [1, 2, 127, 130, 137, 143, 255])
def test_any_other_exit_code_fails(code: int) -> None:
    end = judged(ended(code=code))

    assert (end.status, end.exit_code, end.secondary) == ("Failed", code, "Failed")
    assert end.failure_reason == f"AlgorithmError: , exit code: {code}"


def test_a_failed_training_job_gives_its_failure_file() -> None:
    end = judged(ended(code=1), texts={"algo-1": "ValueError: no data"})

    assert end.failure_reason == "AlgorithmError: ValueError: no data, exit code: 1"


def test_a_failed_processing_job_does_not() -> None:
    end = judged(ended(code=1), kind="Processing", texts={"algo-1": "ValueError: no data"})

    assert end.failure_reason == "AlgorithmError: , exit code: 1"


# several hosts


def test_all_hosts_have_to_end_with_0() -> None:
    assert judged(ended("algo-1"), ended("algo-2")).status == "Completed"
    assert judged(ended("algo-1"), ended("algo-2", 3)).status == "Failed"


def test_the_first_host_that_failed_decides() -> None:
    end = judged(ended("algo-1"), ended("algo-2", 3), ended("algo-3", 4), texts={"algo-2": "two", "algo-3": "three"})

    assert end.exit_code == 3
    assert end.failure_reason == "AlgorithmError: two, exit code: 3"


def test_a_host_that_we_ended_because_its_peer_failed_does_not_decide() -> None:
    end = judged(ended("algo-1", 143), ended("algo-2", 3), texts={"algo-2": "two"}, killed_by_us=["algo-1"])

    assert end.exit_code == 3
    assert end.failure_reason == "AlgorithmError: two, exit code: 3"


def test_the_cause_of_a_host_that_we_ended_is_not_told() -> None:
    end = judged(ended("algo-1", 137), ended("algo-2", 3), killed_by_us=["algo-1"])

    assert end.causes == ()


def test_if_we_ended_all_of_them_all_of_them_decide() -> None:
    end = judged(ended("algo-1", 143), killed_by_us=["algo-1"])

    assert (end.status, end.exit_code) == ("Failed", 143)


def test_the_same_cause_of_several_hosts_is_told_once() -> None:
    end = judged(ended("algo-1", 137, oom_killed=True), ended("algo-2", 137, oom_killed=True), memory_mib=1024)

    assert end.causes == ("out of memory: the kernel killed the container (limit 1024 MiB)",)


# stopped


@pytest.mark.parametrize("code", [0, 143, 137, 1])
def test_a_job_that_reached_its_max_runtime_is_stopped_whatever_its_exit_code(code: int) -> None:
    end = judged(ended(code=code), stopped=True, texts={"algo-1": "interrupted"})

    assert (end.status, end.exit_code, end.secondary) == ("Stopped", code, "MaxRuntimeExceeded")
    assert end.failure_reason == ""
    assert end.causes[0] == "stopped: MaxRuntimeInSeconds was reached (MaxRuntimeExceeded)"


def test_our_own_sigkill_at_the_end_of_the_grace_is_no_riddle() -> None:
    assert judged(ended(code=137), stopped=True).causes == (
        "stopped: MaxRuntimeInSeconds was reached (MaxRuntimeExceeded)",
    )


def test_of_several_stopped_hosts_one_that_did_not_end_with_0_decides() -> None:
    assert judged(ended("algo-1"), ended("algo-2", 143), stopped=True).exit_code == 143


# causes


def test_out_of_memory_is_told_with_the_limit() -> None:
    end = judged(ended(code=137, oom_killed=True), memory_mib=3891)

    assert end.causes == ("out of memory: the kernel killed the container (limit 3891 MiB)",)


def test_out_of_memory_without_a_limit() -> None:
    assert judged(ended(code=137, oom_killed=True)).causes == ("out of memory: the kernel killed the container",)


def test_a_child_that_ran_out_of_memory_is_told_though_the_program_ended_by_itself() -> None:
    end = judged(ended(code=1, oom_killed=True), memory_mib=3891)

    assert end.causes == ("out of memory: the kernel killed a process inside of the container (limit 3891 MiB)",)


def test_a_child_that_ran_out_of_memory_is_told_even_of_a_job_that_completed() -> None:
    end = judged(ended(code=0, oom_killed=True))

    assert end.status == "Completed"
    assert end.causes == ("out of memory: the kernel killed a process inside of the container",)


def test_137_without_out_of_memory_was_a_kill_from_outside() -> None:
    (cause,) = judged(ended(code=137)).causes

    assert cause.startswith("killed by SIGKILL from outside of the container")


def test_a_program_that_cannot_be_started_is_told_in_the_engines_words() -> None:
    end = judged(ended(code=127, start_error='exec: "train": executable file not found in $PATH'))

    assert end.failure_reason == "AlgorithmError: , exit code: 127"
    assert end.causes == ('the program could not be started: exec: "train": executable file not found in $PATH',)


# metrics out of logs


def metric(name: str, regex: str) -> dict[str, str]:
    return {"Name": name, "Regex": regex}


def test_the_last_value_wins() -> None:
    found = final_metrics([metric("rmse", r"rmse=(\S+)")], ["rmse=3.5", "nothing", "rmse=2.25"])

    assert found == [{"MetricName": "rmse", "Value": 2.25}]


def test_the_last_value_within_a_line_wins() -> None:
    assert final_metrics([metric("m", r"m=(\d)")], ["m=1 m=2"]) == [{"MetricName": "m", "Value": 2.0}]


def test_a_tab_is_seen_as_011_as_xgboosts_own_expressions_expect() -> None:
    found = final_metrics(
        [metric("validation:rmse", r".*\[[0-9]+\].*#011validation-rmse:(\S+)")],
        ["[0]\ttrain-rmse:9.1\tvalidation-rmse:9.5", "[1]\ttrain-rmse:7.0\tvalidation-rmse:7.5"],
    )

    assert found == [{"MetricName": "validation:rmse", "Value": 7.5}]


def test_an_expression_that_looks_for_a_real_tab_does_not_match() -> None:
    assert final_metrics([metric("m", r"\tm:(\S+)")], ["x\tm:1"]) == []


def test_without_a_group_the_whole_match_is_the_number() -> None:
    assert final_metrics([metric("m", r"\d+\.\d+")], ["loss 0.125"]) == [{"MetricName": "m", "Value": 0.125}]


@pytest.mark.parametrize("text", ["oops", "nan", "NaN", "inf", "-inf", "1_000", "1,5", "0x10"])
def test_what_is_no_number_is_no_value(text: str) -> None:
    assert final_metrics([metric("m", r"m=(\S+)")], ["m=1", f"m={text}"]) == [{"MetricName": "m", "Value": 1.0}]


@pytest.mark.parametrize(
    ("text", "value"), [("1e-3", 0.001), ("-2", -2.0), (".5", 0.5), ("1E5", 100000.0), ("+3.", 3.0)]
)
def test_numbers_of_every_form_are_values(text: str, value: float) -> None:
    assert final_metrics([metric("m", r"m=(\S+)")], [f"m={text}"]) == [{"MetricName": "m", "Value": value}]


def test_a_group_that_took_no_part_is_no_value() -> None:
    assert final_metrics([metric("m", r"m=(?:(\d)|x)")], ["m=1", "m=x"]) == [{"MetricName": "m", "Value": 1.0}]


def test_a_metric_that_never_matched_is_left_out() -> None:
    found = final_metrics([metric("a", "a=(.)"), metric("b", "b=(.)")], ["b=1"])

    assert found == [{"MetricName": "b", "Value": 1.0}]


def test_metrics_come_in_the_order_of_their_definitions() -> None:
    found = final_metrics([metric("z", "z=(.)"), metric("a", "a=(.)")], ["a=1", "z=2"])

    assert [entry["MetricName"] for entry in found] == ["z", "a"]


def test_an_expression_of_another_dialect_is_left_out_and_spares_the_others() -> None:
    assert metric_pattern("(?<name>x") is None
    assert final_metrics([metric("bad", "(?<name>x"), metric("m", "m=(.)")], ["m=1"]) == [
        {"MetricName": "m", "Value": 1.0},
    ]


@pytest.mark.parametrize(
    ("raw", "escaped"),
    [
        ("a\tb", "a#011b"),
        ("bar\r", "bar#015"),
        ("\x1b[31m", "#033[31m"),
        ("\0", "#000"),
        ("\x7f", "#177"),
        ("plain", "plain"),
        ("Zürich 東京 \u2028", "Zürich 東京 \u2028"),
        ("", ""),
    ],
)
def test_control_characters_are_written_as_the_services_logs_do(raw: str, escaped: str) -> None:
    assert escape_control(raw) == escaped


@given(st.text())
def test_no_control_character_is_left(line: str) -> None:
    assert not any(ord(character) < 32 or character == "\x7f" for character in escape_control(line))
