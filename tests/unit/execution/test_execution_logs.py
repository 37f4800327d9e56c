"""Does every byte that a container wrote reach the log, and every line the screen, however the stream is cut?"""

from __future__ import annotations

import re
import tempfile
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.execution.logs import StepLog, follow_log, read_log

STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
MIB = 1024 * 1024


class Taken:
    """A log with one host or several, and what it showed."""

    def __init__(self, folder: Path, *hosts: str) -> None:
        self.paths = {host: folder / host / "log.txt" for host in hosts or ("algo-1",)}
        self.shown: list[tuple[str, str, str]] = []
        self.log = StepLog(self.paths, lambda *line: self.shown.append(line))

    def take(self, *chunks: bytes, stream: str = "stdout", host: str = "algo-1") -> None:
        for data in chunks:
            self.log.chunk(host, stream, data)

    def end(self, host: str = "algo-1") -> None:
        self.log.end(host)

    def texts(self) -> list[str]:
        return [text for _, _, text in self.shown]

    def written(self, host: str = "algo-1") -> list[tuple[str, str]]:
        return [(stream, text) for _, stream, text in read_log(self.paths[host])]


@pytest.fixture
def taken(tmp_path: Path) -> Taken:
    return Taken(tmp_path)


def test_a_line_of_the_file_is_time_stream_and_text(taken: Taken) -> None:
    taken.take(b"epoch 1\n")
    taken.end()

    stamp, stream, text = taken.paths["algo-1"].read_text().split(" ", 2)

    assert STAMP.fullmatch(stamp)
    assert (stream, text) == ("stdout", "epoch 1\n")


def test_a_line_is_shown_as_soon_as_it_is_whole(taken: Taken) -> None:
    taken.take(b"epo", b"ch")
    assert taken.shown == []

    taken.take(b" 1\nepoch 2\nepo")
    assert taken.shown == [("algo-1", "stdout", "epoch 1"), ("algo-1", "stdout", "epoch 2")]


def test_a_last_line_without_an_end_is_shown_at_the_end(taken: Taken) -> None:
    taken.take(b"a\nb")
    taken.end()

    assert taken.texts() == ["a", "b"]
    assert taken.written() == [("stdout", "a"), ("stdout", "b")]


def test_an_output_that_ends_with_a_line_end_gives_no_empty_line(taken: Taken) -> None:
    taken.take(b"a\n")
    taken.end()

    assert taken.texts() == ["a"]


def test_empty_lines_are_lines(taken: Taken) -> None:
    taken.take(b"\n\na\n\n")
    taken.end()

    assert taken.texts() == ["", "", "a", ""]
    assert [text for _, text in taken.written()] == ["", "", "a", ""]


def test_only_a_line_feed_ends_a_line(taken: Taken) -> None:
    taken.take(b"10%\r20%\r30%\r\n", "\u2028\x0b\x0c\x85\n".encode())
    taken.end()

    assert taken.texts() == ["10%\r20%\r30%\r", "\u2028\x0b\x0c\x85"]
    assert [text for _, text in taken.written()] == taken.texts()


def test_streams_that_mix_do_not_mix_their_lines(taken: Taken) -> None:
    taken.take(b"out ")
    taken.take(b"err ", stream="stderr")
    taken.take(b"put\n")
    taken.take(b"or\n", stream="stderr")
    taken.end()

    assert taken.shown == [("algo-1", "stdout", "out put"), ("algo-1", "stderr", "err or")]
    assert taken.written() == [("stdout", "out put"), ("stderr", "err or")]


def test_the_rest_of_both_streams_is_written_at_the_end(taken: Taken) -> None:
    taken.take(b"out")
    taken.take(b"err", stream="stderr")
    taken.end()

    assert sorted(taken.written()) == [("stderr", "err"), ("stdout", "out")]


def test_bytes_that_are_no_text_are_kept_in_the_file_and_replaced_on_the_screen(taken: Taken) -> None:
    taken.take(b"\xff\xfe\0\x80\n")
    taken.end()

    assert taken.paths["algo-1"].read_bytes().endswith(b" stdout \xff\xfe\0\x80\n")
    assert taken.texts() == ["\ufffd\ufffd\0\ufffd"]


def test_a_character_that_is_cut_in_two_is_whole_again(taken: Taken) -> None:
    first, second = "ü".encode()

    taken.take(b"Z" + bytes([first]), bytes([second]) + b"rich\n")

    assert taken.texts() == ["Zürich"]


def test_a_line_of_one_mib_is_one_line(taken: Taken) -> None:
    taken.take(*[b"x" * 65536] * 16, b"\n")
    taken.end()

    assert [len(text) for text in taken.texts()] == [MIB]


def test_a_line_that_never_ends_is_written_in_pieces(taken: Taken) -> None:
    taken.take(*[b"x" * 65536] * 40)
    assert len(taken.texts()) == 2

    taken.end()

    assert "".join(taken.texts()) == "x" * 65536 * 40
    assert all(len(text) <= MIB + 65536 for text in taken.texts())


