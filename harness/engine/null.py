"""Where do steps run when nothing is to run? An engine that plays scripts, for tests and simulations.

Everything above the engine is real: the schedule, staging, the store, judging, publishing, events. Only the containers
are played. A test asks what a run does when a step fails, is killed for memory or never ends; a simulation asks how
long a pipeline of given durations takes with so many jobs at once. No Docker, no image, no root::

    engine = NullEngine({
        "Preprocess": Script(files={"/opt/ml/processing/train/a.csv": "1,2"}),
        "Train": Script(exit_code=1, log=["loss=nan"], files={"/opt/ml/output/failure": "diverged"}),
    })

A script may hold a Python function in place of the container's program: it sees the container's paths through a
`NullHost`. Time is simulated: ``second_s`` says how long a scripted second really takes, by default no time at all.
"""

from __future__ import annotations

import math
import shutil
import threading
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from harness.engine.base import Engine, EngineJob, JobWait
from harness.engine.labels import STEP
from harness.errors import HarnessError, ImageError
from harness.results import ImageUse
from harness.service.outcome import HostEnd, Usage
from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from harness.engine.base import JobPaths, LogSink
    from harness.service.spec import HostSpec, JobSpec
    from harness.storage.staging import Mount, StagedHost, StagingMode

__all__ = ["NullEngine", "NullHost", "NullImages", "NullJob", "Script"]

Call = Literal["prepare", "start", "wait", "collect", "close"]

_SIGTERM_CODE, _SIGKILL_CODE = 143, 137
_MISSING_CODE, _NOT_ALLOWED_CODE = 127, 126
_POLL_S = 0.002


@dataclass(frozen=True)
class Script:
    """What one container does: it logs, writes its files, calls its program, takes its time, and ends."""

    exit_code: int = 0
    log: Sequence[str | bytes | tuple[str, str | bytes]] = ()
    """Lines for standard output; a pair names the stream; bytes are passed on as they are, without an end of line."""
    files: Mapping[str, str | bytes] = field(default_factory=dict)
    """What it writes, by absolute path inside of the container; at its beginning, so that a stopped job has them."""
    program: Callable[[NullHost], int | None] | None = None
    """Called after that; a number that it returns is the exit code."""
    until: threading.Event | None = None
    """It does not end before this is set, or before it is stopped; not counted as run time."""
    runs_s: float = 0
    """How long it takes, in simulated seconds; ``math.inf``: until it is stopped."""
    start_error: str = ""
    """Its program cannot be started, in the engine's words."""
    oom_killed: bool = False
    ignores_sigterm: bool = False
    usage: Usage = field(default_factory=Usage)
    raises: Mapping[Call, BaseException] = field(default_factory=dict)
    """What the engine itself raises, by the call that does."""


_NOTHING: Mapping[str, Script] = MappingProxyType({})


class NullEngine(Engine):
    """Plays scripts instead of running containers; any number of jobs at the same time, from any threads."""

    name = "null"

    def __init__(
        self,
        scripts: Mapping[str, Script] = _NOTHING,
        *,
        default: Script | None = None,
        second_s: float = 0,
        mode: StagingMode = "bind",
        cpus: int | None = None,
    ) -> None:
        """Take the scripts.

        Args:
            scripts: By step's name, or by ``<step>/<host>`` for one host of several.
            default: For all other steps; they succeed and do nothing unless told otherwise.
            second_s: How many real seconds a simulated one takes.
            mode: The staging mode to answer; an overlay is played as two folders.
            cpus: How many CPUs to pretend.

        """
        self.scripts, self.default = dict(scripts), default or Script()
        self.second_s = second_s
        self.jobs: list[NullJob] = []
        """Every job that was prepared, in that order."""
        self.calls: list[tuple[str, str]] = []
        """Every call of a job's method with the step's name, in that order."""
        self.most_at_once = 0
        """How many jobs ran at the same time at most."""
        self._mode: StagingMode = mode
        self._cpus = cpus
        self._running: set[NullJob] = set()
        self._lock = threading.Lock()

    @property
    def cpus(self) -> int | None:
        """As many as the caller said."""
        return self._cpus

    def staging_mode(self, scratch: Path, image: str) -> StagingMode:
        """Answer what the caller said."""
        del scratch, image
        return self._mode

    def script_for(self, step: str, host: str) -> Script:
        """Find the script of one container."""
        return self.scripts.get(f"{step}/{host}") or self.scripts.get(step) or self.default

    def prepare(
        self,
        job: JobSpec,
        *,
        image: str,
        staged: Sequence[StagedHost],
        labels: Mapping[str, str],
        sink: LogSink,
        paths: JobPaths,
    ) -> NullJob:
        """Take a job; nothing is written down for later, since there is no container to be started again."""
        del paths
        made = NullJob(self, job, image=image, staged=staged, labels=labels, sink=sink)
        with self._lock:
            self.jobs.append(made)
        made.called("prepare")
        return made

    def job_of(self, step: str) -> NullJob:
        """Give the newest job of a step. KeyError if there was none."""
        with self._lock:
            for job in reversed(self.jobs):
                if job.step == step:
                    return job
        raise KeyError(step)

    def note(self, call: str, job: NullJob) -> None:
        """Write a call down, and who is running."""
        with self._lock:
            self.calls.append((call, job.step))
            if call == "start":
                self._running.add(job)
            elif call in {"collect", "close"}:
                self._running.discard(job)
            self.most_at_once = max(self.most_at_once, len(self._running))


