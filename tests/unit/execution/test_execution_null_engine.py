"""Does the null engine play what a script says, as an engine would?"""

from __future__ import annotations

import math
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import ROLE

from harness.engine.base import JobPaths
from harness.engine.labels import STEP
from harness.engine.null import NullEngine, NullHost, NullImages, NullJob, Script
from harness.errors import EngineError, ImageError
from harness.service.outcome import Usage
from harness.service.spec import HostSpec, JobSpec, PlacedObject, Placement, Tree
from harness.storage.bucket import BucketStore
from harness.storage.staging import changed_inputs, locate, stage

if TYPE_CHECKING:
    from pathlib import Path

MODES = ["bind", "overlay", "archive"]
TREES = (
    Tree(
        path="/opt/ml/input",
        files={"config/hyperparameters.json": "{}"},
        placements=(Placement(folder="data/train", objects=(PlacedObject(uri="s3://b/a", name="a"),)),),
    ),
    Tree(path="/opt/ml/model", collected=True),
    Tree(path="/opt/ml/output", folders=("data",), collected=True),
)


class Sink:
    """Keeps what containers wrote."""

    def __init__(self) -> None:
        self.chunks: list[tuple[str, str, bytes]] = []
        self.ended: list[str] = []

    def chunk(self, host: str, stream: str, data: bytes) -> None:
        self.chunks.append((host, stream, data))

    def restart(self, host: str) -> None:
        raise AssertionError(host)

    def end(self, host: str) -> None:
        self.ended.append(host)


