"""Whose is a container? Its labels say: run, host, process, boot."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["KEEP", "RUN", "STEP", "owner_is_dead", "owner_labels"]

_ROOT = "sagemaker-harness"
RUN = f"{_ROOT}.run"
STEP = f"{_ROOT}.step"
ATTEMPT = f"{_ROOT}.attempt"
KEEP = f"{_ROOT}.keep"
WORKSPACE = f"{_ROOT}.workspace"
_HOST, _PID, _BOOT, _BORN = f"{_ROOT}.host", f"{_ROOT}.pid", f"{_ROOT}.boot", f"{_ROOT}.born"


def owner_labels() -> dict[str, str]:
    """Describe this process so that another one can tell later whether it is still alive."""
    pid = os.getpid()
    return {_HOST: socket.gethostname(), _PID: str(pid), _BOOT: _boot_id(), _BORN: _birth(pid)}


def owner_is_dead(labels: Mapping[str, str]) -> bool:
    """Tell whether the process that made something is certainly gone.

    Another host's processes cannot be judged from here: they count as alive.
    """
    if labels.get(_HOST) != socket.gethostname():
        return False
    if labels.get(_BOOT, "") != _boot_id():
        return True
    try:
        pid = int(labels.get(_PID, ""))
    except ValueError:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    born = labels.get(_BORN, "")
    return bool(born) and born != _birth(pid)  # the number is in use again, by another process


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _birth(pid: int) -> str:
    """When a process began, in ticks since the boot; empty where the system does not tell."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rsplit(")", 1)[1].split()[19]
    except (OSError, IndexError):
        return ""
