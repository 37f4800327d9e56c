"""What is the engine asked to make, and what is left of it when a job is closed, kept or cannot be prepared?"""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support.jobs import Recorder, python

from harness.engine import labels
from harness.engine.base import JobPaths
from harness.errors import EngineError
from harness.service.spec import Limits, PlacedObject, Placement, Tree
from harness.storage import staging

if TYPE_CHECKING:
    from pathlib import Path

    from support.engine import Leftovers
    from support.images import ProbeImages
    from support.jobs import Bench

pytestmark = pytest.mark.docker

INPUT = Tree(
    path="/opt/ml/input",
    folders=("data/empty",),
    files={"config/a.json": "{}"},
    placements=(Placement(folder="data/train", objects=(PlacedObject(uri="s3://bucket/a.csv", name="a.csv"),)),),
)
OUTPUT = Tree(path="/opt/ml/output", folders=("data",), collected=True)


@pytest.fixture
def filled(bench: Bench) -> Bench:
    """Give a bench whose store has one object."""
    (bench.store.root / "bucket").mkdir()
    (bench.store.root / "bucket" / "a.csv").write_text("1,2\n")
    return bench


def container_of(bench: Bench, *words: str, **options: Any) -> dict[str, Any]:
    """Prepare a job and look at its container before it starts."""
    prepared = bench.prepare(bench.spec(*words, **options))
    found = bench.client.api.inspect_container(prepared.job.hosts[0].id)
    prepared.job.close(keep=False)
    return dict(found)


def test_the_engine_is_asked_for_no_terminal_no_init_and_no_privileges(bench: Bench) -> None:
    found = container_of(bench, "true")

    config, host = found["Config"], found["HostConfig"]
    assert not config["Tty"]
    assert not config["OpenStdin"]
    assert not config["AttachStdin"]
    assert config["User"] == ""
    assert not host.get("Init")
    assert not host["Privileged"]
    assert not host["AutoRemove"]
    assert host["CapAdd"] is None
    assert host["RestartPolicy"]["Name"] in {"", "no"}
    assert not host["Devices"]


def test_limits_are_handed_to_the_engine_without_swap(bench: Bench) -> None:
    found = container_of(bench, "true", limits=Limits(cpus=1.5, memory_mib=200, shm_mib=80))["HostConfig"]

    assert found["NanoCpus"] == 1_500_000_000
    assert found["Memory"] == found["MemorySwap"] == 200 * 1024 * 1024
    assert found["ShmSize"] == 80 * 1024 * 1024


def test_labels_name_run_step_host_and_owner(bench: Bench) -> None:
    found = container_of(bench, "true")["Config"]["Labels"]

    own = labels.owner_labels()
    assert found[labels.RUN]
    assert found[labels.STEP] == "Step"
    assert {name: found[name] for name in own} == own
    assert not labels.owner_is_dead(found)


def test_nothing_of_our_own_environment_gets_in(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "a-secret-of-the-caller")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:3128")

    _, sink = bench.run(*python("import json, os; print(json.dumps(dict(os.environ)))"), environment={"OWN": "1 = 1"})

    seen = json.loads(sink.text())
    assert set(seen) - {"LANG", "LC_CTYPE"} == {"BAKED", "OVERRIDDEN", "OWN", "PATH", "HOME", "HOSTNAME"}
    assert seen["OWN"] == "1 = 1"


def test_overlay_bind_and_folders_are_mounted_one_by_one(filled: Bench) -> None:
    prepared = filled.prepare(filled.spec("true", trees=(INPUT, OUTPUT)))
    mounts = filled.client.api.inspect_container(prepared.job.hosts[0].id)["HostConfig"]["Mounts"]
    prepared.job.close(keep=False)

    by_target = {mount["Target"]: mount["Type"] for mount in mounts}
    assert by_target == {"/opt/ml/input": "volume", "/opt/ml/output": "bind"}


def test_a_closed_job_leaves_nothing(filled: Bench, leftovers: Leftovers) -> None:
    prepared = filled.prepare(filled.spec("true", trees=(INPUT, OUTPUT)))
    during = leftovers.all()

    prepared.finish()

    assert len(during) == 2  # the container and its overlay
    assert leftovers.all() == []


def test_the_anonymous_volume_of_an_image_goes_with_its_container(bench: Bench, images: ProbeImages) -> None:
    prepared = bench.prepare(bench.spec(*python("open('/scratch/x', 'w').close()")), image=images.volume)
    mounts = bench.client.api.inspect_container(prepared.job.hosts[0].id)["Mounts"]
    names = {mount["Name"] for mount in mounts if mount["Destination"] == "/scratch"}

    prepared.finish()

    assert len(names) == 1
    there = {row["Name"] for row in bench.client.api.volumes()["Volumes"] or []}
    assert not names & there


def test_a_job_that_was_never_started_leaves_nothing_when_closed(filled: Bench, leftovers: Leftovers) -> None:
    prepared = filled.prepare(filled.spec("true", trees=(INPUT, OUTPUT), hosts=2))

    prepared.job.close(keep=False)

    assert leftovers.all() == []


