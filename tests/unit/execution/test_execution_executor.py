"""How does a whole pipeline run: what runs side by side, what goes on after a failure, and how does it end?"""

from __future__ import annotations

import itertools
import json
import os
import random
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.definitions import OUT, condition, fail, get, output_uri, processing, processing_input, processing_output
from support.simulation import Script, Simulation

from harness.errors import EngineError
from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Simulate = Callable[..., Simulation]

FAILING = Script(exit_code=1)


def job(name: str, *after: str, **more: Any) -> dict[str, Any]:
    more.setdefault("outputs", [processing_output("out", f"s3://bucket/{name}")])
    return processing(name, "image", **({"DependsOn": list(after)} if after else {}), **more)


def reads(name: str, source: str, **more: Any) -> dict[str, Any]:
    return job(name, inputs=[processing_input("in", output_uri(source), "/opt/ml/processing/in")], **more)


def decide(name: str, left: Any, right: Any, *after: str, **more: Any) -> dict[str, Any]:
    return condition(name, left, right, **({"DependsOn": list(after)} if after else {}), **more)


def not_emulated(name: str, *after: str) -> dict[str, Any]:
    step = {"Name": name, "Type": "Lambda", "Arguments": {}, "FunctionArn": "arn"}
    return {**step, "DependsOn": list(after)} if after else step


def started(run: Simulation) -> list[str]:
    return [step for call, step in run.engine.calls if call == "start"]


# success


def test_a_chain_runs_in_order_and_hands_its_data_on(simulation: Simulate) -> None:
    def add(letter: str) -> Any:
        def program(host: Any) -> None:
            before = host.read("/opt/ml/processing/in/text") if host.names("/opt/ml/processing/in") else b""
            host.write(f"{OUT}/text", before + letter.encode())

        return program

    scripts = {"B": Script(program=add("b")), "C": Script(program=add("c"))}
    run = simulation({"A": Script(files={f"{OUT}/text": "a"}), **scripts})

    result = run.run(reads("C", "B"), reads("B", "A"), job("A"))

    assert started(run) == ["A", "B", "C"]
    assert run.text("s3://bucket/C/text") == "abc"
    assert (result.status, result.exit_code, result.failure_reason) == ("Succeeded", 0, None)
    assert result.is_successful()


def test_results_come_in_the_order_of_the_document(simulation: Simulate) -> None:
    run = simulation()

    run.run(job("C", "B"), job("B", "A"), job("A"))

    assert list(run.statuses()) == ["C", "B", "A"]


def test_the_result_is_written_down_and_told(simulation: Simulate) -> None:
    run = simulation()

    result = run.run(job("A"), parameters=[{"Name": "Depth", "Type": "Integer", "DefaultValue": 5}])

    assert run.folder.read() == result.model_dump(mode="json")
    assert run.events("run.finished")[0]["result"] == result.model_dump(mode="json")
    assert (result.pipeline, result.parameters, result.source) == ("simulated", {"Depth": 5}, "pipeline.json")


def test_a_run_that_is_killed_can_be_seen_to_have_been_executing(simulation: Simulate) -> None:
    seen: list[dict[str, Any]] = []
    run = simulation({"A": Script(program=lambda _: seen.append(run.folder.read()))})

    run.run(job("A"))

    assert (seen[0]["status"], seen[0]["steps"]) == ("Executing", [])


def test_every_step_has_a_beginning_and_an_end_in_the_stream(simulation: Simulate) -> None:
    run = simulation()

    run.run(job("A"), decide("C", 1, 1, "A", then=[fail("F", "no")]))

    assert [event["event"] for event in run.events()] == [
        "run.started", "step.started", "step.finished", "step.started", "step.finished", "condition.evaluated",
        "step.started", "step.finished", "run.finished",
    ]  # fmt: skip
    assert [event["step"] for event in run.events("step.finished")] == ["A", "C", "F"]
    assert [event["seq"] for event in run.events()] == list(range(1, 10))