def test_a_host_that_starts_anew_has_only_what_follows(taken: Taken) -> None:
    taken.take(b"first\nhalf")
    taken.log.restart("algo-1")
    taken.take(b"second\n")
    taken.end()

    assert taken.written() == [("stdout", "second")]
    assert taken.log.tail == ["second"]


def test_a_host_can_start_anew_after_its_end(taken: Taken) -> None:
    taken.take(b"first\n")
    taken.end()

    taken.log.restart("algo-1")
    taken.take(b"second\n")
    taken.end()

    assert taken.written() == [("stdout", "second")]


def test_hosts_have_files_of_their_own_and_one_tail(tmp_path: Path) -> None:
    taken = Taken(tmp_path, "algo-1", "algo-2")

    taken.take(b"one\n", host="algo-1")
    taken.take(b"two\n", host="algo-2")
    taken.log.restart("algo-1")
    taken.log.close()

    assert taken.written("algo-1") == []
    assert taken.written("algo-2") == [("stdout", "two")]
    assert taken.log.tail == ["two"]


def test_the_tail_has_the_last_two_hundred_lines(taken: Taken) -> None:
    taken.take("".join(f"line {number}\n" for number in range(300)).encode())

    assert taken.log.tail == [f"line {number}" for number in range(100, 300)]


def test_a_log_that_nobody_wrote_to_is_an_empty_file(taken: Taken) -> None:
    taken.log.close()

    assert taken.written() == []
    assert taken.paths["algo-1"].stat().st_mode & 0o777 == 0o644


def test_closing_twice_does_no_harm(taken: Taken) -> None:
    taken.end()
    taken.log.close()
    taken.log.close()


def test_what_is_written_can_be_read_while_the_job_runs(taken: Taken) -> None:
    taken.take(b"a\n")

    assert taken.written() == [("stdout", "a")]


def test_threads_may_write_at_the_same_time(tmp_path: Path) -> None:
    hosts = [f"algo-{number}" for number in range(4)]
    taken = Taken(tmp_path, *hosts)

    def write(host: str) -> None:
        for number in range(200):
            taken.log.chunk(host, "stdout", f"{host} {number}\n".encode())
        taken.log.end(host)

    threads = [threading.Thread(target=write, args=(host,)) for host in hosts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for host in hosts:
        assert [text for _, text in taken.written(host)] == [f"{host} {number}" for number in range(200)]
    assert len(taken.shown) == 800


def test_reading_stops_at_the_end_of_what_is_there(tmp_path: Path) -> None:
    (tmp_path / "log.txt").write_bytes(b"2026-01-01T00:00:00.000000Z stdout whole\n2026-01-01T00:00:00.000001Z std")

    assert [(stream, text) for _, stream, text in read_log(tmp_path / "log.txt")] == [("stdout", "whole"), ("std", "")]


# following


def test_a_log_is_followed_from_where_the_last_look_ended(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"t1 stdout a\nt2 stdout b\n")
    first = list(follow_log(path, 0, over=False))

    with path.open("ab") as handle:
        handle.write(b"t3 stderr c\n")
    second = list(follow_log(path, first[-1][1], over=False))

    assert [line for line, _ in first] == [("t1", "stdout", "a"), ("t2", "stdout", "b")]
    assert [line for line, _ in second] == [("t3", "stderr", "c")]
    assert second[-1][1] == path.stat().st_size


def test_a_line_that_is_being_written_waits_for_its_end(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"t1 stdout a\nt2 stdout ha")

    assert [line for line, _ in follow_log(path, 0, over=False)] == [("t1", "stdout", "a")]

    with path.open("ab") as handle:
        handle.write(b"lf\n")
    assert [line for line, _ in follow_log(path, 12, over=False)] == [("t2", "stdout", "half")]


def test_a_line_that_will_never_end_is_shown_when_all_is_over(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(b"t1 stdout ha")

    assert [line for line, _ in follow_log(path, 0, over=True)] == [("t1", "stdout", "ha")]


@settings(deadline=None, max_examples=60)
@given(data=st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.binary(max_size=12)), max_size=12))
def test_whatever_the_chunks_every_stream_is_kept_byte_for_byte(data: list[tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        taken = Taken(Path(folder))
        for stream, chunk in data:
            taken.take(chunk, stream=stream)
        taken.end()

        raw = taken.paths["algo-1"].read_bytes()

    lines = [line.split(b" ", 2)[1:] for line in raw.split(b"\n")[:-1]]
    for stream in ("stdout", "stderr"):
        whole = b"".join(chunk for name, chunk in data if name == stream)
        expected = whole if not whole or whole.endswith(b"\n") else whole + b"\n"
        assert b"".join(text + b"\n" for name, text in lines if name == stream.encode()) == expected
    assert len(taken.shown) == len(lines)