class Bench:
    """Prepares jobs with a store and a sink."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.store = BucketStore(root / "s3", root / "tmp")
        self.store.path("s3://b/a").parent.mkdir(parents=True)
        self.store.path("s3://b/a").write_text("1,2")
        self.sink = Sink()

    def prepare(self, engine: NullEngine, *, hosts: int = 1, step: str = "Train") -> NullJob:
        specs = tuple(
            HostSpec(host=f"algo-{number}", hostname="h", entrypoint=None, arguments=None, environment={}, trees=TREES)
            for number in range(1, hosts + 1)
        )
        mode = engine.staging_mode(self.root, "image")
        self.staged = [stage(spec, self.store, self.root / step / spec.host, mode=mode) for spec in specs]
        job = JobSpec(kind="Training", name=f"job-of-{step}", arn=ROLE, hosts=specs, max_runtime_s=60)
        return engine.prepare(
            job, image="image", staged=self.staged, labels={STEP: step}, sink=self.sink, paths=JobPaths(records={})
        )

    def play(self, engine: NullEngine, *, hosts: int = 1, max_runtime_s: float = 60, grace_s: float = 1) -> Any:
        self.job = self.prepare(engine, hosts=hosts)
        self.job.start()
        waited = self.job.wait(max_runtime_s, grace_s=grace_s)
        self.job.collect()
        self.job.close(keep=False)
        return waited

    def left(self, path: str, name: str) -> bytes | None:
        folder = locate(self.staged[0], path)
        return (folder / name).read_bytes() if folder and (folder / name).exists() else None


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_without_a_script_a_job_succeeds_and_says_nothing(bench: Bench) -> None:
    waited = bench.play(NullEngine())

    assert [(end.host, end.exit_code) for end in waited.ends] == [("algo-1", 0)]
    assert not waited.timed_out
    assert bench.sink.chunks == []
    assert bench.sink.ended == ["algo-1"]


def test_the_default_is_for_every_step_without_a_script_of_its_own(bench: Bench) -> None:
    engine = NullEngine({"Other": Script()}, default=Script(exit_code=4))

    assert bench.play(engine).ends[0].exit_code == 4


def test_exit_code_memory_and_usage_are_as_scripted(bench: Bench) -> None:
    usage = Usage(peak_memory_bytes=5, cpu_s=1.5)

    (end,) = bench.play(NullEngine({"Train": Script(exit_code=137, oom_killed=True, usage=usage)})).ends

    assert (end.exit_code, end.oom_killed, end.usage) == (137, True, usage)


def test_lines_go_to_their_streams_and_bytes_as_they_are(bench: Bench) -> None:
    bench.play(NullEngine({"Train": Script(log=["out", ("stderr", "err"), b"half a ", b"line\n"])}))

    assert bench.sink.chunks == [
        ("algo-1", "stdout", b"out\n"),
        ("algo-1", "stderr", b"err\n"),
        ("algo-1", "stdout", b"half a "),
        ("algo-1", "stdout", b"line\n"),
    ]


@pytest.mark.parametrize("mode", MODES)
def test_files_are_found_where_they_are_collected(bench: Bench, mode: Any) -> None:
    files = {"/opt/ml/model/sub/weights": b"\0\1", "/opt/ml/output/failure": "no data"}

    bench.play(NullEngine({"Train": Script(files=files)}, mode=mode))

    assert bench.left("/opt/ml/model", "sub/weights") == b"\0\1"
    assert bench.left("/opt/ml/output", "failure") == b"no data"
    assert locate(bench.staged[0], "/opt/ml/output/data") is not None


@pytest.mark.parametrize("mode", MODES)
def test_a_program_sees_the_container_and_leaves_the_store_alone(bench: Bench, mode: Any) -> None:
    seen: dict[str, Any] = {}

    def program(host: NullHost) -> int:
        seen["names"] = host.names("/opt/ml/input")
        seen["before"] = host.read("/opt/ml/input/data/train/a")
        host.write("/opt/ml/input/data/train/a", "changed")
        host.write("/opt/ml/input/data/train/new", "n")
        seen["after"] = host.read("/opt/ml/input/data/train/a")
        seen["later"] = host.names("/opt/ml/input/data")
        host.say("done", "stderr")
        return 7

    waited = bench.play(NullEngine({"Train": Script(program=program, exit_code=1)}, mode=mode))

    assert waited.ends[0].exit_code == 7
    assert seen == {
        "names": ["config/hyperparameters.json", "data/train/a"],
        "before": b"1,2",
        "after": b"changed",
        "later": ["train/a", "train/new"],
    }
    assert bench.sink.chunks == [("algo-1", "stderr", b"done\n")]
    assert bench.store.path("s3://b/a").read_text() == "1,2"


def test_an_overlay_shows_what_a_program_changed(bench: Bench) -> None:
    def program(host: NullHost) -> None:
        host.write("/opt/ml/input/data/train/new", "n")

    bench.play(NullEngine({"Train": Script(program=program)}, mode="overlay"))

    assert changed_inputs(bench.staged[0]) == ("/opt/ml/input/data/train/new",)


def test_a_program_that_returns_nothing_ends_as_scripted(bench: Bench) -> None:
    assert bench.play(NullEngine({"Train": Script(program=lambda _: None, exit_code=3)})).ends[0].exit_code == 3


def test_a_path_that_is_not_mounted_is_told(bench: Bench) -> None:
    def program(host: NullHost) -> None:
        host.write("/opt/ml/code/x", "x")

    with pytest.raises(FileNotFoundError, match="/opt/ml/code/x is not mounted: /opt/ml/"):
        bench.play(NullEngine({"Train": Script(program=program)}))


@pytest.mark.parametrize(
    ("text", "code"), [('exec: "train": executable file not found in $PATH', 127), ("exec: permission denied", 126)]
)
def test_a_program_that_cannot_be_started(bench: Bench, text: str, code: int) -> None:
    (end,) = bench.play(NullEngine({"Train": Script(start_error=text, log=["never"])})).ends

    assert (end.exit_code, end.start_error) == (code, text)
    assert bench.sink.chunks == []


# time


def test_simulated_time_costs_none(bench: Bench) -> None:
    began = time.monotonic()

    waited = bench.play(NullEngine({"Train": Script(runs_s=59)}))

    assert not waited.timed_out
    assert time.monotonic() - began < 5


def test_a_second_may_last_as_long_as_wanted(bench: Bench) -> None:
    began = time.monotonic()

    bench.play(NullEngine({"Train": Script(runs_s=10)}, second_s=0.01))

    assert time.monotonic() - began >= 0.1


@pytest.mark.parametrize(
    ("script", "grace_s", "code"),
    [
        (Script(runs_s=61), 120, 143),
        (Script(runs_s=math.inf), 120, 143),
        (Script(runs_s=61, ignores_sigterm=True), 120, 137),
        (Script(runs_s=61), 0, 137),
    ],
)
def test_a_job_that_takes_longer_than_it_may_is_stopped(
    bench: Bench, script: Script, grace_s: float, code: int
) -> None:
    waited = bench.play(NullEngine({"Train": script}), max_runtime_s=60, grace_s=grace_s)

    assert waited.timed_out
    assert waited.ends[0].exit_code == code


def test_a_job_that_takes_exactly_as_long_as_it_may_is_not(bench: Bench) -> None:
    waited = bench.play(NullEngine({"Train": Script(runs_s=60)}), max_runtime_s=60)

    assert (waited.timed_out, waited.ends[0].exit_code) == (False, 0)


def test_what_a_stopped_job_wrote_at_its_beginning_is_there(bench: Bench) -> None:
    bench.play(NullEngine({"Train": Script(runs_s=61, files={"/opt/ml/model/w": "w"})}))

    assert bench.left("/opt/ml/model", "w") == b"w"


@pytest.mark.timeout(20)
@pytest.mark.parametrize(("grace_s", "code"), [(10, 143), (0, 137)])
@pytest.mark.parametrize(
    "script", [Script(runs_s=math.inf), Script(until=threading.Event())], ids=["runs for ever", "waits for an event"]
)
def test_a_waiting_job_can_be_stopped_from_another_thread(
    bench: Bench, script: Script, grace_s: float, code: int
) -> None:
    job = bench.prepare(NullEngine({"Train": script}, second_s=1))
    job.start()
    threading.Timer(0.05, job.stop, (grace_s,)).start()

    waited = job.wait(86_400, grace_s=120)

    assert (waited.timed_out, waited.ends[0].exit_code, waited.ended_by_us) == (False, code, ())


def test_after_a_stop_nothing_is_started(bench: Bench) -> None:
    job = bench.prepare(NullEngine({"Train": Script(log=["never"])}))
    job.stop(0)
    job.start()

    (end,) = job.wait(60, grace_s=1).ends

    assert end.start_error == "not started: the run was stopped"
    assert end.exit_code != 0
    assert bench.sink.chunks == []


@pytest.mark.timeout(20)
def test_an_event_holds_a_job_until_it_is_set(bench: Bench) -> None:
    gate = threading.Event()
    job = bench.prepare(NullEngine({"Train": Script(until=gate)}))
    job.start()
    ended: list[Any] = []
    thread = threading.Thread(target=lambda: ended.append(job.wait(60, grace_s=1)))

    thread.start()
    thread.join(0.05)
    assert not ended
    gate.set()
    thread.join()

    assert ended[0].ends[0].exit_code == 0


# several hosts


def test_hosts_may_have_scripts_of_their_own(bench: Bench) -> None:
    engine = NullEngine({"Train": Script(log=["common"]), "Train/algo-2": Script(log=["own"])})

    bench.play(engine, hosts=2)

    assert bench.sink.chunks == [("algo-1", "stdout", b"common\n"), ("algo-2", "stdout", b"own\n")]


def test_a_failing_host_ends_those_that_take_longer(bench: Bench) -> None:
    engine = NullEngine({
        "Train/algo-1": Script(runs_s=50), "Train/algo-2": Script(runs_s=10, exit_code=3), "Train": Script(runs_s=5),
    })  # fmt: skip

    waited = bench.play(engine, hosts=3)

    assert [end.exit_code for end in waited.ends] == [143, 3, 0]
    assert waited.ended_by_us == ("algo-1",)
    assert not waited.timed_out


def test_hosts_of_which_one_takes_too_long_are_out_of_time_together(bench: Bench) -> None:
    engine = NullEngine({"Train/algo-1": Script(runs_s=61), "Train/algo-2": Script(runs_s=59)})

    waited = bench.play(engine, hosts=2, max_runtime_s=60)

    assert waited.timed_out
    assert [end.exit_code for end in waited.ends] == [143, 0]
    assert waited.ended_by_us == ()


# for the eyes of a test


def test_calls_are_noted_and_the_job_can_be_looked_at(bench: Bench) -> None:
    engine = NullEngine()

    bench.play(engine)

    assert engine.calls == [(call, "Train") for call in ("prepare", "start", "wait", "collect", "close")]
    assert engine.job_of("Train") is bench.job
    assert (bench.job.closed, bench.job.kept, bench.job.image) == (True, False, "image")
    with pytest.raises(KeyError):
        engine.job_of("Other")


@pytest.mark.parametrize("call", ["prepare", "start", "wait", "collect", "close"])
def test_any_call_may_raise_what_an_engine_raises(bench: Bench, call: Any) -> None:
    engine = NullEngine({"Train": Script(raises={call: EngineError(f"{call} failed")})})

    with pytest.raises(EngineError, match=f"{call} failed"):
        bench.play(engine)

    assert engine.calls[-1] == (call, "Train")


def test_jobs_at_the_same_time_are_counted(bench: Bench) -> None:
    engine = NullEngine()
    jobs = [bench.prepare(engine, step=f"S{number}") for number in range(3)]
    for job in jobs[:2]:
        job.start()
    jobs[0].close(keep=False)
    jobs[2].start()

    assert engine.most_at_once == 2


def test_the_engine_answers_what_it_was_told(tmp_path: Path) -> None:
    engine = NullEngine(mode="archive", cpus=3)

    assert (engine.name, engine.cpus, engine.staging_mode(tmp_path, "image")) == ("null", 3, "archive")


# images


def test_every_image_is_there_but_for_those_that_are_not() -> None:
    images = NullImages(missing={"gone"})

    assert images.resolve("here").reference == "here"
    with pytest.raises(ImageError, match="nobody has the image gone"):
        images.resolve("gone")
    found = images.resolve_all(["here", "gone", "here"], dry=True)
    assert [type(one).__name__ for one in found.values()] == ["ImageUse", "ImageError"]
