"""Does every byte that a container writes reach the log, whatever and whenever it writes?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import docker
import pytest
from support.cli import wait_until
from support.jobs import Bench, python

if TYPE_CHECKING:
    from pathlib import Path

    from support.images import ProbeImages
    from support.jobs import Recorder

pytestmark = pytest.mark.docker

COUNT_UP = "import sys\nfor n in range(int(sys.argv[1])):\n  print(n)\n  print(-n, file=sys.stderr)"


def assert_counted_up(sink: Recorder, count: int) -> None:
    assert sink.text("stdout").splitlines() == [str(n) for n in range(count)]
    assert sink.text("stderr").splitlines() == [str(-n) for n in range(count)]


@pytest.mark.parametrize("count", [2_000, 50_000])
def test_lines_written_right_before_the_exit_are_all_there_on_both_streams(bench: Bench, count: int) -> None:
    end, sink = bench.run(*python(COUNT_UP, str(count)))

    assert end.exit_code == 0
    assert_counted_up(sink, count)
    assert sink.ended == ["algo-1"]
    assert sink.restarts == []


def test_lines_before_a_crash_are_all_there(bench: Bench) -> None:
    end, sink = bench.run(*python(f"{COUNT_UP}\nraise ValueError('the last line')", "2000"))

    assert end.exit_code == 1
    assert sink.text("stdout").splitlines()[-1] == "1999"
    assert sink.text("stderr").splitlines()[-1] == "ValueError: the last line"


@pytest.mark.long
@pytest.mark.parametrize("_repetition", range(20))
def test_the_end_of_the_log_is_never_lost(bench: Bench, _repetition: int) -> None:
    _, sink = bench.run(*python(COUNT_UP, "2000"))

    assert_counted_up(sink, 2_000)


def test_text_without_a_newline_at_the_end_is_kept(bench: Bench) -> None:
    program = "import os; os.write(1, b'out without an end'); os.write(2, b'err without an end')"

    _, sink = bench.run(*python(program))

    assert (sink.bytes("stdout"), sink.bytes("stderr")) == (b"out without an end", b"err without an end")


def test_bytes_that_are_no_text_arrive_unchanged(bench: Bench) -> None:
    every_byte = bytes(range(256)) * 400

    _, sink = bench.run(*python("import os\nfor n in range(400): os.write(1, bytes(range(256)))"))

    assert sink.bytes("stdout") == every_byte
    assert sink.bytes("stderr") == b""


def test_a_line_of_three_mebibytes_arrives_whole(bench: Bench) -> None:
    _, sink = bench.run(*python("print('x' * (3 * 1024 * 1024))"))

    assert sink.bytes("stdout") == b"x" * (3 * 1024 * 1024) + b"\n"


def test_silence_longer_than_the_clients_time_limit_loses_nothing(tmp_path: Path, images: ProbeImages) -> None:
    hasty = docker.from_env(timeout=1)
    silent = Bench(hasty, tmp_path / "silent", images.plain)

    end, sink = silent.run(*python("import time; print('before'); time.sleep(3); print('after')"))

    hasty.close()
    assert end.exit_code == 0
    assert sink.text() == "before\nafter\n"


def test_a_container_that_closes_its_streams_is_waited_for_all_the_same(bench: Bench) -> None:
    program = "import os, time; print('said'); os.close(1); os.close(2); time.sleep(2); os._exit(5)"

    end, sink = bench.run(*python(program))

    assert end.exit_code == 5
    assert sink.text() == "said\n"


def test_output_of_a_process_that_outlives_its_parent_is_read(bench: Bench) -> None:
    program = "import os, time\nif os.fork() == 0:\n  time.sleep(0.5); print('from the child'); os._exit(0)\nos.wait()"

    _, sink = bench.run(*python(program))

    assert sink.text() == "from the child\n"


def test_a_log_stream_that_breaks_is_made_good_from_the_engines_own_copy(bench: Bench) -> None:
    program = "import time\nfor n in range(40):\n  print(n); time.sleep(0.05)"
    prepared = bench.prepare(bench.spec(*python(program)))

    prepared.job.start()
    wait_until("the first lines", lambda: "3\n" in prepared.sink.text())
    prepared.job.hosts[0].stream.close()
    prepared.job.wait(60, grace_s=5)
    prepared.job.close(keep=False)

    assert prepared.sink.text().splitlines() == [str(n) for n in range(40)]


def test_a_reader_that_is_slower_than_the_container_gets_every_line_once(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.engine.docker._LOG_END_S", 1)
    prepared = bench.prepare(bench.spec("python3", "-c", COUNT_UP, "20000"))
    take = prepared.sink.chunk

    def slowly(host: str, stream: str, data: bytes) -> None:
        time.sleep(0.1)
        take(host, stream, data)

    monkeypatch.setattr(prepared.sink, "chunk", slowly)

    prepared.finish()

    assert_counted_up(prepared.sink, 20_000)
