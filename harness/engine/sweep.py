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

    Containers that somebody asked to keep stay, stopped, unless ``kept_too`` says otherwise of their labels.
    Never ``prune``: only what carries our labels is looked at, and nothing of a living process is touched.

    Returns:
        What was removed, for the screen.

    """
    api = client.api
    wanted = {"label": labels.RUN}
    removed = []
    for row in api.containers(all=True, filters=wanted):
        own: dict[str, str] = row.get("Labels") or {}
        if not labels.owner_is_dead(own):
            continue
        name = (row.get("Names") or [row["Id"][:12]])[0].lstrip("/")
        if own.get(labels.KEEP) and not (kept_too and kept_too(own)):
            if row.get("State") == "running":
                _try(api.kill, row["Id"])
        elif _try(api.remove_container, row["Id"], force=True, v=True):
            removed.append(f"container {name}")
    for kind, rows, key, remove in (
        ("network", api.networks(filters=wanted), "Id", api.remove_network),
        ("volume", api.volumes(filters=wanted).get("Volumes") or [], "Name", api.remove_volume),
    ):
        dead = [row for row in rows if labels.owner_is_dead(row.get("Labels") or {})]
        removed += [f"{kind} {row['Name'][:40]}" for row in dead if _try(remove, row[key])]
    return removed


def _try(action: Callable[..., Any], *arguments: Any, **options: Any) -> bool:
    """Do it; somebody else may have done it first, or a kept container may still hold it."""
    from docker.errors import APIError  # noqa: PLC0415

    try:
        action(*arguments, **options)
    except APIError:
        return False
    return True
