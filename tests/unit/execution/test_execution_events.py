"""Is the stream of events the truth of a run: numbered, whole, readable after a crash?"""

from __future__ import annotations

import datetime
import json
import re
import threading
from typing import TYPE_CHECKING, Any

import pytest

from harness.execution.events import SCHEMA_VERSION, Journal, now, read_events

if TYPE_CHECKING:
    from pathlib import Path


class Watcher:
    """Keeps what it sees."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.lines: list[tuple[str, ...]] = []

    def event(self, event: dict[str, Any]) -> None:
        self.events.append(event)

    def line(self, *line: str) -> None:
        self.lines.append(line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "events.jsonl"


def test_the_time_is_utc_to_the_millisecond() -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", now())
    told = datetime.datetime.fromisoformat(now().replace("Z", "+00:00"))
    assert abs((datetime.datetime.now(datetime.timezone.utc) - told).total_seconds()) < 5


def test_an_event_has_version_number_time_and_name_in_front(path: Path) -> None:
    journal = Journal(path)
    journal.write("step.started", step="Train")
    journal.write("step.finished", step="Train")
    journal.close()

    first, second = read_events(path)

    assert list(first) == ["v", "seq", "time", "event", "step"]
    assert (first["v"], first["seq"], first["event"], first["step"]) == (SCHEMA_VERSION, 1, "step.started", "Train")
    assert second["seq"] == 2


def test_one_event_is_one_line_whatever_its_texts(path: Path) -> None:
    journal = Journal(path)
    journal.write("step.note", text="two\nlines, \u2028 and ü")
    journal.close()

    assert len(path.read_text(encoding="utf-8").split("\n")) == 2
    assert next(read_events(path))["text"] == "two\nlines, \u2028 and ü"


def test_an_event_is_on_the_disk_before_anything_else_happens(path: Path) -> None:
    journal = Journal(path)

    journal.write("step.started")

    assert len(list(read_events(path))) == 1
    journal.close()


def test_a_value_that_json_does_not_know_is_written_as_text(path: Path, tmp_path: Path) -> None:
    journal = Journal(path)
    journal.write("run.started", workspace=tmp_path)
    journal.close()

    assert json.loads(path.read_text(encoding="utf-8"))["workspace"] == str(tmp_path)


def test_a_text_that_is_no_unicode_is_written_all_the_same(path: Path) -> None:
    journal = Journal(path)
    journal.write("step.note", text="caf\udce9")
    journal.close()

    assert next(read_events(path))["text"] == "caf\udce9"


def test_observers_see_events_after_they_are_written_and_lines_that_are_not(path: Path) -> None:
    watchers = [Watcher(), Watcher()]
    journal = Journal(path, watchers)

    journal.write("step.started", step="Train")
    journal.line("Train", "algo-1", "stdout", "epoch 1")
    journal.close()

    for watcher in watchers:
        assert watcher.events == list(read_events(path))
        assert watcher.lines == [("Train", "algo-1", "stdout", "epoch 1")]
    assert len(list(read_events(path))) == 1


def test_events_of_many_threads_are_numbered_without_a_gap(path: Path) -> None:
    journal = Journal(path)

    def write() -> None:
        for _ in range(50):
            journal.write("step.note", text="x" * 500)

    threads = [threading.Thread(target=write) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    journal.close()

    assert [event["seq"] for event in read_events(path)] == list(range(1, 401))


def test_a_last_line_that_a_crash_cut_off_is_left_out(path: Path) -> None:
    path.write_text('{"seq": 1}\n{"seq": 2, "eve')

    assert list(read_events(path)) == [{"seq": 1}]


def test_a_stream_without_events_is_empty(path: Path) -> None:
    Journal(path).close()

    assert list(read_events(path)) == []
