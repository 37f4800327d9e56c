"""What happened in a run? One append-only stream, the truth that every renderer reads.

``events.jsonl`` has one JSON object a line: ``v`` (the schema's version), ``seq``, ``time`` (UTC), ``event``, and the
event's own members. The events:

=====================  =======================================================================================
run.started            run_id, pipeline, source, workspace, parameters, steps (names and types), staging
image.progress         text
image.resolved         uri, source, reference, detail, image_id, digest
step.started           step, type, attempt, job_name, image, image_source
step.note              step, text
step.finished          step, result (a StepResult)
condition.evaluated    step, outcome, taken, left_out
run.interrupted        signal
run.finished           result (a RunResult)
=====================  =======================================================================================
"""

from __future__ import annotations

import datetime
import json
import threading
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

__all__ = ["SCHEMA_VERSION", "Journal", "Observer", "now", "read_events"]

SCHEMA_VERSION = 1


def now() -> str:
    """Give the time, in UTC, to the millisecond: ``2026-01-31T12:00:00.000Z``."""
    moment = datetime.datetime.now(datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


class Observer(Protocol):
    """Somebody who looks on while a run goes: a renderer."""

    def event(self, event: dict[str, Any]) -> None:
        """See an event."""

    def line(self, step: str, host: str, stream: str, text: str) -> None:
        """See a line that a container wrote."""


class Journal:
    """Writes events down and shows them to observers; any thread may write."""

    def __init__(self, path: Path, observers: Iterable[Observer] = ()) -> None:
        """Open the file for appending."""
        # A lone surrogate (half of a file's name, say) is escaped, which JSON reads back.
        self._handle = path.open("a", encoding="utf-8", errors="backslashreplace")
        self._observers = tuple(observers)
        self._lock = threading.Lock()
        self._count = 0

    def write(self, event: str, **members: Any) -> None:
        """Append an event."""
        with self._lock:
            self._count += 1
            entry = {"v": SCHEMA_VERSION, "seq": self._count, "time": now(), "event": event, **members}
            self._handle.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")
            self._handle.flush()
            for observer in self._observers:
                observer.event(entry)

    def line(self, step: str, host: str, stream: str, text: str) -> None:
        """Show a container's line; lines are kept in the logs, not in the events."""
        for observer in self._observers:
            observer.line(step, host, stream, text)

    def close(self) -> None:
        """Close the file."""
        self._handle.close()


def read_events(path: Path) -> Iterator[dict[str, Any]]:
    """Read a stream again; a last line that a crash cut off is left out."""
    with path.open(encoding="utf-8") as handle:
        for line in handle:
            try:
                yield json.loads(line)
            except ValueError:
                return