def test_keeping_leaves_exactly_the_stopped_container_which_starts_again(filled: Bench, leftovers: Leftovers) -> None:
    program = "import os; print(os.listdir('/opt/ml/input/data/train')); raise SystemExit(4)"
    prepared = filled.prepare(filled.spec(*python(program), trees=(INPUT, OUTPUT)))

    waited = prepared.finish(keep=True)

    left = leftovers.containers()
    assert waited.ends[0].exit_code == 4
    assert [(row["State"], row["Id"]) for row in left] == [("exited", prepared.job.hosts[0].id)]
    again = subprocess.run(
        ["docker", "start", "-a", left[0]["Id"]], capture_output=True, text=True, check=False, timeout=60
    )
    assert (again.returncode, again.stdout) == (4, "['a.csv']\n")
    prepared.job.close(keep=False)
    assert leftovers.all() == []


def test_keeping_a_container_that_still_runs_stops_it(bench: Bench, leftovers: Leftovers) -> None:
    prepared = bench.prepare(bench.spec("sleep", "60"))
    prepared.job.start()

    prepared.job.close(keep=True)

    assert [row["State"] for row in leftovers.containers()] == ["exited"]
    prepared.job.close(keep=False)


@pytest.mark.parametrize("hosts", [1, 2])
def test_an_unknown_image_leaves_nothing(filled: Bench, leftovers: Leftovers, hosts: int) -> None:
    spec = filled.spec("true", trees=(INPUT, OUTPUT), hosts=hosts)

    with pytest.raises(EngineError, match="no-such-image"):
        filled.prepare(spec, image="sagemaker-harness-tests/no-such-image:1")

    assert leftovers.all() == []


def test_a_second_host_that_cannot_be_made_takes_the_first_one_along(filled: Bench, leftovers: Leftovers) -> None:
    spec = filled.spec("true", trees=(INPUT, OUTPUT), hosts=2)
    homes = {host.host: filled.scratch / "broken" / host.host for host in spec.hosts}
    staged = [staging.stage(host, filled.store, homes[host.host], mode="overlay") for host in spec.hosts]
    (homes["algo-2"] / "opt-ml-output" / "data").rmdir()
    (homes["algo-2"] / "opt-ml-output").rmdir()
    own = {labels.RUN: "broken", labels.WORKSPACE: str(filled.scratch), **labels.owner_labels()}
    paths = JobPaths(records={host: str(home) for host, home in homes.items()})

    with pytest.raises(EngineError, match="bind source path does not exist"):
        filled.engine.prepare(spec, image=filled.image, staged=staged, labels=own, sink=Recorder(), paths=paths)

    assert leftovers.all() == []


def test_a_program_that_cannot_start_leaves_nothing(filled: Bench, leftovers: Leftovers) -> None:
    filled.prepare(filled.spec("no-such-program", trees=(INPUT, OUTPUT))).finish()

    assert leftovers.all() == []


def test_the_record_of_a_container_says_what_was_asked_for(filled: Bench) -> None:
    prepared = filled.prepare(
        filled.spec("a b", "$HOME", entrypoint=["probe"], environment={"A": "1"}, trees=(INPUT, OUTPUT))
    )
    home = prepared.records["algo-1"]
    prepared.job.close(keep=False)

    record = json.loads((home / "container.json").read_text())
    assert record["entrypoint"] == ["probe"]
    assert record["command"] == ["a b", "$HOME"]
    assert record["environment"] == {"A": "1"}
    assert [mount["target"] for mount in record["mounts"]] == ["/opt/ml/input", "/opt/ml/output"]
    assert (home / "container.json").stat().st_mode & 0o777 == 0o600
    assert (home / "run-again.sh").stat().st_mode & 0o777 == 0o700


def test_the_script_of_a_container_runs_it_again_on_copies(filled: Bench, tmp_path: Path, leftovers: Leftovers) -> None:
    program = (
        "import os, sys\n"
        "print(sorted(os.listdir('/opt/ml/output')), open('/opt/ml/input/data/train/a.csv').read().strip())\n"
        "print(sys.argv[1:], os.environ['A'])\n"
        "open('/opt/ml/input/data/train/a.csv', 'w').write('changed')\n"
        "open('/opt/ml/output/data/made', 'w').close()\n"
        "raise SystemExit(7)"
    )
    hard = ["two words", "$HOME", "it's", 'a "quote"', "", "back\\slash", "new\nline", "--privileged"]
    spec = filled.spec(*python(program, *hard), environment={"A": "x=$(id) 'y'"}, trees=(INPUT, OUTPUT))
    prepared = filled.prepare(spec)
    prepared.finish()

    again = subprocess.run(
        ["sh", str(prepared.records["algo-1"] / "run-again.sh")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "TMPDIR": str(tmp_path)},
    )

    assert again.returncode == 7, again.stderr
    assert again.stdout == prepared.sink.text()
    assert (filled.store.root / "bucket" / "a.csv").read_text() == "1,2\n"
    assert leftovers.all() == []


def test_the_script_of_a_program_that_cannot_start_ends_with_its_code(filled: Bench, tmp_path: Path) -> None:
    prepared = filled.prepare(filled.spec("no-such-program", trees=(OUTPUT,)))
    waited = prepared.finish()

    again = subprocess.run(
        ["sh", str(prepared.records["algo-1"] / "run-again.sh")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={"PATH": "/usr/bin:/bin:/usr/local/bin", "TMPDIR": str(tmp_path)},
    )

    assert again.returncode == waited.ends[0].exit_code == 127, again.stderr
