"""Ctrl-C, SIGTERM, a closed terminal, readers that go away: how does a run end that somebody ends?"""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest
from support import definitions as d
from support.cli import wait_until

from harness.execution.events import read_events

if TYPE_CHECKING:
    from pathlib import Path

    from support.cli import Call, Cli, Outcome
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

HEEDS = "import signal, sys, time\nsignal.signal(15, lambda *_: sys.exit(0))\nprint('running')\ntime.sleep(60)"
IGNORES = "import signal, time\nsignal.signal(15, signal.SIG_IGN)\nprint('running')\ntime.sleep(60)"
QUICK = "print('quick')\nopen('/opt/ml/processing/out/x', 'w').write('x')"


def start(cli: Cli, images: ProbeImages, text: str, *extra: str, **options: Any) -> Call:
    """Start a pipeline whose second step runs until somebody ends it."""
    steps = [
        d.script("Before", images.plain, "quick.py"),
        d.script("Running", images.plain, "x.py", DependsOn=["Before"]),
        d.script("After", images.plain, "quick.py", DependsOn=["Running"]),
    ]
    call = cli.start_run(d.pipeline(*steps), *extra, scripts={"x.py": text, "quick.py": QUICK}, **options)
    call.says("running")
    return call


def assert_interrupted(outcome: Outcome) -> None:
    """See to it that the verdict is complete."""
    outcome.expect(130)
    assert outcome.document["status"] == "Interrupted"
    assert {name: step["status"] for name, step in outcome.steps.items()} == {
        "Before": "Succeeded",
        "Running": "Stopped",
        "After": "NotStarted",
    }
    assert json.loads((outcome.run_dir / "run.json").read_text()) == outcome.document
    assert outcome.stored("Before/out/x").read_text() == "x"
    assert not outcome.stored("Running").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_one_signal_ends_containers_that_heed_it_at_once(
    cli: Cli, images: ProbeImages, leftovers: Leftovers, number: signal.Signals
) -> None:
    call = start(cli, images, HEEDS)

    began = time.monotonic()
    call.signal(number)
    outcome = call.wait(30)

    assert time.monotonic() - began < 8
    assert_interrupted(outcome)
    assert outcome.steps["Running"]["exit_code"] == 0
    assert number.name in outcome.stderr
    assert leftovers.all() == []


