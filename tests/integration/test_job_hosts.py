"""Several hosts, and hosts that may not reach anybody: who finds whom, and who ends whom?"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from typing import TYPE_CHECKING

import pytest
from support.cli import wait_until
from support.jobs import python

from harness.service.spec import HostSpec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.engine import Leftovers
    from support.jobs import Bench, Prepared

pytestmark = pytest.mark.docker

TALK = """
import json, socket, sys, time
names = ("algo-1", "algo-2")
def resolve(name):
    for _ in range(200):  # a host that has not started yet has no name yet, as on the service (contract a.5)
        try:
            return socket.gethostbyname(name)
        except OSError:
            time.sleep(0.1)
    sys.exit(f"{name} does not resolve")
addresses = {name: resolve(name) for name in names}
own = {line.split()[1] for line in open("/proc/net/fib_trie") if "|--" in line} | {"127.0.0.1"}
server = socket.create_server(("", 7777))
server.settimeout(20)
me = next(name for name in names if addresses[name] in own)
peer = next(name for name in names if name != me)
while True:
    try:
        sent = socket.create_connection((peer, 7777), 5)
        break
    except OSError:
        time.sleep(0.1)
sent.sendall(me.encode())
sent.close()
heard = server.accept()[0].recv(100).decode()
print(json.dumps({"me": me, "addresses": addresses, "heard": heard}))
"""
REACH = """
import json, socket, sys
found = {}
for name in sys.argv[1:]:
    host, _, port = name.partition(":")
    try:
        socket.create_connection((host, int(port)), 2).close()
        found[name] = "reached"
    except OSError as error:
        found[name] = str(error)
