"""How does a container's end reach us: exit codes, memory, programs that do not start, signals, time limits?"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest
from support.cli import wait_until
from support.jobs import python

from harness.service.spec import Limits

if TYPE_CHECKING:
    from support.jobs import Bench, Prepared

pytestmark = pytest.mark.docker

HEEDS = (
    "import signal, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\nprint('ready')\ntime.sleep(60)"
)
IGNORES = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('ready')\ntime.sleep(60)"
EAT = "x = bytearray(256 * 1024 * 1024); x[::4096] = b'x' * len(x[::4096])"
SMALL = Limits(memory_mib=64)


def start(bench: Bench, program: str, *, hosts: int = 1) -> Prepared:
    """Start a program and wait until it says that it is ready."""
    prepared = bench.prepare(bench.spec(*python(program), hosts=hosts))
    prepared.job.start()
    for host in prepared.spec.hosts:
        wait_until(f"{host.host} is ready", lambda name=host.host: "ready" in prepared.sink.text(host=name))
    return prepared


@pytest.mark.parametrize("code", [0, 1, 3, 130, 137, 143])
def test_the_exit_code_is_the_programs(bench: Bench, code: int) -> None:
    end, _ = bench.run(*python(f"raise SystemExit({code})"))

    assert end.exit_code == code
    assert not end.oom_killed
    assert end.start_error == ""


@pytest.mark.long
@pytest.mark.parametrize("repetition", range(20))
def test_a_quick_exit_code_is_never_lost(bench: Bench, repetition: int) -> None:
    code = 1 + repetition

    end, _ = bench.run("sh", "-c", f"exit {code}")

    assert end.exit_code == code


def test_a_process_that_eats_too_much_memory_is_told_from_one_that_was_killed(bench: Bench) -> None:
    end, _ = bench.run(*python(EAT), limits=SMALL)

    assert end.exit_code == 137
    assert end.oom_killed


def test_a_child_that_eats_too_much_memory_is_noticed_though_its_parent_ends_well(bench: Bench) -> None:
    program = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {EAT!r}])"

    end, _ = bench.run(*python(program), limits=SMALL)

    assert end.exit_code == 0
    assert end.oom_killed


@pytest.mark.long
@pytest.mark.parametrize("_repetition", range(20))
def test_a_memory_kill_is_noticed_every_time(bench: Bench, _repetition: int) -> None:
    end, _ = bench.run(*python(EAT), limits=SMALL)

    assert (end.exit_code, end.oom_killed) == (137, True)


def test_what_a_container_used_is_measured(bench: Bench) -> None:
    program = (
        "x = b'x' * (64 * 1024 * 1024)\nimport time; begun = time.process_time()\nwhile time.process_time() < 0.7: pass"
    )

    end, _ = bench.run(*python(program))

    assert end.usage.peak_memory_bytes is not None
    assert 64 * 1024 * 1024 < end.usage.peak_memory_bytes < 256 * 1024 * 1024
    assert end.usage.cpu_s is not None
    assert 0.4 < end.usage.cpu_s < 5


@pytest.mark.parametrize(
    ("word", "code", "says"),
    [
        ("no-such-program", 127, "no-such-program"),
        ("/no/such/program", 127, "/no/such/program"),
        ("/usr/local/share/not-executable", 126, "permission denied"),
        ("/usr/local/share", 126, "permission denied"),
    ],
)
def test_a_program_that_cannot_be_started_is_the_containers_own_failure(
    bench: Bench, word: str, code: int, says: str
) -> None:
    began = time.monotonic()

    end, sink = bench.run(word)

    assert end.exit_code == code
    assert says in end.start_error
    assert sink.bytes() == b""
    assert time.monotonic() - began < 10


def test_a_container_that_heeds_sigterm_ends_by_itself(bench: Bench) -> None:
    prepared = start(bench, HEEDS)

    began = time.monotonic()
    prepared.job.stop(20)
    waited = prepared.job.wait(60, grace_s=5)
    prepared.job.close(keep=False)

    assert waited.ends[0].exit_code == 0
    assert not waited.timed_out
    assert time.monotonic() - began < 5


def test_a_container_that_ignores_sigterm_is_killed_after_the_grace(bench: Bench) -> None:
    prepared = start(bench, IGNORES)

    began = time.monotonic()
    prepared.job.stop(2)
    waited = prepared.job.wait(60, grace_s=5)
    took_s = time.monotonic() - began
    prepared.job.close(keep=False)

    assert waited.ends[0].exit_code == 137
    assert not waited.ends[0].oom_killed
    assert 2 <= took_s < 6


def test_a_second_stop_without_grace_cuts_the_first_one_short(bench: Bench) -> None:
    prepared = start(bench, IGNORES)
    polite = threading.Thread(target=prepared.job.stop, args=(30,))

    began = time.monotonic()
    polite.start()
    time.sleep(0.5)
    prepared.job.stop(0)
    waited = prepared.job.wait(60, grace_s=5)
    polite.join()
    prepared.job.close(keep=False)

    assert waited.ends[0].exit_code == 137
    assert time.monotonic() - began < 5


def test_stop_ends_several_hosts_side_by_side(bench: Bench) -> None:
    prepared = start(bench, IGNORES, hosts=2)

    began = time.monotonic()
    prepared.job.stop(2)
    waited = prepared.job.wait(60, grace_s=5)
    took_s = time.monotonic() - began
    prepared.job.close(keep=False)

    assert [end.exit_code for end in waited.ends] == [137, 137]
    assert took_s < 5


def test_after_stop_nothing_is_started_any_more(bench: Bench) -> None:
    prepared = bench.prepare(bench.spec(*python("print('started all the same')")))

    prepared.job.stop(5)
    prepared.job.start()
    state = bench.client.api.inspect_container(prepared.job.hosts[0].id)["State"]
    waited = prepared.job.wait(60, grace_s=5)
    prepared.job.close(keep=False)

    assert state["Status"] == "created"
    assert waited.ends[0].exit_code != 0
    assert waited.ends[0].start_error
    assert prepared.sink.text() == ""


def test_stop_may_be_called_after_the_end_and_any_number_of_times(bench: Bench) -> None:
    prepared = bench.prepare(bench.spec(*python("print('done')")))

    waited = prepared.finish()
    prepared.job.stop(5)
    prepared.job.stop(0)
    prepared.job.close(keep=False)

    assert waited.ends[0].exit_code == 0


def test_the_time_limit_stops_politely_and_says_so(bench: Bench) -> None:
    prepared = start(bench, HEEDS)

    began = time.monotonic()
    waited = prepared.job.wait(1, grace_s=20)
    prepared.job.close(keep=False)

    assert waited.timed_out
    assert waited.ends[0].exit_code == 0
    assert 1 <= time.monotonic() - began < 6


def test_the_time_limit_kills_what_ignores_sigterm(bench: Bench) -> None:
    prepared = start(bench, IGNORES)

    waited = prepared.job.wait(1, grace_s=1)
    prepared.job.close(keep=False)

    assert waited.timed_out
    assert waited.ends[0].exit_code == 137


def test_a_container_that_ends_in_time_is_not_timed_out(bench: Bench) -> None:
    prepared = bench.prepare(bench.spec(*python("print('quick')")))

    waited = prepared.finish(max_runtime_s=30)

    assert not waited.timed_out
    assert waited.ended_by_us == ()


def test_a_container_that_somebody_kills_from_outside_did_not_run_out_of_memory(bench: Bench) -> None:
    prepared = start(bench, HEEDS)

    bench.client.api.kill(prepared.job.hosts[0].id)
    waited = prepared.job.wait(60, grace_s=5)
    prepared.job.close(keep=False)

    assert waited.ends[0].exit_code == 137
    assert not waited.ends[0].oom_killed
