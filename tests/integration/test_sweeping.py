"""What do dead runs leave in the engine, and who takes it away without touching anybody else's?"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from typing import TYPE_CHECKING, Any

import pytest
from support import definitions as d
from support.cli import wait_until

from harness.engine import labels
from harness.engine.sweep import sweep

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import docker
    from support.cli import Cli
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

# The harness, with a hole in the ice: the process is gone at a named point, as after kill -9.
DYING = """
import os, signal, sys
from harness.cli.main import entry
from harness.engine import docker as engine, ownership, transfer
from harness.execution import events, jobs
from harness.storage import bucket

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

def before(holder, name):
    setattr(holder, name, die)

def after(holder, name):
    kept = getattr(holder, name)
    def call(*words, **more):
        kept(*words, **more)
        die()
    setattr(holder, name, call)

point = sys.argv.pop(1)
{
    "before create": lambda: before(engine.DockerJob, "_create"),
    "after create": lambda: after(engine.DockerJob, "_create"),
    "before attach": lambda: before(engine.DockerJob, "_attach"),
    "before start": lambda: before(engine.DockerJob, "start"),
    "after start": lambda: after(engine.DockerJob, "start"),
    "first log byte": lambda: before(jobs.StepLog, "chunk"),
    "after exit": lambda: after(engine.DockerJob, "_wait"),
    "before collect": lambda: before(engine.DockerJob, "collect"),
    "before close": lambda: before(engine.DockerJob, "close"),
    "before publish": lambda: before(jobs.JobRunner, "_publish"),
    "first object": lambda: after(bucket.BucketStore, "put"),
    "before the record": lambda: before(jobs.JobRunner, "_describe"),
}[point]()
entry()
"""
POINTS = (
    "before create",
    "after create",
    "before attach",
    "before start",
    "after start",
    "first log byte",
    "after exit",
    "before collect",
    "before close",
    "before publish",
    "first object",
    "before the record",
)
WRITE_TWO = "print('hello')\nfor n in (1, 2): open(f'/opt/ml/processing/out/{n}.txt', 'w').write('whole' * 1000)"


def two_files(images: ProbeImages, *, hosts: int = 1) -> dict[str, Any]:
    return d.pipeline(d.script("Step", images.plain, "two.py", hosts=hosts))


def die_at(cli: Cli, point: str, definition: dict[str, Any]) -> None:
    """Run a pipeline with a harness that is gone at a point."""
    words = cli.words(definition, scripts={"two.py": WRITE_TWO})
    dying = (sys.executable, "-c", DYING, point, "run", *words)
    call = subprocess.Popen(
        dying, cwd=cli.scratch, env=cli.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    cli.processes.add(call.pid)
    _, said = call.communicate(timeout=60)
    assert call.returncode == -signal.SIGKILL, said.decode()


@pytest.mark.parametrize("point", POINTS)
def test_a_run_after_one_that_was_killed_removes_what_it_left_and_ends_well(
    cli: Cli, images: ProbeImages, leftovers: Leftovers, point: str
) -> None:
    definition = two_files(images)
    die_at(cli, point, definition)
    stored = cli.workspace / "s3" / "bucket" / "Step" / "out"
    parts = [path for path in stored.rglob("*") if path.is_file() and path.stat().st_size != 5000]

    cli.run(definition, scripts={"two.py": WRITE_TWO}).expect(0)

    assert parts == []  # an object is there as a whole or not at all
    assert leftovers.all() == []
    assert sorted(path.name for path in stored.iterdir()) == ["1.txt", "2.txt"]


def test_the_network_of_a_killed_run_is_removed(cli: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    definition = two_files(images, hosts=2)
    die_at(cli, "before start", definition)
    left = leftovers.all()

    cli.run(definition, scripts={"two.py": WRITE_TWO}).expect(0)

    assert [row.split()[0] for row in left].count("container") == 2
    assert [row.split()[0] for row in left].count("network") == 1
    assert leftovers.all() == []


@pytest.mark.long
@pytest.mark.parametrize("_repetition", range(19))
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_run_never_leaves_anything_to_the_one_after_the_next(
    cli: Cli, images: ProbeImages, leftovers: Leftovers, point: str, _repetition: int
) -> None:
    definition = two_files(images)
    die_at(cli, point, definition)

    cli.run(definition, scripts={"two.py": WRITE_TWO}).expect(0)

    assert leftovers.all() == []


def test_a_real_kill_while_a_container_runs_is_swept_by_the_next_run(
    cli: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    long = d.pipeline(d.script("Long", images.plain, "long.py"))
    call = cli.start_run(long, scripts={"long.py": "import time\nprint('running', flush=True)\ntime.sleep(60)"})
    call.says("running")

    call.kill()
    during = leftovers.containers()
    cli.run(two_files(images), scripts={"two.py": WRITE_TWO}).expect(0)

    assert [row["State"] for row in during] == ["running"]
    assert leftovers.all() == []


def test_a_killed_run_is_known_to_be_over(cli: Cli, images: ProbeImages) -> None:
    die_at(cli, "before collect", two_files(images))

    listed = cli.call("runs", "--workspace", str(cli.workspace)).expect(0)
    followed = cli.call("logs", "last", "-f", "--workspace", str(cli.workspace), limit_s=20).expect(0)
    cleaned = cli.call("clean", "--runs", "--workspace", str(cli.workspace)).expect(0)

    assert "Interrupted" in listed.stdout
    assert "[Step] hello" in followed.stdout
    assert "removed run " in cleaned.stdout
    assert list((cli.workspace / "runs").iterdir()) == []


def test_clean_removes_what_a_killed_run_left(cli: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    die_at(cli, "after start", two_files(images))

    outcome = cli.call("clean", "--workspace", str(cli.workspace)).expect(0)

    assert "removed container sagemaker-harness-" in outcome.stdout
    assert leftovers.all() == []


def test_the_containers_of_a_living_run_are_spared(cli: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    long = d.pipeline(d.script("Long", images.plain, "long.py"))
    slowly = "import time\nprint('running', flush=True)\ntime.sleep(3)\nprint('done')"
    call = cli.start_run(long, scripts={"long.py": slowly})
    call.says("running")

    cli.run(two_files(images), scripts={"two.py": WRITE_TWO}).expect(0)
    cleaned = cli.call("clean", "--workspace", str(cli.workspace))
    during = leftovers.containers()
    outcome = call.wait()

    assert cleaned.exit_code == 3
    assert [row["State"] for row in during] == ["running"]
    outcome.expect(0)


def test_kept_containers_stay_stopped_until_somebody_cleans(
    cli: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    kept = cli.run(two_files(images), "--keep", scripts={"two.py": WRITE_TWO}).expect(0)
    after_first = [(row["State"], row["Labels"][labels.RUN]) for row in leftovers.containers()]

    cli.run(two_files(images), scripts={"two.py": WRITE_TWO}).expect(0)
    after_second = [(row["State"], row["Labels"][labels.RUN]) for row in leftovers.containers()]
    cli.call("clean", "--workspace", str(cli.workspace)).expect(0)

    assert after_first == after_second == [("exited", kept.document["run_id"])]
    assert leftovers.all() == []


def test_kept_containers_of_another_workspace_are_not_cleaned(
    cli: Cli, images: ProbeImages, leftovers: Leftovers, tmp_path: Path
) -> None:
    cli.run(two_files(images), "--keep", scripts={"two.py": WRITE_TWO}).expect(0)

    elsewhere = cli.call("clean", "--workspace", str(tmp_path / "elsewhere"))
    still_there = len(leftovers.containers())
    cli.call("clean", "--workspace", str(cli.workspace)).expect(0)

    assert elsewhere.exit_code == 3
    assert still_there == 1


def test_a_killed_run_that_keeps_its_containers_leaves_them_stopped(
    cli: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    long = d.pipeline(d.script("Long", images.plain, "long.py"))
    call = cli.start_run(
        long, "--keep", scripts={"long.py": "import time\nprint('running', flush=True)\ntime.sleep(60)"}
    )
    call.says("running")
    call.kill()

    cli.run(two_files(images), scripts={"two.py": WRITE_TWO}).expect(0)

    assert [row["State"] for row in leftovers.containers()] == ["exited"]
    cli.call("clean", "--workspace", str(cli.workspace)).expect(0)


# whose is it?


@pytest.fixture
def make(client: docker.DockerClient, images: ProbeImages, leftovers: Leftovers) -> Iterator[Callable[..., str]]:
    """Give a way to make containers with labels of one's own."""
    api: Any = client.api
    made = []

    def container(own: dict[str, str]) -> str:
        name = f"sagemaker-harness-tests-{uuid.uuid4().hex[:12]}"
        made.append(api.create_container(images.plain, command=["true"], labels=own, name=name)["Id"])
        return str(made[-1])

    assert leftovers is not None
    yield container
    for one in made:
        if is_there(client, one):
            api.remove_container(one, force=True)