# side by side


@pytest.mark.timeout(30)
@pytest.mark.parametrize("jobs", [1, 2, 3, 8])
def test_no_more_jobs_than_wanted_run_at_the_same_time_and_no_fewer(simulation: Simulate, jobs: int) -> None:
    gate, waiting = threading.Event(), min(jobs, 6)
    run = simulation(default=Script(until=gate))

    def open_the_gate() -> None:
        while len(started(run)) < waiting:
            time.sleep(0.001)
        time.sleep(0.02)  # time in which one too many would start
        gate.set()

    threading.Thread(target=open_the_gate, daemon=True).start()
    run.run(*(job(f"S{number}") for number in range(6)), jobs=jobs)

    assert run.engine.most_at_once == waiting
    assert run.result.exit_code == 0


@pytest.mark.timeout(30)
def test_conditions_do_not_wait_for_a_place_among_the_jobs(simulation: Simulate) -> None:
    gate = threading.Event()
    run = simulation({"Long": Script(until=gate)})

    class Opens:
        def event(self, event: dict[str, Any]) -> None:
            if event["event"] == "condition.evaluated":
                gate.set()

        def line(self, *_: str) -> None: ...

    run.run(job("Long"), decide("C", 1, 1), jobs=1, observers=[Opens()])

    assert run.statuses() == {"Long": "Succeeded", "C": "Succeeded"}


@pytest.mark.timeout(60)
def test_a_fan_of_two_hundred_steps(simulation: Simulate) -> None:
    run = simulation()
    names = [f"F{number}" for number in range(200)]

    result = run.run(job("A"), *(job(name, "A") for name in names), decide("Last", 1, 1, *names), jobs=16)

    assert result.exit_code == 0
    assert len(result.steps) == 202
    assert run.engine.most_at_once <= 16


@pytest.mark.timeout(60)
def test_a_chain_of_two_hundred_steps(simulation: Simulate) -> None:
    run = simulation()
    names = [f"S{number}" for number in range(200)]

    result = run.run(job(names[0]), *(job(name, before) for before, name in itertools.pairwise(names)))

    assert result.exit_code == 0
    assert started(run) == names


# failures


def test_what_does_not_depend_on_a_failure_goes_on(simulation: Simulate) -> None:
    run = simulation({"A": FAILING})

    result = run.run(job("A"), job("B", "A"), job("C", "B"), job("X"), job("Y", "X"))

    assert run.statuses() == {
        "A": "Failed", "B": "NotStarted", "C": "NotStarted", "X": "Succeeded", "Y": "Succeeded",
    }  # fmt: skip
    assert run.step("B").cause == run.step("C").cause == "not started: it depends on A, which failed"
    assert run.step("B").cause_kind == "upstream"
    assert (result.status, result.exit_code) == ("Failed", 1)
    assert result.failure_reason == "Step failure: One or multiple steps failed."


def test_what_reads_a_failed_step_is_not_started_even_if_it_published(simulation: Simulate) -> None:
    run = simulation({"A": Script(runs_s=61, files={f"{OUT}/a": "a"})})

    run.run(job("A", limit_s=60), reads("B", "A"))

    assert run.statuses() == {"A": "Stopped", "B": "NotStarted"}
    assert run.step("B").cause == "not started: it depends on A, which was stopped"
    assert run.text("s3://bucket/A/a") == "a"
    assert run.result.exit_code == 1


def test_fail_fast_starts_nothing_after_the_first_failure(simulation: Simulate) -> None:
    run = simulation({"A": FAILING})

    result = run.run(job("A"), job("B"), job("C"), jobs=1, fail_fast=True)

    assert run.statuses() == {"A": "Failed", "B": "NotStarted", "C": "NotStarted"}
    assert run.step("B").cause == "not started: the run stops at the first failure (--fail-fast)"
    assert result.exit_code == 1