class NullHost:
    """One container that is played: its files, its output."""

    def __init__(self, spec: HostSpec, staged: StagedHost, script: Script, sink: LogSink) -> None:
        """Lay an archive's content out where it may be changed; the other ways of staging need nothing."""
        self.spec, self.script = spec, script
        self.start_error = script.start_error
        self.code = 0
        self._sink = sink
        self._mounts = sorted(staged.mounts, key=lambda mount: -len(mount.target))
        for mount in self._mounts:
            if mount.kind == "archive":
                shutil.copytree(mount.source, _inside(mount), symlinks=True)

    def path(self, path: str) -> Path:
        """Find where the container's path may be written on this side; its folder is there afterwards."""
        mount, rest = self._mounted(path)
        found = (mount.upper or _inside(mount)) / rest
        files.make_folders(found.parent)
        return found

    def write(self, path: str, content: str | bytes) -> None:
        """Write a file as the container would."""
        self.path(path).write_bytes(content.encode() if isinstance(content, str) else content)

    def read(self, path: str) -> bytes:
        """Read a file as the container would."""
        mount, rest = self._mounted(path)
        changed = mount.upper / rest if mount.upper else None
        return (changed if changed and changed.exists() else _inside(mount) / rest).read_bytes()

    def names(self, path: str) -> list[str]:
        """List the files below a folder of the container, relative to it."""
        mount, rest = self._mounted(path)
        homes = [home / rest for home in (mount.upper, _inside(mount)) if home]
        return sorted({name for home in homes if home.is_dir() for name, _ in files.walk_files(home)})

    def say(self, text: str | bytes, stream: str = "stdout") -> None:
        """Write a line to the log; bytes go as they are."""
        self._sink.chunk(self.spec.host, stream, f"{text}\n".encode() if isinstance(text, str) else text)

    def _mounted(self, path: str) -> tuple[Mount, str]:
        for mount in self._mounts:
            if path == mount.target or path.startswith(f"{mount.target}/"):
                return mount, path[len(mount.target) + 1 :]
        raise FileNotFoundError(f"{path} is not mounted: {', '.join(mount.target for mount in self._mounts)}")

    def play(self) -> None:
        """Do what the script says, but for the time that it takes."""
        for entry in self.script.log:
            stream, text = entry if isinstance(entry, tuple) else ("stdout", entry)
            self.say(text, stream)
        for path, content in self.script.files.items():
            self.write(path, content)
        answer = self.script.program(self) if self.script.program else None
        self.code = self.script.exit_code if answer is None else answer

    @property
    def takes_time(self) -> bool:
        """Whether there is a moment between its beginning and its end at which it can be stopped."""
        return self.script.until is not None or self.script.runs_s > 0

    def end(self) -> HostEnd:
        """Say how it ended."""
        self._sink.end(self.spec.host)
        return HostEnd(host=self.spec.host, exit_code=self.code, oom_killed=self.script.oom_killed,
                       start_error=self.start_error, usage=self.script.usage)  # fmt: skip

    def fetch(self) -> None:
        """Bring an archive's tree to where the caller reads it."""
        for mount in self._mounts:
            if mount.kind == "archive" and mount.collected:
                shutil.copytree(_inside(mount), mount.collected, symlinks=True, dirs_exist_ok=True)


def _inside(mount: Mount) -> Path:
    """Where the container's own files lie: an archive is sent, so what it was made of is not the container's."""
    return mount.source.with_name("inside") if mount.kind == "archive" else mount.source


