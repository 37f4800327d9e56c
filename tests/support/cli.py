"""How is the command line called as a program, and what may be asked of its answer?"""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["Call", "Cli", "Outcome", "wait_until"]

LIMIT_S = 120
COMMAND = (sys.executable, "-m", "harness")


def wait_until(what: str, found: Callable[[], Any], *, limit_s: float = 60) -> Any:
    """Ask again and again until the answer is true."""
    deadline = time.monotonic() + limit_s
    while time.monotonic() < deadline:
        if answer := found():
            return answer
        time.sleep(0.02)
    raise AssertionError(f"not within {limit_s:.0f} s: {what}")


@dataclass(frozen=True)
class Outcome:
    """One call that has ended."""

    words: tuple[str, ...]
    exit_code: int
    stdout: str
    stderr: str
    wall_s: float
    workspace: Path

    @property
    def document(self) -> dict[str, Any]:
        """Read the one JSON document on standard output."""
        try:
            return json.loads(self.stdout)
        except ValueError as error:
            raise AssertionError(f"standard output is no JSON document ({error})\n{self}") from None

    @property
    def steps(self) -> dict[str, dict[str, Any]]:
        """Give the document's steps by name."""
        return {step["name"]: step for step in self.document["steps"]}

    @property
    def run_dir(self) -> Path:
        """Give the run's folder."""
        return self.workspace / "runs" / self.document["run_id"]

    def stored(self, key: str, bucket: str = "bucket") -> Path:
        """Say where s3://bucket/key lies."""
        return self.workspace / "s3" / bucket / key

    def expect(self, exit_code: int) -> Outcome:
        """Insist on an exit code, and on the absence of a traceback of the harness's own."""
        assert self.exit_code == exit_code, f"expected exit code {exit_code}\n{self}"
        return self

    def __str__(self) -> str:
        """Show the call as a failed assertion wants it."""
        return (
            f"$ {shlex.join(self.words)}\nexit code {self.exit_code} after {self.wall_s:.1f} s\n"
            f"--- stdout\n{self.stdout[-4000:]}\n--- stderr\n{self.stderr[-4000:]}"
        )


class Call:
    """A call that goes on."""

    def __init__(self, words: Sequence[str], workspace: Path, **popen: Any) -> None:
        """Start it in a process group of its own, and read what it says."""
        self.words, self.workspace = tuple(words), workspace
        self._began = time.monotonic()
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        self.process = subprocess.Popen(words, start_new_session=True, **{**options, **popen})
        self._said: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._readers = [
            threading.Thread(target=self._read, args=(name, pipe), daemon=True)
            for name, pipe in (("stdout", self.process.stdout), ("stderr", self.process.stderr))
            if pipe
        ]
        for reader in self._readers:
            reader.start()

    def _read(self, name: str, pipe: IO[bytes]) -> None:
        while data := os.read(pipe.fileno(), 65536):
            self._said[name].append(data)

    @property
    def stdout(self) -> str:
        """Give what it has written to standard output until now."""
        return b"".join(self._said["stdout"]).decode("utf-8", "replace")

    @property
    def stderr(self) -> str:
        """Give what it has written to standard error until now."""
        return b"".join(self._said["stderr"]).decode("utf-8", "replace")

    def says(self, text: str, *, limit_s: float = 60) -> None:
        """Wait until a text shows up on either stream."""

        def found() -> bool:
            if text in self.stdout + self.stderr:
                return True
            if self.process.poll() is not None:
                raise AssertionError(f"ended without saying {text!r}\n{self.wait()}")
            return False

        wait_until(f"{text!r} on the screen of {shlex.join(self.words)}\n{self.stderr[-2000:]}", found, limit_s=limit_s)

    def signal(self, number: int) -> None:
        """Send a signal to the whole process group, as a terminal does."""
        os.killpg(self.process.pid, number)

    def wait(self, limit_s: float = LIMIT_S) -> Outcome:
        """Wait for its end; one that hangs is a failure."""
        try:
            code = self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(
                f"no end within {limit_s:.0f} s: {shlex.join(self.words)}\n{self.stderr[-4000:]}"
            ) from None
        for reader in self._readers:
            reader.join(10)
        wall_s = time.monotonic() - self._began
        return Outcome(self.words, code, self.stdout, self.stderr, wall_s, self.workspace)

    def kill(self) -> None:
        """End it the hard way, with everything that it started on this machine."""
        if self.process.poll() is None:
            self.signal(signal.SIGKILL)
            self.process.wait()