routes = [line.split()[0] for line in open("/proc/net/route").read().splitlines()[1:]]
lines = open("/proc/net/dev").read().splitlines()[2:]
interfaces = [line.split(":")[0].strip() for line in lines]
algo = socket.gethostbyname("algo-1")
print(json.dumps({"found": found, "routes": routes, "interfaces": interfaces, "algo-1": algo}))
"""


@pytest.fixture
def service_of_this_machine() -> Iterator[int]:
    """Listen on every address of this machine, as a database or a notebook server might."""
    server = socket.create_server(("", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                server.accept()[0].close()

    threading.Thread(target=accept, daemon=True).start()
    yield server.getsockname()[1]
    server.shutdown(socket.SHUT_RDWR)
    server.close()


def job_of(bench: Bench, programs: dict[str, str], *, isolated: bool = False) -> Prepared:
    """Prepare a job whose hosts run different programs."""
    spec = bench.spec("replaced", hosts=len(programs), isolated=isolated)
    hosts = tuple(HostSpec(**{**host.model_dump(), "arguments": python(programs[host.host])}) for host in spec.hosts)
    return bench.prepare(spec.model_copy(update={"hosts": hosts}))


def test_hosts_find_each_other_and_themselves_by_name_and_talk(bench: Bench) -> None:
    prepared = bench.prepare(bench.spec(*python(TALK), hosts=2))

    waited = prepared.finish()

    assert [(end.host, end.exit_code) for end in waited.ends] == [("algo-1", 0), ("algo-2", 0)]
    said = {host: json.loads(prepared.sink.text(host=host)) for host in ("algo-1", "algo-2")}
    assert said["algo-1"]["me"] == "algo-1"
    assert said["algo-1"]["heard"] == "algo-2"
    assert said["algo-2"]["heard"] == "algo-1"
    assert said["algo-1"]["addresses"] == said["algo-2"]["addresses"]
    assert len(set(said["algo-1"]["addresses"].values())) == 2


def test_two_jobs_of_several_hosts_do_not_meet(bench: Bench) -> None:
    first, second = (bench.prepare(bench.spec(*python(TALK), hosts=2)) for _ in range(2))

    for prepared in (first, second):
        prepared.job.start()
    ends = [prepared.job.wait(60, grace_s=1).ends for prepared in (first, second)]
    for prepared in (first, second):
        prepared.job.close(keep=False)

    assert [end.exit_code for job in ends for end in job] == [0, 0, 0, 0]


def test_when_one_host_fails_the_others_are_ended_and_all_ends_are_told(bench: Bench) -> None:
    failing = "import time; time.sleep(0.5); raise SystemExit(3)"
    waiting = "import signal, sys, time; signal.signal(15, lambda *_: sys.exit(0)); time.sleep(60)"
    prepared = job_of(bench, {"algo-1": waiting, "algo-2": failing, "algo-3": waiting})

    began = time.monotonic()
    waited = prepared.finish(grace_s=10)

    assert time.monotonic() - began < 20
    assert {end.host: end.exit_code for end in waited.ends} == {"algo-1": 0, "algo-2": 3, "algo-3": 0}
    assert set(waited.ended_by_us) == {"algo-1", "algo-3"}
    assert not waited.timed_out


def test_hosts_that_end_well_at_different_times_are_all_waited_for(bench: Bench) -> None:
    prepared = job_of(bench, {"algo-1": "print('quick')", "algo-2": "import time; time.sleep(1.5); print('slow')"})

    waited = prepared.finish()

    assert [end.exit_code for end in waited.ends] == [0, 0]
    assert waited.ended_by_us == ()
    assert prepared.sink.text(host="algo-2") == "slow\n"


def test_a_host_that_cannot_start_ends_the_others(bench: Bench) -> None:
    spec = bench.spec("replaced", hosts=2)
    first, second = spec.hosts
    waiting = python("import time; time.sleep(60)")
    hosts = (
        HostSpec(**{**first.model_dump(), "arguments": waiting}),
        HostSpec(**{**second.model_dump(), "arguments": ("no-such-program",)}),
    )
    prepared = bench.prepare(spec.model_copy(update={"hosts": hosts}))

    waited = prepared.finish(grace_s=1)

    ends = {end.host: end for end in waited.ends}
    assert ends["algo-2"].exit_code == 127
    assert ends["algo-2"].start_error
    assert ends["algo-1"].exit_code != 0


def test_the_network_of_a_job_goes_with_it(bench: Bench, leftovers: Leftovers) -> None:
    prepared = bench.prepare(bench.spec(*python("print('ready')"), hosts=2))
    during = [row["Name"] for row in leftovers.networks()]

    prepared.finish()

    assert during == [f"sagemaker-harness-{prepared.spec.name}"]
    assert leftovers.networks() == []


def test_one_host_finds_itself_by_name_on_an_ordinary_network(bench: Bench) -> None:
    _, sink = bench.run(*python(REACH))

    seen = json.loads(sink.text())
    assert seen["algo-1"] == "127.0.0.1"
    assert "eth0" in seen["interfaces"]


def test_an_isolated_host_has_no_network_but_finds_itself(bench: Bench, service_of_this_machine: int) -> None:
    bridge = bench.client.api.inspect_network("bridge")["IPAM"]["Config"][0]["Gateway"]
    doors = ("1.1.1.1:53", f"{bridge}:{service_of_this_machine}")

    _, sink = bench.run(*python(REACH, *doors), isolated=True)

    seen = json.loads(sink.text())
    assert seen["interfaces"] == ["lo"]
    assert seen["routes"] == []
    assert "reached" not in seen["found"].values()
    assert seen["algo-1"] == "127.0.0.1"


def test_isolated_hosts_reach_each_other(bench: Bench) -> None:
    prepared = bench.prepare(bench.spec(*python(TALK), hosts=2, isolated=True))

    waited = prepared.finish()

    assert [end.exit_code for end in waited.ends] == [0, 0]


def test_isolated_hosts_reach_neither_this_machine_nor_others(bench: Bench, service_of_this_machine: int) -> None:
    # An internal network alone still has this machine at its gateway's address.
    program = f"""
import sys, time
own = {{line.split()[1] for line in open("/proc/net/fib_trie") if "|--" in line}}
nets = [address for address in own if address.endswith(".0") and address.split(".")[0] not in ("0", "127")]
gateways = [net[:-1] + "1" for net in nets]
sys.argv[1:] = ["1.1.1.1:53", *(gateway + ":{service_of_this_machine}" for gateway in gateways)]
{REACH}
"""
    prepared = job_of(bench, {"algo-1": program, "algo-2": ""})
    isolated = job_of(bench, {"algo-1": program, "algo-2": ""}, isolated=True)

    prepared.finish()
    isolated.finish()

    open_doors, closed_doors = (json.loads(one.sink.text())["found"] for one in (prepared, isolated))
    assert len(closed_doors) == 2
    assert "reached" not in closed_doors.values()
    assert "reached" in open_doors.values()  # the same program without isolation: the test can see a door


def test_a_hosts_log_is_its_own(bench: Bench) -> None:
    prepared = job_of(bench, {"algo-1": "print('one')", "algo-2": "print('two')"})

    prepared.finish()
    wait_until("both logs have ended", lambda: len(prepared.sink.ended) == 2)

    assert (prepared.sink.text(host="algo-1"), prepared.sink.text(host="algo-2")) == ("one\n", "two\n")