@pytest.mark.timeout(30)
def test_fail_fast_lets_running_steps_end(simulation: Simulate) -> None:
    gate = threading.Event()
    run = simulation({"A": FAILING, "Long": Script(until=gate, files={f"{OUT}/a": "a"})})

    class Opens:
        def event(self, event: dict[str, Any]) -> None:
            if event["event"] == "step.finished" and event["step"] == "A":
                gate.set()

        def line(self, *_: str) -> None: ...

    run.run(job("Long"), job("A"), job("After", "Long"), fail_fast=True, observers=[Opens()])

    assert run.statuses() == {"Long": "Succeeded", "A": "Failed", "After": "NotStarted"}
    assert run.text("s3://bucket/Long/a") == "a"


# Fail steps and Conditions


def test_a_fail_step_fails_the_run_with_its_message(simulation: Simulate) -> None:
    message = {"Std:Join": {"On": " ", "Values": ["rmse is", get("Parameters.Limit"), "and", get("Parameters.Strict")]}}
    parameters = [
        {"Name": "Limit", "Type": "Float", "DefaultValue": 0.5},
        {"Name": "Strict", "Type": "Boolean", "DefaultValue": True},
    ]
    run = simulation()

    result = run.run(fail("F", message), parameters=parameters)

    step = run.step("F")
    assert (step.status, step.failure_reason, step.exit_code, step.hosts) == (
        "Failed",
        "rmse is 0.5 and true",
        None,
        (),
    )
    assert result.exit_code == 1
    assert result.failure_reason == "Step failure: One or multiple steps failed."


def test_a_fail_step_without_a_message_has_no_reason(simulation: Simulate) -> None:
    run = simulation()

    run.run(fail("F", ""))

    assert (run.step("F").status, run.step("F").failure_reason) == ("Failed", None)


@pytest.mark.parametrize(("right", "taken", "left_out"), [(1, "Yes", "No"), (2, "No", "Yes")])
def test_a_condition_takes_one_branch_and_the_other_is_absent(
    simulation: Simulate, right: int, taken: str, left_out: str
) -> None:
    run = simulation()

    result = run.run(decide("C", 1, right, then=[job("Yes"), job("Yes2", "Yes")], other=[job("No"), job("No2", "No")]))

    assert run.statuses() == {"C": "Succeeded", taken: "Succeeded", f"{taken}2": "Succeeded"}
    assert run.step("C").outcome == str(right == 1)
    assert run.events("condition.evaluated")[0]["outcome"] is (right == 1)
    assert run.events("condition.evaluated")[0]["left_out"] == [left_out, f"{left_out}2"]
    assert result.exit_code == 0


def test_a_condition_reads_what_a_step_has_written(simulation: Simulate) -> None:
    metrics = {"PropertyFileName": "Metrics", "OutputName": "out", "FilePath": "metrics.json"}
    rmse = {"Std:JsonGet": {"PropertyFile": get("Steps.A.PropertyFiles.Metrics"), "Path": "rmse.value"}}
    run = simulation({"A": Script(files={f"{OUT}/metrics.json": json.dumps({"rmse": {"value": 1.5}})})})

    run.run(job("A", PropertyFiles=[metrics]), decide("C", rmse, 1.5, then=[job("Yes")], other=[fail("No", "worse")]))

    assert run.statuses() == {"A": "Succeeded", "C": "Succeeded", "Yes": "Succeeded"}


def test_an_outcome_is_lower_case_in_a_text(simulation: Simulate) -> None:
    run = simulation()

    run.run(decide("C", 1, 2), fail("F", {"Std:Join": {"On": "", "Values": ["it is ", get("Steps.C.Outcome")]}}))

    assert run.step("F").failure_reason == "it is false"
    assert run.step("C").outcome == "False"