class Cli:
    """The command line, bound to a scratch folder with a workspace in it."""

    def __init__(self, scratch: Path, *, command: Sequence[str] = COMMAND, **popen: Any) -> None:
        """Keep where calls run; ``popen`` goes to every call (``user``, ``env``, …)."""
        self.scratch, self.command, self._popen = scratch, tuple(command), popen
        self.workspace = scratch / "workspace"
        self.calls: list[Call] = []
        self.processes: set[int] = set()
        self._count = 0

    def environment(self, extra: Mapping[str, str] | None = None) -> dict[str, str]:
        """Give the caller's environment without what could decide a test: AWS settings, the harness's variables."""
        kept = {name: text for name, text in os.environ.items() if not name.startswith(("AWS_", "HARNESS_", "PYTEST_"))}
        return {**kept, "PYTHONIOENCODING": "utf-8", "COLUMNS": "200", **(extra or {})}

    def start(self, *words: str, env: Mapping[str, str] | None = None, **popen: Any) -> Call:
        """Start any verb."""
        options = {"cwd": self.scratch, **self._popen, **popen}
        options["env"] = self.environment({**options.get("env", {}), **(env or {})})
        call = Call([*self.command, *words], self.workspace, **options)
        self.calls.append(call)
        self.processes.add(call.process.pid)
        return call

    def call(self, *words: str, limit_s: float = LIMIT_S, **options: Any) -> Outcome:
        """Call any verb and wait for its end."""
        return self.start(*words, **options).wait(limit_s)

    def file(self, definition: Mapping[str, Any] | str) -> Path:
        """Write a definition where the command line finds it."""
        self._count += 1
        path = self.scratch / f"pipeline-{self._count}.json"
        path.write_text(definition if isinstance(definition, str) else json.dumps(definition), encoding="utf-8")
        path.chmod(0o644)
        return path

    def script(self, name: str, text: str) -> Path:
        """Write a script that containers run."""
        path = self.scratch / "code" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def words(
        self,
        definition: Mapping[str, Any] | str | Path,
        *extra: str,
        scripts: Mapping[str, str] | None = None,
        inputs: Mapping[str, Path] | None = None,
        parameters: Mapping[str, str] | None = None,
    ) -> list[str]:
        """Give the words after the verb; scripts become objects ``s3://bucket/code/NAME``."""
        path = self.file(definition) if not hasattr(definition, "exists") else definition
        given = {f"s3://bucket/code/{name}": self.script(name, text) for name, text in (scripts or {}).items()}
        words = [str(path), "--workspace", str(self.workspace)]
        for uri, local in {**given, **(inputs or {})}.items():
            words += ["--input", f"{uri}={local}"]
        for name, text in (parameters or {}).items():
            words += ["-p", f"{name}={text}"]
        return [*words, *extra]

    def start_run(
        self,
        definition: Mapping[str, Any] | str | Path,
        *extra: str,
        env: Mapping[str, str] | None = None,
        popen: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> Call:
        """Start ``harness run … --json``."""
        return self.start("run", *self.words(definition, "--json", *extra, **options), env=env, **(popen or {}))

    def run(
        self, definition: Mapping[str, Any] | str | Path, *extra: str, limit_s: float = LIMIT_S, **options: Any
    ) -> Outcome:
        """Call ``harness run … --json`` and wait for its end."""
        return self.start_run(definition, *extra, **options).wait(limit_s)

    def end(self) -> None:
        """End what a failed test left running."""
        for call in self.calls:
            call.kill()
