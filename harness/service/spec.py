"""What does a job ask of an engine? Frozen models, as plain as a request form.

A job is one or several hosts; a host is one container. What the container finds under ``/opt/ml`` is a set of trees,
each mounted on its own, so that whatever an image bakes beside them stays visible (container contract, a.1.10).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Frozen", "HostSpec", "JobSpec", "Limits", "PlacedObject", "Placement", "Publication", "Tree"]


class Frozen(BaseModel):
    """The base of what passes between rooms: immutable, no surprises."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlacedObject(Frozen):
    """One S3 object and the name that it has in its folder."""

    uri: str
    name: str
    """Relative POSIX path, such as ``sub/part-0.csv``."""


class Placement(Frozen):
    """S3 objects that lie in one folder of a tree when the container starts."""

    folder: str
    """Relative to the tree's path; empty for the tree itself."""
    objects: tuple[PlacedObject, ...]


class Tree(Frozen):
    """One directory that is mounted into a container."""

    path: str
    """Absolute path inside of the container."""
    files: dict[str, str] = {}
    """Text files by relative path, written before the start."""
    folders: tuple[str, ...] = ()
    """Relative paths of directories that exist before the start, empty."""
    placements: tuple[Placement, ...] = ()
    collected: bool = False
    """Whether somebody reads the tree after the end of the job."""

    @property
    def slug(self) -> str:
        """A name for the tree in file names: ``/opt/ml/input`` becomes ``opt-ml-input``.

        A dash of the path's own is written ``%2D``: ``/in/a-b`` and ``/in/a/b`` must not share a folder.
        """
        parts = [part.replace("%", "%25").replace("-", "%2D") for part in PurePosixPath(self.path).parts[1:]]
        return "-".join(parts) or "root"


class Limits(Frozen):
    """What an instance type leaves to its container; None where nothing is known."""

    cpus: float | None = None
    memory_mib: int | None = None
    shm_mib: int = 64


class HostSpec(Frozen):
    """One container of a job."""

    host: str
    """``algo-1`` … as the job's peers know it."""
    hostname: str
    """What the container's own ``HOSTNAME`` says."""
    entrypoint: tuple[str, ...] | None
    """None keeps the image's ENTRYPOINT."""
    arguments: tuple[str, ...] | None
    """None keeps the image's CMD (unless ``entrypoint`` is given)."""
    environment: dict[str, str]
    trees: tuple[Tree, ...]
    limits: Limits = Limits()


class Publication(Frozen):
    """What happens to a directory of the containers after the job's end."""

    path: str
    """Absolute path inside of the container."""
    uri: str
    """An S3 prefix for ``files``, an object's URI for ``archive``."""
    form: Literal["files", "archive"]
    when: Literal["completed", "stopped too", "always"]
    name: str
    """What the request calls it: an OutputName, ``model``, ``output``, ``checkpoints``."""


class JobSpec(Frozen):
    """A Processing or Training job, ready for an engine."""

    kind: Literal["Processing", "Training"]
    name: str
    arn: str
    hosts: tuple[HostSpec, ...]
    max_runtime_s: int
    isolated: bool = False
    """EnableNetworkIsolation: no network but the peers of the job."""
    publications: tuple[Publication, ...] = ()
    notes: tuple[str, ...] = ()
    """Where the container sees something else than on the service."""
