"""How is a job given to an engine directly, without a pipeline around it?"""

from __future__ import annotations

import threading
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.engine import labels
from harness.engine.base import JobPaths
from harness.engine.docker import DockerEngine
from harness.service.names import host_names, hostname
from harness.service.spec import HostSpec, JobSpec, Limits, Tree
from harness.storage import staging
from harness.storage.bucket import BucketStore

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import docker

    from harness.engine.base import EngineJob, JobWait
    from harness.service.outcome import HostEnd
    from harness.storage.staging import StagedHost, StagingMode

__all__ = ["Bench", "Recorder", "python"]


def python(program: str, *words: str) -> tuple[str, ...]:
    """Give the words that run a piece of Python in a probe image."""
    return ("python3", "-u", "-c", program, *words)


class Recorder:
    """A sink that keeps what a job's containers write."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._chunks: dict[tuple[str, str], list[bytes]] = {}
        self._lock = threading.Lock()
        self.restarts: list[str] = []
        self.ended: list[str] = []

    def chunk(self, host: str, stream: str, data: bytes) -> None:
        """Keep some bytes; what comes after the end is lost, as with a file that was closed."""
        with self._lock:
            if host in self.ended:
                return
            self._chunks.setdefault((host, stream), []).append(data)

    def restart(self, host: str) -> None:
        """Forget a host's bytes."""
        with self._lock:
            self.restarts.append(host)
            self._chunks = {key: chunks for key, chunks in self._chunks.items() if key[0] != host}

    def end(self, host: str) -> None:
        """Know that a host has ended."""
        self.ended.append(host)

    def bytes(self, stream: str = "stdout", host: str = "algo-1") -> bytes:
        """Give everything that a host wrote to a stream."""
        with self._lock:
            return b"".join(self._chunks.get((host, stream), []))

    def text(self, stream: str = "stdout", host: str = "algo-1") -> str:
        """Give it as text."""
        return self.bytes(stream, host).decode("utf-8", "replace")


@dataclass
class Prepared:
    """A job that the engine has prepared, and what belongs to it."""

    job: EngineJob
    sink: Recorder
    staged: list[StagedHost]
    spec: JobSpec
    run_id: str
    records: dict[str, Path]

    def finish(self, *, max_runtime_s: float = 60, grace_s: float = 5, keep: bool = False) -> JobWait:
        """Start it, wait for its end, collect and close."""
        try:
            self.job.start()
            waited = self.job.wait(max_runtime_s, grace_s=grace_s)
            self.job.collect()
        finally:
            self.job.close(keep=keep)
        return waited


@dataclass
class Bench:
    """An engine with a scratch folder: jobs are described in few words, prepared and run."""

    client: docker.DockerClient
    scratch: Path
    image: str
    mode: StagingMode = "overlay"
    prepared: list[Prepared] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Make the engine and a store."""
        self.engine = DockerEngine(self.client)
        self.store = BucketStore(self.scratch / "s3", self.scratch / "tmp")
        for folder in (self.store.root, self.store.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def spec(
        self,
        *words: str,
        hosts: int = 1,
        entrypoint: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
        trees: Sequence[Tree] = (),
        limits: Limits | None = None,
        isolated: bool = False,
    ) -> JobSpec:
        """Describe a job whose containers all run the same words."""
        name = f"test-{uuid.uuid4().hex[:12]}"
        return JobSpec(
            kind="Processing",
            name=name,
            arn=f"arn:aws:sagemaker:us-east-1:000000000000:processing-job/{name}",
            hosts=tuple(
                HostSpec(
                    host=host,
                    hostname=hostname(name, host),
                    entrypoint=tuple(entrypoint) if entrypoint else None,
                    arguments=tuple(words),
                    environment=dict(environment or {}),
                    trees=tuple(trees),
                    limits=limits or Limits(),
                )
                for host in host_names(hosts)
            ),
            max_runtime_s=3600,
            isolated=isolated,
        )

    def prepare(
        self, spec: JobSpec, *, image: str | None = None, extra_labels: Mapping[str, str] | None = None
    ) -> Prepared:
        """Stage a job's data and prepare it."""
        run_id = uuid.uuid4().hex[:12]
        home = self.scratch / "runs" / run_id
        staged = [staging.stage(host, self.store, home / host.host, mode=self.mode) for host in spec.hosts]
        sink = Recorder()
        records = {host.host: home / host.host for host in spec.hosts}
        own: dict[str, Any] = {
            labels.RUN: run_id,
            labels.STEP: "Step",
            labels.WORKSPACE: str(self.scratch),
            **labels.owner_labels(),
            **(extra_labels or {}),
        }
        job = self.engine.prepare(
            spec,
            image=image or self.image,
            staged=staged,
            labels=own,
            sink=sink,
            paths=JobPaths(records={host: str(path) for host, path in records.items()}),
        )
        found = Prepared(job, sink, staged, spec, run_id, records)
        self.prepared.append(found)
        return found

    def run(self, *words: str, **options: Any) -> tuple[HostEnd, Recorder]:
        """Run a job of one host to its end."""
        prepared = self.prepare(self.spec(*words, **options))
        waited = prepared.finish()
        return waited.ends[0], prepared.sink

    def close(self) -> None:
        """Take away what a failed test left prepared."""
        for one in self.prepared:
            one.job.close(keep=False)