def test_a_condition_that_cannot_be_evaluated_is_an_error_and_takes_no_branch(simulation: Simulate) -> None:
    rmse = {"Std:JsonGet": {"S3Uri": "s3://bucket/missing.json", "Path": "rmse"}}
    run = simulation()

    result = run.run(decide("C", rmse, 1, then=[job("Yes")], other=[job("No")]))

    assert run.statuses() == {"C": "Failed", "Yes": "NotStarted", "No": "NotStarted"}
    assert run.step("C").cause_kind == "definition"
    assert "there is no object s3://bucket/missing.json" in (run.step("C").failure_reason or "")
    assert result.exit_code == 1


def test_reading_a_step_of_a_branch_that_was_not_taken_fails(simulation: Simulate) -> None:
    run = simulation()

    run.run(decide("C", 1, 2, then=[job("Yes")]), reads("Reader", "Yes"))

    assert run.statuses() == {"C": "Succeeded", "Reader": "Failed"}
    assert run.step("Reader").failure_reason == (
        "step Yes has no properties: the branch of C that it stands in was not taken"
    )
    assert run.result.exit_code == 1


# not emulated


def test_a_step_that_is_not_emulated_makes_the_run_inconclusive(simulation: Simulate) -> None:
    run = simulation()

    result = run.run(job("A"), not_emulated("L", "A"), job("B", "L"), job("X"))

    assert run.statuses() == {"A": "Succeeded", "L": "NotEmulated", "B": "NotStarted", "X": "Succeeded"}
    assert run.step("L").cause == "steps of type Lambda are not emulated yet"
    assert run.step("B").cause == "not started: it depends on L, which is not emulated"
    assert (result.status, result.exit_code, result.failure_reason) == ("Inconclusive", 8, None)
    assert not result.is_successful()


def test_fail_fast_does_not_stop_at_what_is_not_emulated(simulation: Simulate) -> None:
    run = simulation()

    run.run(not_emulated("L"), job("A"), jobs=1, fail_fast=True)

    assert run.statuses() == {"L": "NotEmulated", "A": "Succeeded"}


# what breaks


def broken_engine() -> Script:
    return Script(raises={"wait": EngineError("the engine is gone")})


@pytest.mark.parametrize(
    ("scripts", "code", "status"),
    [
        ({}, 8, "Inconclusive"),
        ({"A": FAILING}, 1, "Failed"),
        ({"A": broken_engine()}, 5, "Failed"),
        ({"A": FAILING, "B": broken_engine()}, 5, "Failed"),
    ],
    ids=["not emulated", "failed > not emulated", "broken > not emulated", "broken > failed"],
)
def test_of_several_causes_the_weightiest_gives_the_exit_code(
    simulation: Simulate, scripts: Any, code: int, status: str
) -> None:
    result = simulation(scripts).run(job("A"), job("B"), not_emulated("L"))

    assert (result.exit_code, result.status) == (code, status)


