"""What did dead runs leave in the engine, and how is it taken away without touching anybody else's?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.engine import labels

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

__all__ = ["sweep"]


def sweep(client: docker.DockerClient, *, kept_too: Callable[[dict[str, str]], bool] | None = None) -> list[str]:
    """Remove containers, networks and volumes whose owner is dead.

    Containers that somebody asked to keep stay (stopped), unless ``kept_too`` says otherwise of their labels.
    Never ``prune``: only what carries our labels is looked at.

    Returns:
        What was removed, for the screen.

    """
    from docker.errors import APIError  # noqa: PLC0415

    removed = []
    wanted = {"label": labels.RUN}
    for row in client.api.containers(all=True, filters=wanted):
        own: dict[str, str] = row.get("Labels") or {}
        if not labels.owner_is_dead(own):
            if not (kept_too and own.get(labels.KEEP) and row.get("State") != "running" and kept_too(own)):
                continue
        elif own.get(labels.KEEP) and not (kept_too and kept_too(own)):
            if row.get("State") == "running":
                _try(lambda row=row: client.api.kill(row["Id"]), APIError)  # type: ignore[misc]
            continue
        if _try(lambda row=row: client.api.remove_container(row["Id"], force=True, v=True), APIError):  # type: ignore[misc]
            removed.append(f"container {(row.get('Names') or [row['Id'][:12]])[0].lstrip('/')}")
    for network in client.api.networks(filters=wanted):
        if labels.owner_is_dead(network.get("Labels") or {}) and _try(
            lambda network=network: client.api.remove_network(network["Id"]), APIError  # type: ignore[misc]
        ):
            removed.append(f"network {network['Name']}")
    for volume in client.api.volumes(filters=wanted).get("Volumes") or []:
        if labels.owner_is_dead(volume.get("Labels") or {}) and _try(
            lambda volume=volume: client.api.remove_volume(volume["Name"]), APIError  # type: ignore[misc]
        ):
            removed.append(f"volume {volume['Name'][:12]}")
    return removed


def _try(action: Callable[[], Any], expected: type[Exception]) -> bool:
    """Do it; somebody else may have done it first, or a kept container may still hold it."""
    try:
        action()
    except expected:
        return False
    return True
