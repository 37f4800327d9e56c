"""Which engine do the tests use, and what have they left in it?"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from harness.engine import labels
from harness.engine.connection import connect
from harness.errors import EngineUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

    import docker

__all__ = ["Leftovers", "problem"]


@functools.cache
def problem() -> str:
    """Say why there is no engine; empty where one answers."""
    try:
        connect().close()
    except EngineUnavailableError as error:
        return f"this test needs a container engine: {error}"
    return ""


@dataclass
class Leftovers:
    """Looks for what this test session made in the engine, which others may be using at the same time."""

    client: docker.DockerClient
    folders: list[Path]
    """Workspaces of ours lie below these."""
    processes: set[int] = field(default_factory=set)
    """Ids of the processes that we started."""
    images: set[str] = field(default_factory=set)
    """Ids of the images that only we use."""

    def containers(self) -> list[dict[str, Any]]:
        """List our containers, running or not."""
        rows = self.client.api.containers(all=True)
        return [row for row in rows if row["ImageID"] in self.images or self._is_ours(row.get("Labels") or {})]

    def networks(self) -> list[dict[str, Any]]:
        """List our networks."""
        rows = self.client.api.networks(filters={"label": labels.RUN})
        return [row for row in rows if self._is_ours(row.get("Labels") or {})]

    def volumes(self) -> list[dict[str, Any]]:
        """List our volumes."""
        rows = self.client.api.volumes(filters={"label": labels.RUN}).get("Volumes") or []
        return [
            row
            for row in rows
            if self._is_ours(row.get("Labels") or {})
            or any(str(folder) in (row.get("Options") or {}).get("o", "") for folder in self.folders)
        ]

    def _is_ours(self, found: dict[str, str]) -> bool:
        workspace = found.get(labels.WORKSPACE, "")
        if any(workspace.startswith(str(folder)) for folder in self.folders):
            return True
        return found.get(labels._HOST) == labels.owner_labels()[labels._HOST] and found.get(labels._PID, "") in {
            str(number) for number in self.processes
        }

    def all(self) -> list[str]:
        """Name everything that is there."""
        return [
            *(f"container {row['Names'][0]} ({row['State']})" for row in self.containers()),
            *(f"network {row['Name']}" for row in self.networks()),
            *(f"volume {row['Name'][:16]}" for row in self.volumes()),
        ]

    def remove(self) -> None:
        """Take everything away, so that one test's leftovers do not decide another."""
        api: Any = self.client.api
        for row in self.containers():
            api.remove_container(row["Id"], force=True, v=True)
        for row in self.networks():
            api.remove_network(row["Id"])
        for row in self.volumes():
            api.remove_volume(row["Name"], force=True)
