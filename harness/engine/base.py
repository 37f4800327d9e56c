"""Where does a step run? One small interface, several engines.

An engine prepares a job (one container per host, created and listened to), and the job is started, waited for,
stopped, collected and closed. Engines know nothing of pipelines and nothing of S3.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Protocol

from harness.service.outcome import HostEnd
from harness.service.spec import Frozen

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.service.spec import JobSpec
    from harness.storage.staging import StagedHost, StagingMode

__all__ = ["Engine", "EngineJob", "JobPaths", "JobWait", "LogSink"]


class LogSink(Protocol):
    """Takes the output of a job's containers, as it comes."""

    def chunk(self, host: str, stream: str, data: bytes) -> None:
        """Take some bytes of ``stdout`` or ``stderr``; not cut at line ends."""

    def restart(self, host: str) -> None:
        """Forget what came from a host: its whole output follows again."""

    def end(self, host: str) -> None:
        """Know that nothing more will come from a host."""


class JobPaths(Frozen):
    """Where an engine writes down what it did, for people who look later."""

    records: dict[str, str]
    """Per host, a folder for ``container.json`` and ``run-again.sh``."""


class JobWait(Frozen):
    """What waiting for a job gave."""

    ends: tuple[HostEnd, ...]
    timed_out: bool = False
    ended_by_us: tuple[str, ...] = ()
    """Hosts that were stopped because a peer had failed."""


class EngineJob(ABC):
    """A job that an engine has prepared. Every method may raise EngineError."""

    @abstractmethod
    def start(self) -> None:
        """Start every container. After ``stop`` nothing is started any more."""

    @abstractmethod
    def wait(self, max_runtime_s: float, *, grace_s: float) -> JobWait:
        """Wait for all containers; stop them at ``max_runtime_s``: SIGTERM, ``grace_s``, SIGKILL (contract a.9)."""

    @abstractmethod
    def stop(self, grace_s: float) -> None:
        """End every container: SIGTERM, ``grace_s``, SIGKILL. Callable from any thread, any number of times."""

    @abstractmethod
    def collect(self) -> None:
        """See to it that the collected trees can be read by the caller on this side."""

    @abstractmethod
    def close(self, *, keep: bool) -> None:
        """Remove containers, volumes and networks, or leave the stopped containers where they are to be kept."""


class Engine(ABC):
    """Something that runs containers, or does as if."""

    name: str
    """How results call it: ``docker``, ``null``."""

    @property
    @abstractmethod
    def cpus(self) -> int | None:
        """How many CPUs the machine of the engine has."""

    @abstractmethod
    def staging_mode(self, scratch: Path, image: str) -> StagingMode:
        """Find the best way to get data into containers; tried, not guessed. ``image`` is any image that is there."""

    @abstractmethod
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
        """Create a job's containers and listen to them; nothing runs yet.

        Raises:
            EngineError: The engine refused or is gone; nothing is left behind.

        """
