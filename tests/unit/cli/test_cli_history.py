"""What do logs, runs and clean show and take away?"""

from __future__ import annotations

import json
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import processing
from support.simulation import RUN_ID, Script, Simulation

from harness.cli.main import main
from harness.errors import EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Simulation:
    """Make a workspace with one run of two steps."""
    scripts = {"A": Script(log=["a1", ("stderr", "a2")]), "B": Script(log=["b1"], exit_code=1)}
    made = Simulation(tmp_path / "w", scripts)
    made.run(processing("A", "image"), processing("B", "image", DependsOn=["A"]))
    return made


@pytest.fixture
def call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Call the command line with the workspace; give exit code, output and errors."""

    def called(*words: str) -> tuple[int, str, str]:
        code = main([*words, "--workspace", str(tmp_path / "w")])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return called


@pytest.fixture
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise EngineUnavailableError("no Docker engine answers", remedy="start Docker")

    monkeypatch.setattr("harness.engine.connection.connect", refuse)


Call = Any


# logs


@pytest.mark.usefixtures("run")
@pytest.mark.parametrize("name", ["last", RUN_ID, RUN_ID[:3]])
def test_the_logs_of_a_run_have_the_steps_name_in_front(call: Call, name: str) -> None:
    assert call("logs", name) == (0, "[A] a1\n[A] a2\n[B] b1\n", "")


@pytest.mark.usefixtures("run")
def test_the_log_of_a_step_is_what_it_wrote(call: Call) -> None:
    assert call("logs", "last", "A") == (0, "a1\na2\n", "")


@pytest.mark.usefixtures("run")
def test_times_are_shown_if_somebody_asks(call: Call) -> None:
    _, out, _ = call("logs", "last", "B", "--timestamps")

    stamp, text = out.split()
    assert stamp.endswith("Z")
    assert text == "b1"


@pytest.mark.usefixtures("run")
def test_a_step_without_a_log_is_told_with_those_that_have_one(call: Call) -> None:
    code, out, err = call("logs", "last", "Ghost")

    assert (code, out) == (2, "")
    assert "no log of a step 'Ghost' (it has: A, B)" in err


def test_a_run_that_is_not_there_is_told(call: Call) -> None:
    code, _, err = call("logs", "last")

    assert code == 2
    assert "there is no run yet" in err


@pytest.mark.timeout(30)
def test_a_run_is_followed_to_its_end(run: Simulation, call: Call) -> None:
    run.folder.record.write_text(json.dumps({"status": "Executing"}))
    log = run.folder.attempt("B", 1) / "algo-1/log.txt"

    def go_on() -> None:
        time.sleep(0.3)
        with log.open("ab") as handle:
            handle.write(b"2026-01-01T00:00:00.000000Z stdout b2\n")
        run.folder.record.write_text(json.dumps({"status": "Failed"}))

    threading.Thread(target=go_on).start()
    code, out, _ = call("logs", "last", "--follow")

    assert (code, out) == (0, "[A] a1\n[A] a2\n[B] b1\n[B] b2\n")


@pytest.mark.usefixtures("run")
def test_a_run_that_is_over_is_not_followed_for_ever(call: Call) -> None:
    assert call("logs", "last", "--follow")[0] == 0


# runs


def test_runs_are_listed(run: Simulation, call: Call) -> None:
    code, out, _ = call("runs")

    head, row = out.splitlines()
    assert code == 0
    assert head.split() == ["run", "pipeline", "status", "started", "took", "steps"]
    assert row.startswith(f"{RUN_ID}  simulated  Failed  {run.result.started_at}")
    assert row.endswith("1 Succeeded, 1 Failed")


def test_runs_as_a_document_are_their_records(run: Simulation, call: Call) -> None:
    _, out, _ = call("runs", "--json")

    assert json.loads(out) == [run.result.model_dump(mode="json")]


def test_no_runs(call: Call) -> None:
    assert call("runs") == (0, "no run yet\n", "")
    assert json.loads(call("runs", "--json")[1]) == []


@pytest.mark.parametrize("record", ["", "{", "{}", '{"status": "Failed"}'])
def test_a_run_whose_record_is_broken_is_listed_as_unreadable(run: Simulation, call: Call, record: str) -> None:
    run.workspace.new_run("broken").record.write_text(record)

    code, out, _ = call("runs")

    assert code == 0
    assert [line.split()[:2] for line in out.splitlines()[1:]] == [["broken", "unreadable"], [RUN_ID, "simulated"]]
    assert [entry["run_id"] for entry in json.loads(call("runs", "--json")[1])] == ["broken", RUN_ID]


# clean


@pytest.mark.usefixtures("_no_engine")
def test_without_runs_and_without_an_engine_there_is_nothing_to_clean(run: Simulation, call: Call) -> None:
    code, _, err = call("clean")

    assert code == 3
    assert "the engine is left out: no Docker engine answers" in err
    assert run.folder.path.is_dir()


@pytest.mark.usefixtures("_no_engine")
def test_runs_are_taken_away_and_buckets_stay(run: Simulation, call: Call) -> None:
    run.put("s3://bucket/a")

    code, out, _ = call("clean", "--runs")

    assert (code, out) == (0, f"removed run {RUN_ID}\n")
    assert list(run.workspace.runs.iterdir()) == []
    assert run.store.keys("s3://bucket") == ["a"]


@pytest.mark.usefixtures("_no_engine")
@pytest.mark.parametrize(("age_s", "stays"), [(0, True), (25 * 3600, False)])
def test_a_run_that_goes_on_stays_unless_it_has_long_been_silent(
    run: Simulation, call: Call, age_s: float, *, stays: bool
) -> None:
    run.folder.record.write_text(json.dumps({"status": "Executing"}))
    for path in (run.folder.record, run.folder.events):
        os.utime(path, (time.time() - age_s, time.time() - age_s))

    call("clean", "--runs")

    assert run.folder.path.is_dir() is stays


def test_what_the_engine_holds_of_this_workspace_is_taken_away(
    run: Simulation, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    class Client:
        def close(self) -> None:
            asked.append("closed")

    def sweep(_: Any, *, kept_too: Any) -> list[str]:
        asked.extend(
            kept_too({"sagemaker-harness.workspace": folder}) for folder in (str(run.workspace.root), "/elsewhere")
        )
        return ["container x"]

    monkeypatch.setattr("harness.engine.connection.connect", Client)
    monkeypatch.setattr("harness.engine.sweep.sweep", sweep)

    assert call("clean")[:2] == (0, "removed container x\n")
    assert asked == [True, False, "closed"]