def test_a_bug_in_a_job_does_not_lose_the_other_steps(simulation: Simulate) -> None:
    run = simulation({"A": Script(program=lambda _: 1 // 0)})

    result = run.run(job("A"), job("B"), job("After", "A"))

    assert run.statuses() == {"A": "Failed", "B": "Succeeded", "After": "NotStarted"}
    assert "ZeroDivisionError" in (run.step("A").cause or "")
    assert result.exit_code == 5
    assert run.engine.job_of("A").closed


def test_a_bug_in_a_condition_does_not_lose_the_other_steps(
    simulation: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> bool:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("harness.definition.conditions.evaluate", broken)
    run = simulation()

    result = run.run(decide("C", 1, 1, then=[job("Yes")]), job("B"))

    assert run.statuses() == {"C": "Failed", "Yes": "NotStarted", "B": "Succeeded"}
    assert "ZeroDivisionError: oops" in (run.step("C").cause or "")
    assert "oops" in (run.folder.path / "harness-error-C.txt").read_text()
    assert result.exit_code == 5


def test_a_disk_that_fails_under_a_condition_is_infrastructure_and_no_bug(
    simulation: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise OSError(5, "Input/output error")

    run = simulation()
    monkeypatch.setattr(run.store, "read_json", broken)

    result = run.run(decide("C", {"Std:JsonGet": {"S3Uri": "s3://bucket/x.json", "Path": "a"}}, 1))

    assert run.step("C").cause == "Std:JsonGet: reading s3://bucket/x.json: Input/output error"
    assert result.exit_code == 5
    assert not list(run.folder.path.glob("harness-error-*"))


@pytest.mark.timeout(20)
def test_a_runner_that_fails_altogether_does_not_hang_the_run(
    simulation: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = simulation()
    executor = run.prepare(job("A"), job("B"), job("After", "A"))
    good = executor.runner.run

    def broken(step: Any) -> Any:
        if step.name == "A":
            raise MemoryError("no room even for the error")
        return good(step)

    monkeypatch.setattr(executor.runner, "run", broken)
    result = executor.run()

    assert [(step.name, step.status) for step in result.steps] == [
        ("A", "Failed"), ("B", "Succeeded"), ("After", "NotStarted"),
    ]  # fmt: skip
    assert "no room even for the error" in (result.steps[0].cause or "")
    assert result.exit_code == 5


@pytest.mark.timeout(20)
def test_a_disk_that_is_full_even_for_the_error_report_does_not_hang_the_run(
    simulation: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = simulation()

    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    def broken(*_: Any, **__: Any) -> None:
        raise ZeroDivisionError("oops")

    monkeypatch.setattr("harness.service.outcome.judge", broken)
    executor = run.prepare(job("A"))
    write_text = files.write_text
    monkeypatch.setattr(
        files,
        "write_text",
        lambda path, *rest, **more: (full if "error" in path.name else write_text)(path, *rest, **more),
    )
    result = executor.run()

    assert [step.cause for step in result.steps] == [
        "the harness itself failed: ZeroDivisionError: oops\n  → please report it",
    ]
    assert result.exit_code == 5


@pytest.mark.timeout(20)
def test_a_journal_that_cannot_be_written_ends_the_containers(
    simulation: Simulate, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    run = simulation({"Long": Script(until=gate)})
    executor = run.prepare(job("Long"), job("A"))
    write = run.journal.write

    def full(event: str, **members: Any) -> None:
        if event == "step.finished":
            while ("wait", "Long") not in run.engine.calls:
                time.sleep(0.001)
            raise OSError(28, "No space left on device")
        write(event, **members)

    monkeypatch.setattr(run.journal, "write", full)
    with pytest.raises(OSError, match="No space left"):
        executor.run()

    assert run.engine.job_of("Long").closed
    assert run.engine.job_of("Long").grace_s == 0


# interrupted


class Interrupts:
    """Sends this process a signal when a step is well on its way, and again when it is stopped."""

    def __init__(self, run: Simulation, number: int = signal.SIGINT, *, times: int = 1) -> None:
        self.run, self.number, self.times = run, number, times

    def line(self, *_: str) -> None:
        threading.Thread(target=self.send, daemon=True).start()

    def event(self, event: dict[str, Any]) -> None: ...

    def send(self) -> None:
        for turn in range(self.times):
            while turn and self.run.engine.job_of("Long").grace_s is None:
                time.sleep(0.001)
            os.kill(os.getpid(), self.number)


@pytest.fixture
def long_running() -> Iterator[Script]:
    """Give a script that does not end by itself."""
    gate = threading.Event()
    yield Script(until=gate, log=["started"], files={f"{OUT}/half": "x"})
    gate.set()


@pytest.mark.timeout(30)
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_containers_and_the_result_is_complete(
    simulation: Simulate, long_running: Script, number: int
) -> None:
    run = simulation({"Long": long_running})

    result = run.run(
        job("Done"), job("Long", "Done"), job("After", "Long"), interrupt_grace_s=7, observers=[Interrupts(run, number)]
    )

    assert run.statuses() == {"Done": "Succeeded", "Long": "Stopped", "After": "NotStarted"}
    assert (result.status, result.exit_code) == ("Interrupted", 130)
    assert run.step("Long").cause_kind == "interrupted"
    assert run.step("After").cause_kind in {"interrupted", "upstream"}
    assert run.engine.job_of("Long").grace_s == 7
    assert run.store.keys("s3://bucket") == []
    assert run.events("run.interrupted")[0]["signal"] == signal.Signals(number).name
    assert run.folder.read()["status"] == "Interrupted"


@pytest.mark.timeout(30)
def test_an_interrupt_weighs_more_than_any_failure(simulation: Simulate, long_running: Script) -> None:
    run = simulation({"Long": long_running, "Bad": broken_engine()})

    result = run.run(job("Bad"), job("Long"), observers=[Interrupts(run)])

    assert result.exit_code == 130


@pytest.mark.timeout(30)
def test_a_second_interrupt_ends_them_at_once(simulation: Simulate) -> None:
    run = simulation()
    gate = threading.Event()

    class Stubborn(dict[str, Any]):
        """Never minds the first stop: the job goes on until the second one came."""

        def get(self, call: str, default: Any = None) -> Any:
            if call == "collect":
                while run.engine.job_of("Long").grace_s != 0:
                    time.sleep(0.001)
            return default

    run.engine.scripts["Long"] = Script(until=gate, log=["started"], raises=Stubborn())

    result = run.run(job("Long"), interrupt_grace_s=7, observers=[Interrupts(run, times=2)])

    assert [event["count"] for event in run.events("run.interrupted")] == [1, 2]
    assert run.engine.job_of("Long").grace_s == 0
    assert result.exit_code == 130


def test_the_callers_signal_handlers_are_put_back(simulation: Simulate) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    simulation().run(job("A"))

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_run_outside_of_the_main_thread_leaves_signals_alone(simulation: Simulate) -> None:
    run = simulation()
    thread = threading.Thread(target=run.run, args=(job("A"),))

    thread.start()
    thread.join()

    assert run.result.exit_code == 0


# whatever the pipeline


@st.composite
def random_runs(draw: Any) -> tuple[list[dict[str, Any]], dict[str, Script], dict[str, set[str]]]:
    steps, scripts, needs = [], {}, {}
    for number in range(draw(st.integers(1, 7))):
        name = f"S{number}"
        after = draw(st.sets(st.sampled_from(sorted(needs)), max_size=3)) if needs else set()
        kind = draw(st.sampled_from(["ok", "ok", "ok", "fails", "stops", "breaks", "unknown"]))
        script = {"fails": FAILING, "stops": Script(runs_s=61), "breaks": broken_engine()}.get(kind)
        if script:
            scripts[name] = script
        steps.append(not_emulated(name, *after) if kind == "unknown" else job(name, *after, limit_s=60))
        needs[name] = after
    random.Random(draw(st.integers())).shuffle(steps)  # noqa: S311 – no secret
    return steps, scripts, needs


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(drawn=random_runs(), jobs=st.integers(1, 4))
def test_a_step_starts_if_and_only_if_all_that_it_needs_succeeded(
    tmp_path_factory: pytest.TempPathFactory, drawn: Any, jobs: int
) -> None:
    steps, scripts, needs = drawn
    run = Simulation(tmp_path_factory.mktemp("run"), scripts)

    result = run.run(*steps, jobs=jobs)

    statuses = run.statuses()
    assert set(statuses) == set(needs)
    for name, needed in needs.items():
        may_start = all(statuses[one] == "Succeeded" for one in needed)
        assert (statuses[name] != "NotStarted") is may_start
    assert sorted(started(run)) == sorted(
        step["Name"] for step in steps if step["Type"] == "Processing" and statuses[step["Name"]] != "NotStarted"
    )
    assert all(one.closed for one in run.engine.jobs)
    assert run.engine.most_at_once <= jobs
    kinds = set(statuses.values())
    assert (result.exit_code == 0) == (kinds == {"Succeeded"})
    assert (result.exit_code == 8) == (bool(kinds & {"NotEmulated"}) and not kinds & {"Failed", "Stopped"})
