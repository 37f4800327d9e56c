"""How does a Docker engine run a job? Create, attach, start, wait, inspect, collect, remove – in that order.

Never ``auto_remove``: the exit code would be lost to a race. Logs are attached before the start and read to their end.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from typing import TYPE_CHECKING, Any, cast

from docker.errors import APIError, DockerException, NotFound
from docker.types import DriverConfig
from docker.types import Mount as DockerMount
from requests.exceptions import RequestException

from harness.engine import command, labels, ownership, transfer
from harness.engine.base import Engine, EngineJob, JobPaths, JobWait, LogSink
from harness.engine.usage import UsageSampler
from harness.errors import EngineError, StorageError
from harness.service.outcome import HostEnd

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import docker

    from harness.service.spec import HostSpec, JobSpec
    from harness.storage.staging import Mount, StagedHost, StagingMode

__all__ = ["DockerEngine"]

_PROGRAM_MISSING, _PROGRAM_NOT_ALLOWED = 127, 126
_EXEC_ERROR = re.compile(r"exec: .*?(?=: unknown|$)|stat \S+: no such file or directory")
_LOG_END_S = 20
_EARLY_S = 1
# An internal network has no way out, but this machine's own services at its gateway's address (contract, DECIDED 11).
_NO_DOOR = {"com.docker.network.bridge.inhibit_ipv4": "true"}
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}  # as the kernel says it, as images say it


@contextlib.contextmanager
def engine_errors(what: str) -> Iterator[None]:
    """Turn the SDK's errors into an EngineError that says what was being done."""
    try:
        yield
    except APIError as error:
        raise EngineError(f"{what}: {error.explanation or error}") from error
    except (DockerException, RequestException, OSError) as error:
        raise EngineError(
            f"{what}: the engine did not answer as expected ({error})",
            remedy="see whether it is still running: docker version",
        ) from error


class DockerEngine(Engine):
    """Runs jobs on the engine that answers; one object serves many threads."""

    name = "docker"

    def __init__(self, client: docker.DockerClient) -> None:
        """Use a connected client."""
        self.client = client
        self.api: Any = client.api
        self.sampler = UsageSampler()
        self._info: dict[str, Any] | None = None

    @property
    def info(self) -> dict[str, Any]:
        """What the engine says of itself."""
        if self._info is None:
            with engine_errors("asking the engine about itself"):
                self._info = self.client.info()
        return self._info

    @property
    def cpus(self) -> int | None:
        """How many CPUs the engine's machine has."""
        return int(self.info.get("NCPU") or 0) or None

    def foreign_platform(self, image: str) -> str | None:
        """Name an image's platform where it is not the engine's own, which has to be asked for explicitly."""
        with engine_errors(f"inspecting the image {image}"):
            found: dict[str, Any] = self.api.inspect_image(image)
        own = _ARCHITECTURES.get(str(self.info.get("Architecture")), str(self.info.get("Architecture")))
        architecture = str(found.get("Architecture") or own)
        return None if architecture == own else f"{found.get('Os') or 'linux'}/{architecture}"

    def staging_mode(self, scratch: Path, image: str) -> StagingMode:
        """Try an overlay and a bind mount on a container that is never started."""
        return transfer.find_mode(self.client, scratch, image, self.info)

    def prepare(
        self,
        job: JobSpec,
        *,
        image: str,
        staged: Sequence[StagedHost],
        labels: Mapping[str, str],
        sink: LogSink,
        paths: JobPaths,
    ) -> EngineJob:
        """Create everything that a job needs; see `Engine.prepare`."""
        prepared = DockerJob(self, job, image=image, staged=staged, labels=labels, sink=sink)
        try:
            prepared.create(paths)
        except BaseException:
            prepared.close(keep=False)
            raise
        return prepared


class _Host:
    """One container of a job, from its creation to its removal."""

    def __init__(self, spec: HostSpec, staged: StagedHost) -> None:
        self.spec, self.staged = spec, staged
        self.id = ""
        self.reader: threading.Thread | None = None
        self.stream: Any = None
        self.heard_at = 0.0
        """When the reader last took something: a slow screen is no hanging stream."""
        self.log_error: OSError | None = None
        self.log_over_at: float | None = None
        """When the stream came to its end, or to what looked like it."""
        self.over_at: float | None = None
        self.start_error = ""

    @property
    def heard_to_the_end(self) -> bool:
        """Whether the log's stream ended with the container: one that broke on the way ended before."""
        return self.log_over_at is None or self.over_at is None or self.log_over_at > self.over_at - _EARLY_S


