"""How does an engine get lost without harm to anybody else? By a socket in front of it that can be taken away."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Proxy"]

_ENGINE = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock")


class Proxy:
    """Another socket of the same engine."""

    def __init__(self, path: Path) -> None:
        """Listen."""
        self.path = path
        self.address = f"unix://{path}"
        self._connections: list[socket.socket] = []
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(str(path))
        self._server.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near = self._server.accept()[0]
                far = _connect()
            except OSError:
                return
            self._connections += [near, far]
            for pair in ((near, far), (far, near)):
                threading.Thread(target=self._pump, args=pair, daemon=True).start()

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def lose(self) -> None:
        """Cut every connection and take the socket away, as when the engine dies."""
        self.path.unlink(missing_ok=True)
        for one in [self._server, *self._connections]:
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
            one.close()


def _connect() -> socket.socket:
    if _ENGINE.startswith("unix://"):
        found = socket.socket(socket.AF_UNIX)
        found.connect(_ENGINE.removeprefix("unix://"))
        return found
    host, _, port = _ENGINE.removeprefix("tcp://").partition(":")
    return socket.create_connection((host, int(port)))