class NullJob(EngineJob):
    """A job that is played."""

    def __init__(
        self,
        engine: NullEngine,
        spec: JobSpec,
        *,
        image: str,
        staged: Sequence[StagedHost],
        labels: Mapping[str, str],
        sink: LogSink,
    ) -> None:
        """Take what a test may want to look at later."""
        self.engine, self.spec, self.image, self.staged = engine, spec, image, tuple(staged)
        self.labels = dict(labels)
        self.step = self.labels.get(STEP, spec.name)
        self.hosts = [NullHost(host, one, engine.script_for(self.step, host.host), sink)
                      for host, one in zip(spec.hosts, staged, strict=True)]  # fmt: skip
        self.closed, self.kept = False, False
        self.grace_s: float | None = None
        """How much time it was given when it was stopped, the last time."""
        self._stopping = threading.Event()

    def called(self, call: Call) -> None:
        """Note a call, and raise what a script says that it raises."""
        self.engine.note(call, self)
        for host in self.hosts:
            if error := host.script.raises.get(call):
                raise error

    def start(self) -> None:
        """Start the containers; after a program that is missing nothing more is started."""
        self.called("start")
        for host in self.hosts:
            if self._stopping.is_set():
                host.start_error = "not started: the run was stopped"
            if host.start_error:
                host.code = _NOT_ALLOWED_CODE if "permission denied" in host.start_error else _MISSING_CODE
                return

    def wait(self, max_runtime_s: float, *, grace_s: float) -> JobWait:
        """Play the scripts. A failing host ends its peers; the caller's `stop` ends all of them, at any moment."""
        self.called("wait")
        if any(host.start_error for host in self.hosts):
            return JobWait(ends=tuple(host.end() for host in self.hosts))
        for host in self.hosts:
            host.play()
        failure_s = min((host.script.runs_s for host in self.hosts if host.code), default=math.inf)
        end_s = min(failure_s, max(host.script.runs_s for host in self.hosts))
        timed_out = end_s > max_runtime_s
        end_s = min(end_s, max_runtime_s)
        stopped = self._pass(end_s)
        late = [host for host in self.hosts if host.script.runs_s > end_s or (stopped and host.takes_time)]
        for host in late:
            host.code = self._code_of_a_stopped(host, grace_s)
        by_us = () if stopped or timed_out else tuple(host.spec.host for host in late)
        return JobWait(ends=tuple(host.end() for host in self.hosts), timed_out=timed_out and not stopped,
                       ended_by_us=by_us)  # fmt: skip

    def _pass(self, span_s: float) -> bool:
        """Let the time pass; true if the job was stopped meanwhile."""
        for gate in [host.script.until for host in self.hosts if host.script.until]:
            while not gate.wait(_POLL_S) and not self._stopping.is_set():
                pass
        if self.engine.second_s:
            self._stopping.wait(span_s * self.engine.second_s)
        return self._stopping.is_set()

    def _code_of_a_stopped(self, host: NullHost, grace_s: float) -> int:
        given_s = grace_s if self.grace_s is None else self.grace_s
        return _SIGKILL_CODE if host.script.ignores_sigterm or given_s <= 0 else _SIGTERM_CODE

    def stop(self, grace_s: float) -> None:
        """End every container."""
        self.grace_s = grace_s
        self._stopping.set()

    def collect(self) -> None:
        """Fetch what was staged as archives; the rest is on this side already."""
        self.called("collect")
        for host in self.hosts:
            host.fetch()

    def close(self, *, keep: bool) -> None:
        """Know that the job is over."""
        self.closed, self.kept = True, keep
        self.called("close")


class NullImages:
    """Finds every image, but for those that are said to be missing; stands in for `ImageResolver`."""

    def __init__(self, *, missing: Collection[str] = ()) -> None:
        """Name the URIs that nobody has."""
        self.missing = frozenset(missing)

    def resolve(self, uri: str, *, dry: bool = False) -> ImageUse:
        """Find an image. ImageError if it is one of the missing."""
        del dry
        if uri in self.missing:
            raise ImageError(f"nobody has the image {uri}", remedy=f"name another: --image {uri}=LOCAL")
        return ImageUse(uri=uri, reference=uri, source="engine", image_id=f"null:{uri}")

    def resolve_all(self, uris: Iterable[str], *, dry: bool = False) -> dict[str, ImageUse | HarnessError]:
        """Find several images; what is not to be had comes back as its error."""
        found: dict[str, ImageUse | HarnessError] = {}
        for uri in dict.fromkeys(uris):
            try:
                found[uri] = self.resolve(uri, dry=dry)
            except ImageError as error:
                found[uri] = error
        return found