def is_there(client: docker.DockerClient, container: str) -> bool:
    return any(row["Id"] == container for row in client.api.containers(all=True))


@pytest.fixture
def dead_pid() -> int:
    """Give the id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def test_the_container_of_a_dead_process_is_swept(
    client: docker.DockerClient, make: Callable[..., str], dead_pid: int
) -> None:
    dead = make({**labels.owner_labels(), labels.RUN: "r", labels._PID: str(dead_pid)})

    removed = sweep(client)

    assert any("sagemaker-harness-tests-" in one for one in removed)
    assert not is_there(client, dead)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({}, id="ours, alive"),
        pytest.param({labels._HOST: "another-machine", labels._PID: "999999999"}, id="of another machine"),
        pytest.param({labels._PID: "no number"}, id="nobody knows whose"),
        pytest.param({labels._PID: "1", labels._BORN: ""}, id="of another user"),
    ],
)
def test_what_may_be_alive_is_spared(
    client: docker.DockerClient, make: Callable[..., str], change: dict[str, str]
) -> None:
    one = make({**labels.owner_labels(), labels.RUN: "r", **change})

    sweep(client)

    assert is_there(client, one)


def test_containers_without_our_labels_are_none_of_our_business(
    client: docker.DockerClient, make: Callable[..., str], dead_pid: int
) -> None:
    foreign = make({**labels.owner_labels(), labels._PID: str(dead_pid)})  # all but the run

    sweep(client)

    assert is_there(client, foreign)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({labels._BORN: "12345"}, id="the number is another process's now"),
        pytest.param({labels._BOOT: "another-boot"}, id="made before the machine started again"),
    ],
)
def test_a_process_id_in_use_again_does_not_protect_what_its_first_owner_left(
    client: docker.DockerClient, make: Callable[..., str], change: dict[str, str]
) -> None:
    one = make({**labels.owner_labels(), labels.RUN: "r", labels._PID: str(os.getpid()), **change})

    assert labels.owner_is_dead({**labels.owner_labels(), **change})
    sweep(client)

    assert not is_there(client, one)


def test_two_sweeps_at_once_do_not_trip_over_each_other(
    client: docker.DockerClient, make: Callable[..., str], dead_pid: int
) -> None:
    dead = [make({**labels.owner_labels(), labels.RUN: "r", labels._PID: str(dead_pid)}) for _ in range(6)]
    program = "from harness.engine.connection import connect; from harness.engine.sweep import sweep; sweep(connect())"

    both = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(2)]
    said = [one.communicate(timeout=60)[1].decode() for one in both]

    assert [one.returncode for one in both] == [0, 0], said
    wait_until("all are gone", lambda: not any(is_there(client, one) for one in dead), limit_s=10)
