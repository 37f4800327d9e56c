"""How does a call end: with which exit code, with which words, and never with a traceback?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import processing
from support.simulation import Script, Simulation

from harness import errors
from harness.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

HEAVY = {"docker", "boto3", "botocore", "pandas", "sagemaker", "pydantic", "networkx", "requests", "yaml", "numpy"}
VERBS = ["", "run", "plan", "logs", "runs", "clean", "images", "images list", "images build", "images which"]


@pytest.fixture
def ends_with(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], int]:
    """Call a verb whose function returns or raises something."""

    def call(what: Any) -> int:
        def function(_: Any) -> Any:
            if isinstance(what, BaseException):
                raise what
            return what

        monkeypatch.setattr("harness.cli.history.runs", function)
        return main(["runs"])

    return call


Ends = Any


@pytest.mark.parametrize("code", [0, 1, 5, 8, 130])
def test_the_functions_number_is_the_exit_code(ends_with: Ends, code: int) -> None:
    assert ends_with(code) == code


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.UsageError("m"), 2),
        (errors.ConfigurationError("m"), 2),
        (errors.DefinitionError("m", []), 2),
        (errors.PreflightError("m", [], [errors.Mistake("", "gone")]), 7),
        (errors.PreflightError("m", [errors.Mistake("", "gone")], []), 2),
        (errors.NothingToDoError("m"), 3),
        (errors.StorageError("m"), 5),
        (errors.EngineError("m"), 5),
        (errors.EngineUnavailableError("m"), 7),
        (errors.ImageError("m"), 7),
        (errors.NotEmulatedError("m"), 8),
        (errors.InterruptedRunError("m"), 130),
        (KeyboardInterrupt(), 130),
        (ZeroDivisionError("m"), 5),
        (OSError(28, "No space left on device"), 5),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_every_error_has_its_exit_code_and_nobody_sees_a_traceback(
    ends_with: Ends, capsys: pytest.CaptureFixture[str], error: BaseException, code: int
) -> None:
    assert ends_with(error) == code

    assert "Traceback" not in capsys.readouterr().err


def test_an_error_is_told_with_its_remedy_on_standard_error(
    ends_with: Ends, capsys: pytest.CaptureFixture[str]
) -> None:
    ends_with(errors.UsageError("no such thing", remedy="take another"))

    assert capsys.readouterr() == ("", "harness: no such thing\n  → take another\n")


def test_a_bug_leaves_its_traceback_in_a_file(
    ends_with: Ends, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    assert ends_with(ZeroDivisionError("oops")) == 5

    (kept,) = tmp_path.iterdir()
    said = capsys.readouterr().err
    assert "a bug of the harness itself: ZeroDivisionError: oops" in said
    assert str(kept) in said
    assert "ZeroDivisionError: oops" in kept.read_text()


def test_somebody_who_debugs_gets_the_traceback(ends_with: Ends, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_DEBUG", "1")

    with pytest.raises(ZeroDivisionError):
        ends_with(ZeroDivisionError("oops"))


def test_sigterm_is_an_interrupt(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def terminated(_: Any) -> None:
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("harness.cli.history.runs", terminated)

    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "harness: interrupted\n"


def test_without_a_verb_the_help_is_shown_and_the_call_was_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert "usage: harness" in capsys.readouterr().out


def test_a_wrong_call_ends_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["run"])

    assert caught.value.code == 2
    assert "usage: harness run" in capsys.readouterr().err


# as a program


def program(*words: str, flags: tuple[str, ...] = (), **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *flags, "-m", "harness", *words],
        capture_output=True, text=True, check=False, timeout=60, **options,
    )  # fmt: skip


def imported(done: subprocess.CompletedProcess[str]) -> set[str]:
    """Read the top-level names out of what -X importtime wrote."""
    lines = [line for line in done.stderr.splitlines() if line.startswith("import time:")]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


def test_help_imports_nothing_heavy() -> None:
    for verb in VERBS:
        done = program(*verb.split(), "--help", flags=("-X", "importtime"))

        names = imported(done)
        assert done.returncode == 0
        assert {"harness", "argparse"} <= names
        assert names & HEAVY == set(), f"harness {verb} --help"


def test_a_wrong_call_imports_nothing_heavy() -> None:
    done = program("run", "--nonsense", flags=("-X", "importtime"))

    assert done.returncode == 2
    assert imported(done) & HEAVY == set()


def test_a_pipeline_that_is_not_there_ends_with_2_in_one_message(tmp_path: Path) -> None:
    done = program("plan", "nowhere", cwd=tmp_path)

    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("harness: no pipeline nowhere")
    assert len(done.stderr.splitlines()) == 2
    assert list(tmp_path.iterdir()) == []


def test_a_reader_who_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    run = Simulation(tmp_path / "w", {"A": Script(log=["x" * 100] * 5000)})
    run.run(processing("A", "image"))
    command = [sys.executable, "-m", "harness", "logs", "last", "--workspace", str(tmp_path / "w")]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as reading:
        assert reading.stdout is not None
        assert reading.stderr is not None
        reading.stdout.readline()
        reading.stdout.close()
        said = reading.stderr.read()

    assert (reading.returncode, said) == (0, b"")


def test_a_terminal_that_knows_no_utf8_is_no_reason_to_fail(tmp_path: Path) -> None:
    environment = {**os.environ, "LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}

    done = program("plan", "nowhere", cwd=tmp_path, env=environment)

    assert done.returncode == 2
    assert "no pipeline nowhere" in done.stderr
