"""What does a person see on the screen while a run goes, and at its end?

Everything goes to standard error: standard output belongs to ``--json``.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from typing import Any, TextIO

from harness.report import words
from harness.report.failure import explain_step, headline

__all__ = ["Console"]

_COLOURS = (36, 35, 34, 33, 32, 96, 95, 94)
_MARKS = {
    "Succeeded": ("✔", 32),
    "Failed": ("✘", 31),
    "Stopped": ("■", 33),
    "NotEmulated": ("?", 33),
    "NotStarted": ("–", 90),
}
_REMARK_CHARACTERS = 100
_ESCAPE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])?")


class Console:
    """Renders a run's events as text. The same events give the same text, live or out of a file."""

    def __init__(self, stream: TextIO | None = None, *, colour: bool | None = None, show_lines: bool = True) -> None:
        """Write to a stream; colours only where a terminal reads, unless said otherwise."""
        self._stream = stream or sys.stderr
        self._colour = (self._stream.isatty() and not os.environ.get("NO_COLOR")) if colour is None else colour
        self._show_lines = show_lines
        self._lock = threading.Lock()
        self._width = 0
        self._numbers: dict[str, int] = {}
        self._workspace = ""
        self._tails: dict[str, list[str]] = {}
        self._hosts: dict[str, set[str]] = {}

    def say(self, text: str) -> None:
        """Show a line of the harness's own."""
        self._print(f"{self._paint('·', 90)} {text}")

    def event(self, event: dict[str, Any]) -> None:
        """Show an event, if it is one that a person wants to see."""
        handler = getattr(self, "_on_" + event["event"].replace(".", "_"), None)
        if handler:
            handler(event)

    def line(self, step: str, host: str, stream: str, text: str) -> None:
        """Show a container's line with the step's name in front."""
        del stream
        if not self._show_lines:
            return
        hosts = self._hosts.setdefault(step, set())
        hosts.add(host)
        name = f"{step}/{host}" if len(hosts) > 1 else step
        # A progress bar overwrites itself: what it would show at the end of the line.
        shown = _printable(text.rstrip("\r").rpartition("\r")[2], colour=self._colour)
        self._print(f"{self._prefix(step, name)} {shown}")

    # events

    def _on_run_started(self, event: dict[str, Any]) -> None:
        self._workspace = event["workspace"]
        steps = event["steps"]
        self._width = min(max((len(step["name"]) for step in steps), default=0), 32)
        self._numbers = {step["name"]: number for number, step in enumerate(steps)}
        self.say(
            f"run {event['run_id']} of {event['pipeline']}: {len(steps)} step{'' if len(steps) == 1 else 's'}, "
            f"inputs by {event['staging']}, files in {event['run_dir']}"
        )

    def _on_image_resolved(self, event: dict[str, Any]) -> None:
        what = f" ({event['detail']})" if event["detail"] else ""
        self.say(f"image {event['uri']}: {event['source']}{what}")

    def _on_step_started(self, event: dict[str, Any]) -> None:
        if "job_name" in event:
            self._print(f"{self._prefix(event['step'])} {self._paint('▶', 36)} {event['type']} job {event['job_name']}")

    def _on_condition_evaluated(self, event: dict[str, Any]) -> None:
        left_out = f"; left out: {', '.join(event['left_out'])}" if event["left_out"] else ""
        self._print(f"{self._prefix(event['step'])}   the conditions are {event['outcome']}{left_out}")

    def _on_step_finished(self, event: dict[str, Any]) -> None:
        result = event["result"]
        mark, colour = _MARKS[result["status"]]
        details = [words.duration(result["duration_s"])]
        if result["exit_code"] not in {None, 0}:
            details.append(f"exit code {result['exit_code']}")
        peak = max((host["peak_memory_bytes"] or 0 for host in result["hosts"]), default=0)
        if peak:
            details.append(f"peak memory {words.size(peak)}")
        cpu = sum(host["cpu_s"] or 0 for host in result["hosts"])
        if cpu:
            details.append(f"cpu {cpu:.1f} s")
        if result["input_bytes"] or result["output_bytes"]:
            details.append(f"in {words.size(result['input_bytes'])}, out {words.size(result['output_bytes'])}")
        status = self._paint(f"{mark} {result['status']}", colour)
        self._print(f"{self._prefix(result['name'])} {status} ({', '.join(details)})")
        for note in result["notes"]:
            self._print(f"{self._prefix(result['name'])}   note: {note}")
        for path in result["changed_inputs"][:10]:
            text = f"the step changed its own input {path} (the stored object is unchanged)"
            self._print(f"{self._prefix(result['name'])}   note: {text}")
        self._tails[result["name"]] = event["tail"]

    def _on_run_interrupted(self, event: dict[str, Any]) -> None:
        again = (
            "ending the containers at once"
            if event["count"] > 1
            else "ending the containers; once more ends them at once"
        )
        self.say(f"{event['signal']}: {again}")

    def _on_run_finished(self, event: dict[str, Any]) -> None:
        run = event["result"]
        for step in run["steps"]:
            if step["status"] in {"Failed", "Stopped", "NotEmulated"}:
                tail = self._tails.get(step["name"], [])
                text = explain_step(step, tail, run_id=run["run_id"], run_dir=run["run_dir"], workspace=self._workspace)
                self._print(f"\n{text}")
        rows = [
            [
                f"  {_MARKS[step['status']][0]}",
                step["name"],
                step["type"],
                step["status"],
                words.duration(step["duration_s"]) if step["attempts"] else "",
                _remark(step, self._tails.get(step["name"], [])),
            ]
            for step in run["steps"]
        ]
        self._print(f"\n{words.table(rows)}\n")
        status = self._paint(run["status"], {"Succeeded": 32, "Failed": 31}.get(run["status"], 33))
        self._print(f"{status} after {words.duration(run['duration_s'])}: run {run['run_id']} in {run['run_dir']}")

    # writing

    def _prefix(self, step: str, name: str | None = None) -> str:
        number = self._numbers.setdefault(step, len(self._numbers))
        return self._paint(f"[{name or step}]".ljust(self._width + 2), _COLOURS[number % len(_COLOURS)])

    def _paint(self, text: str, colour: int) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text

    def _print(self, text: str) -> None:
        with self._lock:
            try:
                self._stream.write(f"{text}\n")
                self._stream.flush()
            except (BrokenPipeError, ValueError):
                return  # nobody reads any more; the run goes on, its files are complete


def _printable(text: str, *, colour: bool) -> str:
    """Take out what would move the cursor or rename the window; a container's colours stay where colours are shown."""
    if text.isprintable():
        return text
    kept = _ESCAPE.sub(lambda found: found[0] if colour and found[0].endswith("m") else "", text)
    return "".join(c for c in kept if c >= " " or c in "\t\x1b")


def _remark(step: dict[str, Any], tail: list[str]) -> str:
    if step["outcome"]:
        return f"outcome {step['outcome']}"
    if step["status"] == "Succeeded":
        return (
            f"stand-in image ({step['image_used']['detail']})"
            if (step["image_used"] or {}).get("source") == "stand-in"
            else ""
        )
    first, *_ = headline(step, tail).splitlines() or [""]
    return first[:_REMARK_CHARACTERS]
