"""What did a container use? Read from the kernel while it runs, since nothing is left of that afterwards."""

from __future__ import annotations

import threading
from pathlib import Path

from harness.service.outcome import Usage

__all__ = ["UsageSampler"]

_EVERY_S = 0.1
_CGROUPS = Path("/sys/fs/cgroup")


class _Target:
    """One container's files."""

    def __init__(self, pid: int) -> None:
        groups: dict[str, str] = {}
        for line in Path(f"/proc/{pid}/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            groups |= dict.fromkeys(controllers.split(","), path.lstrip("/"))
        unified = _CGROUPS / groups.get("", "-")
        if (unified / "cpu.stat").exists() and (unified / "memory.current").exists():
            self.memory, self.cpu, self.version = unified / "memory.peak", unified / "cpu.stat", 2
            self.memory_now = unified / "memory.current"
        else:
            home = _CGROUPS / "memory" / groups["memory"]
            self.memory, self.memory_now = home / "memory.max_usage_in_bytes", home / "memory.usage_in_bytes"
            self.cpu, self.version = _CGROUPS / "cpuacct" / groups["cpuacct"] / "cpuacct.usage", 1
        self.network = Path(f"/proc/{pid}/net/dev")
        self.peak = 0
        self.cpu_s = 0.0
        self.received: int | None = None
        self.sent: int | None = None

    def sample(self) -> None:
        """Read once; raises OSError when the container is gone."""
        source = self.memory if self.memory.exists() else self.memory_now
        self.peak = max(self.peak, int(source.read_text(encoding="ascii")))
        text = self.cpu.read_text(encoding="ascii")
        self.cpu_s = int(text) / 1e9 if self.version == 1 else int(text.split("usage_usec", 1)[1].split()[0]) / 1e6
        rows = [line.split() for line in self.network.read_text(encoding="ascii").splitlines() if ":" in line]
        outside = [row for row in rows if row[0] != "lo:"]
        if outside:
            self.received, self.sent = sum(int(row[1]) for row in outside), sum(int(row[9]) for row in outside)

    def usage(self) -> Usage:
        """Give what was read last."""
        return Usage(
            peak_memory_bytes=self.peak or None,
            cpu_s=round(self.cpu_s, 3) if self.cpu_s else None,
            network_received_bytes=self.received,
            network_sent_bytes=self.sent,
        )


class UsageSampler:
    """One thread that reads the kernel's counters of all running containers ten times a second.

    Works where the engine's processes are this machine's own (Linux, no virtual machine between); elsewhere nothing is
    measured and the figures stay None.
    """

    def __init__(self) -> None:
        """Start nothing yet."""
        self._targets: dict[str, _Target] = {}
        self._lock = threading.Lock()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, container: str, pid: int) -> None:
        """Begin with a container whose first process has that id on this machine."""
        try:
            target = _Target(pid)
            target.sample()
        except (OSError, KeyError, ValueError, IndexError):
            return  # already over, or not a process of this machine
        with self._lock:
            self._targets[container] = target
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="usage", daemon=True)
                self._thread.start()

    def finish(self, container: str) -> Usage:
        """Stop watching and give what was seen."""
        with self._lock:
            target = self._targets.pop(container, None)
        return target.usage() if target else Usage()

    def _run(self) -> None:
        while True:
            self._wake.wait(_EVERY_S)
            with self._lock:
                targets = list(self._targets.values())
                if not targets:
                    self._thread = None
                    return
            for target in targets:
                try:
                    target.sample()
                except (OSError, ValueError, IndexError):
                    continue  # gone: what was read before stands