class DockerJob(EngineJob):
    """A job in a Docker engine."""

    def __init__(
        self,
        engine: DockerEngine,
        job: JobSpec,
        *,
        image: str,
        staged: Sequence[StagedHost],
        labels: Mapping[str, str],
        sink: LogSink,
    ) -> None:
        self.engine, self.job = engine, job
        self.api: Any = engine.api
        self.image, self.labels, self.sink = image, dict(labels), sink
        self.hosts = [_Host(spec, one) for spec, one in zip(job.hosts, staged, strict=True)]
        self.network_id = ""
        self._stopping = threading.Event()
        self._lock = threading.Lock()

    # creation

    def create(self, paths: JobPaths) -> None:
        """Create network and containers, write them down, and listen."""
        network = self._network()
        for host in self.hosts:
            addresses = self._addresses(host)
            folder = _as_path(paths.records[host.spec.host])
            shown = "none" if network == "none" else "bridge"
            record = command.container_record(
                host.spec, host.staged, image=self.image, network=network, addresses=addresses
            )
            script = command.run_again_script(
                host.spec,
                host.staged,
                title=f"{self.job.name}, {host.spec.host}",
                image=self.image,
                network=shown,
                addresses=addresses,
            )
            command.write_records(folder, record, script)
            with engine_errors(f"creating the container of {self.job.name} ({host.spec.host})"):
                host.id = self._create(host, network, addresses)
            for mount in host.staged.mounts:
                if mount.kind == "archive":
                    with engine_errors(f"sending {mount.target} to the engine"):
                        transfer.send(self.api, host.id, mount)
            with engine_errors("attaching to the container"):
                self._attach(host)

    def _network(self) -> str:
        """Several hosts get a network of their own, where they know each other by name; one host needs none."""
        if len(self.hosts) == 1:
            return "none" if self.job.isolated else "bridge"
        name = f"sagemaker-harness-{self.job.name}"
        with engine_errors("creating the job's network"):
            made = self.api.create_network(
                name,
                driver="bridge",
                internal=self.job.isolated,
                options=_NO_DOOR if self.job.isolated else None,
                labels=self.labels,
                check_duplicate=True,
            )
        self.network_id = made["Id"]
        return name

    def _addresses(self, host: _Host) -> dict[str, str]:
        """Let a single host find itself under its own name, whatever the network is (contract a.5)."""
        return {host.spec.host: "127.0.0.1"} if len(self.hosts) == 1 else {}

    def _create(self, host: _Host, network: str, addresses: Mapping[str, str]) -> str:
        limits, info = host.spec.limits, self.engine.info
        # An engine that cannot limit (rootless on cgroup v1) refuses the container, or warns: not asked then.
        memory = f"{limits.memory_mib}m" if limits.memory_mib and info.get("MemoryLimit", True) else None
        cpus = limits.cpus if info.get("CpuCfsQuota", True) else None
        config = self.api.create_host_config(
            mounts=[mount for one in host.staged.mounts if (mount := self._docker_mount(one))],
            network_mode=network,
            extra_hosts=dict(addresses),
            mem_limit=memory,
            memswap_limit=memory,  # the service's instances have no swap
            nano_cpus=None if cpus is None else int(cpus * 1e9),
            shm_size=f"{limits.shm_mib}m",
        )
        networking = None
        if self.network_id:
            networking = self.api.create_networking_config(
                {network: self.api.create_endpoint_config(aliases=[host.spec.host])}
            )
        made = self.api.create_container(
            self.image,
            command=None if host.spec.arguments is None else list(host.spec.arguments),
            entrypoint=None if host.spec.entrypoint is None else list(host.spec.entrypoint),
            environment=dict(host.spec.environment),
            hostname=host.spec.hostname,
            labels={**self.labels, f"{labels.STEP}.host": host.spec.host},
            host_config=config,
            networking_config=networking,
            name=f"sagemaker-harness-{self.labels[labels.RUN]}-{self.job.name[-10:]}-{host.spec.host}",
            detach=True,
            tty=False,
            stdin_open=False,
            platform=self.engine.foreign_platform(self.image),
        )
        return cast("str", made["Id"])

    def _docker_mount(self, mount: Mount) -> DockerMount | None:
        if mount.kind == "archive":
            return None
        if mount.kind == "bind":
            return DockerMount(mount.target, str(mount.source), type="bind")
        options = f"lowerdir={mount.source},upperdir={mount.upper},workdir={mount.work}"
        driver = DriverConfig("local", {"type": "overlay", "device": "overlay", "o": options})
        # No name: the engine removes it with the container.
        return DockerMount(mount.target, None, type="volume", driver_config=driver, no_copy=True, labels=self.labels)

    def _attach(self, host: _Host) -> None:
        host.stream = self.api.attach(host.id, stdout=True, stderr=True, stream=True, logs=False, demux=True)
        host.reader = threading.Thread(target=self._read, args=(host,), name=f"log-{host.spec.host}", daemon=True)
        host.reader.start()

    def _read(self, host: _Host) -> None:
        name = host.spec.host
        with contextlib.suppress(RequestException, DockerException, OSError, ValueError):  # cut off: read again later
            for stdout, stderr in host.stream:
                for stream, data in (("stdout", stdout), ("stderr", stderr)):
                    if data:
                        self._write(host, name, stream, data)
                host.heard_at = time.monotonic()
        host.log_over_at = time.monotonic()

    def _write(self, host: _Host, name: str, stream: str, data: bytes) -> None:
        """Hand output on; when the disk is full go on reading, or the container would wait for us for ever."""
        if host.log_error is None:
            try:
                self.sink.chunk(name, stream, data)
            except OSError as error:
                host.log_error = error

    # running

    def start(self) -> None:
        """Start the containers; a program that the image lacks is the container's own failure."""
        for host in self.hosts:
            with self._lock:
                if self._stopping.is_set():
                    host.start_error = "not started: the run was stopped"
                    continue
                self._start(host)
            if host.start_error:
                return

    def _start(self, host: _Host) -> None:
        try:
            self.api.start(host.id)
        except APIError as error:
            text = str(error.explanation or error)
            found = _EXEC_ERROR.search(text)
            if not found:
                raise EngineError(f"starting the container of {self.job.name}: {text}") from error
            host.start_error = found[0]
            return
        except (RequestException, OSError) as error:
            raise EngineError(f"starting the container of {self.job.name}: {error}") from error
        with contextlib.suppress(APIError, RequestException, KeyError):
            pid = self.api.inspect_container(host.id)["State"]["Pid"]
            if pid:
                self.engine.sampler.watch(host.id, pid)

    def wait(self, max_runtime_s: float, *, grace_s: float) -> JobWait:
        """Wait for every container's end; see `EngineJob.wait`."""
        timed_out = threading.Event()

        def out_of_time() -> None:
            timed_out.set()
            self.stop(grace_s)

        timer = threading.Timer(max_runtime_s, out_of_time)
        timer.daemon = True
        timer.start()
        try:
            ended_by_us = self._wait_all(grace_s)
        finally:
            timer.cancel()
        return JobWait(
            ends=tuple(self._end(host) for host in self.hosts), timed_out=timed_out.is_set(), ended_by_us=ended_by_us
        )

    def _wait_all(self, grace_s: float) -> tuple[str, ...]:
        """Wait for all hosts; when one fails the others are ended, since the job has failed (contract a.9)."""
        if any(host.start_error for host in self.hosts):
            self.stop(grace_s)
        running = {host.spec.host: host for host in self.hosts if not host.start_error}
        if len(running) == 1:
            self._wait(next(iter(running.values())))
            return ()
        codes: dict[str, int] = {}
        errors: list[EngineError] = []
        changed = threading.Condition()

        def wait_for(host: _Host) -> None:
            try:
                code = self._wait(host)
            except EngineError as error:
                with changed:
                    errors.append(error)
                    changed.notify()
                return
            with changed:
                codes[host.spec.host] = code
                changed.notify()

        for host in running.values():
            threading.Thread(target=wait_for, args=(host,), daemon=True).start()
        ended_by_us: tuple[str, ...] = ()
        with changed:
            while len(codes) < len(running) and not errors:
                changed.wait()
                if any(codes.values()) and not ended_by_us and not self._stopping.is_set():
                    ended_by_us = tuple(name for name in running if name not in codes)
                    threading.Thread(target=self.stop, args=(grace_s,), daemon=True).start()
        if errors:
            raise errors[0]
        return ended_by_us

    def _wait(self, host: _Host) -> int:
        # No time limit: a job may be silent for hours. The limit is the timer's, which stops the container.
        with engine_errors(f"waiting for the container of {self.job.name}"):
            code = int(self.api.wait(host.id, timeout=None)["StatusCode"])
        host.over_at = time.monotonic()
        return code

    def _end(self, host: _Host) -> HostEnd:
        """Read how a container ended, after its log has been read to the end."""
        usage = self.engine.sampler.finish(host.id)
        with engine_errors(f"inspecting the container of {self.job.name}"):
            state = self.api.inspect_container(host.id)["State"]
        self._finish_log(host)
        code = int(state["ExitCode"])
        if host.start_error and code not in {_PROGRAM_MISSING, _PROGRAM_NOT_ALLOWED}:
            code = _PROGRAM_NOT_ALLOWED if "permission denied" in host.start_error else _PROGRAM_MISSING
        return HostEnd(
            host=host.spec.host,
            exit_code=code,
            oom_killed=bool(state.get("OOMKilled")),
            start_error=host.start_error,
            started_at=str(state.get("StartedAt", "")),
            finished_at=str(state.get("FinishedAt", "")),
            usage=usage,
        )

    def _finish_log(self, host: _Host) -> None:
        """Let the reader come to the end; if the stream hangs or broke, read the engine's own copy instead."""
        if host.reader is None:
            return
        if host.start_error:
            self._cut(host)
        host.heard_at = time.monotonic()
        while host.reader.is_alive() and time.monotonic() - host.heard_at < _LOG_END_S:
            host.reader.join(1)
        if not host.start_error:
            if host.reader.is_alive():
                self._cut(host)
                host.reader.join(1)
                with engine_errors("reading the log again"):
                    self._read_again(host)
            elif not host.heard_to_the_end:
                # The stream broke, or the program closed both its streams early and nothing is missing. A logging
                # driver that keeps no copy has no better one.
                with contextlib.suppress(APIError):
                    self._read_again(host)
        if host.log_error:
            raise StorageError(f"writing the log of {self.job.name}: {host.log_error}") from host.log_error
        self.sink.end(host.spec.host)

    def _read_again(self, host: _Host) -> None:
        """Replace what was heard by the engine's own copy."""
        copies = {
            stream: self.api.logs(host.id, stream=True, stdout=stream == "stdout", stderr=stream == "stderr")
            for stream in ("stdout", "stderr")
        }
        self.sink.restart(host.spec.host)
        for stream, copy in copies.items():
            for data in copy:
                self._write(host, host.spec.host, stream, data)

    @staticmethod
    def _cut(host: _Host) -> None:
        """End the log's stream; the SDK raises whatever its inner parts do, depending on the transport."""
        if host.stream is not None:
            with contextlib.suppress(Exception):
                host.stream.close()

    def stop(self, grace_s: float) -> None:
        """End every container, all at once; see `EngineJob.stop`."""
        with self._lock:
            self._stopping.set()
        threads = [
            threading.Thread(target=self._stop, args=(host, grace_s), daemon=True) for host in self.hosts if host.id
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _stop(self, host: _Host, grace_s: float) -> None:
        with contextlib.suppress(APIError, RequestException):  # over already, or gone
            if grace_s <= 0:
                self.api.kill(host.id)
            else:
                self.api.stop(host.id, timeout=int(grace_s))

    # afterwards

    def collect(self) -> None:
        """Fetch what only the engine has, and give the caller what containers made as root."""
        for host in self.hosts:
            for mount in host.staged.mounts:
                if mount.kind == "archive" and mount.collected:
                    with engine_errors(f"fetching {mount.target} from the engine"):
                        transfer.fetch(self.api, host.id, mount)
        folders = [folder for host in self.hosts for folder in ownership.foreign_folders(host.staged.mounts)]
        if folders:
            with engine_errors("giving the container's files to the caller"):
                ownership.give_to_caller(self.api, self.image, folders, self.labels)

    def close(self, *, keep: bool) -> None:
        """Remove everything; a kept container stays stopped."""
        for host in self.hosts:
            self._cut(host)
            if not host.id:
                continue
            if keep:
                with contextlib.suppress(APIError, RequestException):
                    if self.api.inspect_container(host.id)["State"]["Running"]:
                        self.api.kill(host.id)
                continue
            self._remove(host)
        if self.network_id and not keep:
            with contextlib.suppress(APIError, RequestException):
                self.api.remove_network(self.network_id)

    def _remove(self, host: _Host) -> None:
        for attempt in range(5):
            try:
                self.api.remove_container(host.id, force=True, v=True)
            except NotFound:
                return
            except APIError as error:  # "removal … already in progress", "device or resource busy"
                if attempt == 4:  # noqa: PLR2004
                    raise EngineError(f"removing the container of {self.job.name}: {error.explanation}") from error
                time.sleep(0.2 * (attempt + 1))
            except RequestException as error:
                raise EngineError(f"removing the container of {self.job.name}: {error}") from error
            else:
                return


def _as_path(text: str) -> Path:
    from pathlib import Path  # noqa: PLC0415

    return Path(text)
