"""What does a person see of a run, live or out of its recorded stream?"""

from __future__ import annotations

import io
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
import recording
from support.definitions import processing
from support.simulation import Script, Simulation

from harness.report.console import Console

if TYPE_CHECKING:
    from pathlib import Path

ESCAPE = "\x1b"


class Terminal(io.StringIO):
    """Says that it is one."""

    def isatty(self) -> bool:
        return True


def golden(name: str, kind: str) -> str:
    return (recording.GOLDEN / f"{name}.{kind}").read_text(encoding="utf-8")


def started(console: Console, *steps: str) -> None:
    console.event(
        {
            "event": "run.started",
            "run_id": "abc",
            "pipeline": "churn",
            "staging": "bind",
            "run_dir": "/w/runs/abc",
            "workspace": "/w",
            "steps": [{"name": name, "type": "Training"} for name in steps],
        }
    )


# recorded runs


@pytest.mark.parametrize("name", recording.NAMES)
def test_a_recorded_stream_is_what_a_run_gives_today(name: str, tmp_path: Path) -> None:
    assert recording.record(name, tmp_path) == golden(name, "events.jsonl"), (
        "the events have changed: if that is meant, record them anew (see recording.py)"
    )


@pytest.mark.parametrize("name", recording.NAMES)
def test_a_recorded_stream_gives_its_text(name: str) -> None:
    assert recording.console_text(golden(name, "events.jsonl")) == golden(name, "console.txt")


@pytest.mark.parametrize("name", recording.NAMES)
def test_colours_add_nothing_but_colours(name: str) -> None:
    out = Terminal()
    console = Console(out)
    for line in golden(name, "events.jsonl").splitlines():
        console.event(json.loads(line))

    coloured = out.getvalue()
    assert ESCAPE in coloured
    assert re.sub(r"\x1b\[\d+m", "", coloured) == golden(name, "console.txt")


def test_a_live_run_looks_like_its_stream_read_again(tmp_path: Path) -> None:
    live, again = io.StringIO(), io.StringIO()
    run = Simulation(tmp_path, {"A": Script(exit_code=1, log=["Traceback (most recent call last):", "ValueError: x"])})

    run.run(processing("A", "image"), processing("B", "image"), observers=[Console(live, show_lines=False)])
    console = Console(again)
    for event in run.events():
        console.event(event)

    assert live.getvalue() == again.getvalue()
    assert "Cause:     ValueError: x" in live.getvalue()


# lines


def lines_of(*lines: tuple[str, str, str], steps: tuple[str, ...] = ("Train",), **options: Any) -> list[str]:
    out = io.StringIO()
    console = Console(out, **options)
    started(console, *steps)
    for step, host, text in lines:
        console.line(step, host, "stdout", text)
    return out.getvalue().splitlines()[1:]


def test_a_line_has_its_steps_name_in_front_aligned() -> None:
    assert lines_of(("Train", "algo-1", "epoch 1"), ("Prep", "algo-1", "x"), steps=("Train", "Prep")) == [
        "[Train] epoch 1",
        "[Prep]  x",
    ]


def test_of_several_hosts_the_host_is_named() -> None:
    assert lines_of(("Train", "algo-1", "a"), ("Train", "algo-2", "b"), ("Train", "algo-1", "c")) == [
        "[Train] a",
        "[Train/algo-2] b",
        "[Train/algo-1] c",
    ]


@pytest.mark.parametrize(
    ("text", "shown"),
    [("10%\r20%\r30%", "30%"), ("30%\r", "30%"), ("plain", "plain"), ("", ""), ("\r", ""), ("a\r\r", "a")],
)
def test_a_progress_bar_shows_what_it_shows_in_the_end(text: str, shown: str) -> None:
    assert lines_of(("Train", "algo-1", text)) == [f"[Train] {shown}"]


def test_lines_can_be_left_out() -> None:
    assert lines_of(("Train", "algo-1", "epoch 1"), show_lines=False) == []


def test_a_very_long_name_does_not_push_the_others_away() -> None:
    (line,) = lines_of(("B", "algo-1", "x"), steps=("A" * 64, "B"))

    assert line == f"{'[B]':<34} x"


def test_a_second_interrupt_says_that_it_ends_the_containers_at_once() -> None:
    out = io.StringIO()
    console = Console(out)

    for count in (1, 2):
        console.event({"event": "run.interrupted", "signal": "SIGTERM", "count": count})

    assert out.getvalue().splitlines() == [
        "· SIGTERM: ending the containers; once more ends them at once",
        "· SIGTERM: ending the containers at once",
    ]


# streams that are no help


def test_without_a_terminal_there_are_no_colours_unless_they_are_wanted() -> None:
    assert not any(ESCAPE in line for line in lines_of(("Train", "algo-1", "x")))
    assert all(ESCAPE in line for line in lines_of(("Train", "algo-1", "x"), colour=True))


def test_a_terminal_may_be_told_to_show_no_colours() -> None:
    out = Terminal()

    Console(out, colour=False).say("hello")

    assert out.getvalue() == "· hello\n"


@pytest.mark.parametrize("error", [BrokenPipeError(), ValueError("I/O operation on closed file")])
def test_a_reader_who_went_away_does_not_end_the_run(error: Exception) -> None:
    class Gone(io.StringIO):
        def write(self, _: str) -> int:
            raise error

    console = Console(Gone())

    started(console, "Train")
    console.line("Train", "algo-1", "stdout", "x")
    console.say("hello")


def test_an_event_that_nobody_knows_is_passed_over() -> None:
    out = io.StringIO()

    Console(out).event({"event": "something.new"})

    assert out.getvalue() == ""


@pytest.mark.parametrize(
    ("text", "plain", "coloured"),
    [
        ("a\x1b[31mred\x1b[0m", "ared", "a\x1b[31mred\x1b[0m"),
        ("up\x1b[2A\x1b[2Kover", "upover", "upover"),
        ("\x1b]0;a window's name\x07after", "after", "after"),
        ("tab\there", "tab\there", "tab\there"),
        ("bell\x07 and null\x00", "bell and null", "bell and null"),
        ("half an escape \x1b", "half an escape ", "half an escape "),
        ("äöü – ✔", "äöü – ✔", "äöü – ✔"),
    ],
)
def test_a_containers_line_cannot_move_the_cursor(text: str, plain: str, coloured: str):
    for colour, expected in ((False, plain), (True, coloured)):
        stream = io.StringIO()
        Console(stream, colour=colour).line("Step", "algo-1", "stdout", text)

        assert stream.getvalue().rstrip("\n").endswith(f" {expected}")