def test_a_container_that_ignores_the_signal_is_killed_after_the_grace(
    cli: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    (cli.scratch / "harness.yaml").write_text("interrupt_grace_s: 2")
    call = start(cli, images, IGNORES)

    began = time.monotonic()
    call.signal(signal.SIGINT)
    outcome = call.wait(30)

    assert 2 <= time.monotonic() - began < 10
    assert_interrupted(outcome)
    assert outcome.steps["Running"]["exit_code"] == 137
    assert leftovers.all() == []


def test_a_second_signal_ends_everything_at_once(cli: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    call = start(cli, images, IGNORES)

    call.signal(signal.SIGINT)
    call.says("once more ends them at once")
    began = time.monotonic()
    call.signal(signal.SIGINT)
    outcome = call.wait(30)

    assert time.monotonic() - began < 4
    assert_interrupted(outcome)
    assert [e["count"] for e in read_events(outcome.run_dir / "events.jsonl") if e["event"] == "run.interrupted"] == [
        1,
        2,
    ]
    assert leftovers.all() == []


@pytest.mark.long
@pytest.mark.parametrize("repetition", range(20))
def test_an_interruption_at_any_moment_leaves_nothing(
    cli: Cli, images: ProbeImages, leftovers: Leftovers, repetition: int
) -> None:
    steps = [d.script(f"Step{n}", images.plain, "x.py") for n in range(3)]
    call = cli.start_run(d.pipeline(*steps), scripts={"x.py": HEEDS})
    wait_until("the run has begun", lambda: any((cli.workspace / "runs").glob("*/run.json")))

    time.sleep(repetition * 0.08)
    call.signal(signal.SIGINT)
    outcome = call.wait(60)

    outcome.expect(130)
    assert json.loads((outcome.run_dir / "run.json").read_text())["status"] == "Interrupted"
    assert leftovers.all() == []


def test_a_closed_terminal_ends_a_run_as_ctrl_c_does(cli: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    call = start(cli, images, HEEDS)

    call.signal(signal.SIGHUP)
    outcome = call.wait(30)

    assert_interrupted(outcome)
    assert leftovers.all() == []


def test_a_run_that_was_told_to_survive_its_terminal_does(cli: Cli, images: ProbeImages) -> None:
    text = "import time\nprint('running')\ntime.sleep(3)"
    # As nohup does.
    call = start(cli, images, text, popen={"preexec_fn": lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)})

    call.signal(signal.SIGHUP)
    outcome = call.wait(30)

    outcome.expect(0)


def test_an_interrupted_run_is_listed_as_such(cli: Cli, images: ProbeImages) -> None:
    call = start(cli, images, HEEDS)
    call.signal(signal.SIGINT)
    call.wait(30).expect(130)

    listed = cli.call("runs", "--workspace", str(cli.workspace)).expect(0)

    assert "Interrupted" in listed.stdout


def test_an_interruption_before_the_run_ends_with_130_and_leaves_nothing(
    cli: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    fifo = cli.scratch / "pipeline.json"
    os.mkfifo(fifo)  # reading the definition waits until somebody writes
    call = cli.start("run", str(fifo), "--workspace", str(cli.workspace))
    time.sleep(1)

    call.signal(signal.SIGINT)
    outcome = call.wait(30)

    outcome.expect(130)
    assert "interrupted" in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert leftovers.all() == []
    assert images.plain


# readers that go away


@pytest.fixture
def closed() -> int:
    """Give the writing end of a pipe that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def run_with(cli: Cli, images: ProbeImages, text: str, streams: dict[str, int], files: Path) -> tuple[int, str]:
    """Run a pipeline whose standard streams are as given; give its code and what went to the other one."""
    words = cli.words(d.pipeline(d.script("Step", images.plain, "x.py")), "--json", scripts={"x.py": text})
    with files.open("wb") as handle:
        options: dict[str, Any] = {"stdout": handle, "stderr": handle, **streams}
        call = cli.start("run", *words, **options)
        for writing in streams.values():
            os.close(writing)
        code = call.process.wait(60)
    return code, files.read_text()


@pytest.mark.parametrize(("text", "code"), [(QUICK, 0), ("raise SystemExit(1)", 1)], ids=["a good run", "a failed run"])
def test_a_reader_of_the_document_that_is_gone_does_not_change_the_verdict(
    cli: Cli, images: ProbeImages, closed: int, tmp_path: Path, text: str, code: int
) -> None:
    found, said = run_with(cli, images, text, {"stdout": closed}, tmp_path / "stderr")

    assert found == code
    assert "Traceback" not in said
    assert "BrokenPipe" not in said
    assert len(list((cli.workspace / "runs").glob("*/run.json"))) == 1


@pytest.mark.parametrize(("text", "code"), [(QUICK, 0), ("raise SystemExit(1)", 1)], ids=["a good run", "a failed run"])
def test_a_screen_that_is_gone_does_not_change_the_verdict(
    cli: Cli, images: ProbeImages, closed: int, tmp_path: Path, text: str, code: int
) -> None:
    found, said = run_with(cli, images, text, {"stderr": closed}, tmp_path / "stdout")

    assert found == code
    assert json.loads(said)["exit_code"] == code


def test_an_error_that_nobody_reads_keeps_its_code(cli: Cli, closed: int) -> None:
    call = cli.start("run", "nowhere.json", stderr=closed)
    os.close(closed)

    assert call.process.wait(30) == 2
