"""Which container engine answers, and how is it asked?

Tried in this order: ``DOCKER_HOST``, the docker context that ``DOCKER_CONTEXT`` names or that is the current one, the
usual socket, podman's sockets.
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.errors import EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

__all__ = ["addresses", "connect"]

_ANSWER_S = 15
_CALL_S = 120


def addresses() -> Iterator[tuple[str, Any]]:
    """List where an engine may be: its address and its TLS configuration."""
    named = os.environ.get("DOCKER_HOST")
    if named:
        yield named, None  # somebody who names an engine wants that one
        return
    context = _context()
    if context:
        yield context
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid() if hasattr(os, 'getuid') else 0}")
    for path in (
        "/var/run/docker.sock",
        f"{runtime}/docker.sock",
        str(Path.home() / ".docker/run/docker.sock"),
        str(Path.home() / ".colima/default/docker.sock"),
        f"{runtime}/podman/podman.sock",
        "/run/podman/podman.sock",
    ):
        if Path(path).is_socket():
            yield f"unix://{path}", None
    if platform.system() == "Windows":
        yield "npipe:////./pipe/docker_engine", None


def _context() -> tuple[str, Any] | None:
    """Read the docker context in use; the default one has no address of its own."""
    from docker.context import ContextAPI  # noqa: PLC0415
    from docker.errors import DockerException  # noqa: PLC0415

    named = os.environ.get("DOCKER_CONTEXT")  # the SDK does not look at it, docker's own command line does
    try:
        current = ContextAPI.get_context(named)
    except (DockerException, OSError, ValueError, KeyError):
        current = None
    if current is None and named:
        raise EngineUnavailableError(f"there is no docker context {named!r}, which DOCKER_CONTEXT names")
    if current is None or current.Name == "default" or not current.Host:
        return None
    return current.Host, current.TLSConfig


def connect() -> docker.DockerClient:
    """Connect to the engine that answers.

    Raises:
        EngineUnavailableError: None does; the text names what was tried.

    """
    import docker  # noqa: PLC0415 – a quarter of a second that `--help` must not pay
    from docker.errors import DockerException  # noqa: PLC0415
    from requests.exceptions import RequestException  # noqa: PLC0415

    tried = []
    for address, tls in addresses():
        try:
            client = (
                docker.from_env(timeout=_ANSWER_S, use_ssh_client=address.startswith("ssh://"))
                if os.environ.get("DOCKER_HOST")
                else docker.DockerClient(
                    base_url=address, tls=tls or False, timeout=_ANSWER_S, use_ssh_client=address.startswith("ssh://")
                )
            )
            client.ping()
        except (DockerException, RequestException, OSError, ValueError) as error:
            tried.append(f"{address}: {_short(error)}")
            continue
        client.api.timeout = _CALL_S
        return client
    what = "; ".join(tried) if tried else "no DOCKER_HOST, no docker context, no docker or podman socket"
    raise EngineUnavailableError(
        f"no Docker engine answers ({what})",
        remedy="start Docker, or let docker/engine.sh bring one up (root on Debian or Ubuntu)",
    )


def _short(error: BaseException) -> str:
    """Find the words at the bottom of a stack of wrapped connection errors."""
    seen = set()
    while id(error) not in seen:
        seen.add(id(error))
        inner = (
            error.__cause__ or error.__context__ or next((a for a in error.args if isinstance(a, BaseException)), None)
        )
        if inner is None:
            break
        error = inner
    return (getattr(error, "strerror", None) or str(error)).splitlines()[0][:200]
