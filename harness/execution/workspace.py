"""Where does everything lie that runs make and read?

::

    <workspace>/
      s3/<bucket>/<key>      the buckets
      imports.json           what --input brought in, to copy only what changed
      tmp/                   what is not finished
      runs/<run id>/         run.json, events.jsonl, definition.json, owner.json
        steps/<step>/<attempt>/   request.json, describe.json
          <host>/                 container.json, run-again.sh, log.txt, and the mounted trees
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from harness.engine.labels import owner_is_dead
from harness.errors import RunNotFoundError, StorageError
from harness.storage import files
from harness.storage.bucket import BucketStore

__all__ = ["RunFolder", "Workspace"]

LAST = "last"


class RunFolder:
    """One run's folder."""

    def __init__(self, path: Path) -> None:
        """Name it; nothing is made."""
        self.path = path
        self.record = path / "run.json"
        self.events = path / "events.jsonl"
        self.owner = path / "owner.json"
        """Which process runs it."""

    @property
    def run_id(self) -> str:
        """Give the run's id, which is the folder's name."""
        return self.path.name

    def attempt(self, step: str, number: int) -> Path:
        """Name an attempt's folder."""
        return self.path / "steps" / step / str(number)

    def read(self) -> dict[str, Any]:
        """Read ``run.json``; empty where it is missing or broken.

        A run whose process was killed could not write its end: it reads as interrupted.
        """
        record = _read_json(self.record)
        if record.get("status") == "Executing" and owner_is_dead(_read_json(self.owner)):
            record["status"] = "Interrupted"
        return record

    def log_files(self, step: str) -> list[tuple[str, str, Path]]:
        """List a step's logs: attempt, host, file."""
        home = self.path / "steps" / step
        found = [(path.parent.parent.name, path.parent.name, path) for path in home.glob("*/*/log.txt")]
        return sorted(found, key=lambda entry: (int(entry[0]), entry[1]))

    def steps_with_logs(self) -> list[str]:
        """List the steps that have logs, oldest first."""
        home = self.path / "steps"
        if not home.is_dir():
            return []
        folders = [folder for folder in home.iterdir() if any(folder.glob("*/*/log.txt"))]
        return [folder.name for folder in sorted(folders, key=lambda folder: folder.stat().st_ctime_ns)]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


class Workspace:
    """A folder with buckets and runs."""

    def __init__(self, root: Path) -> None:
        """Name it; `make` makes it."""
        self.root = Path(os.path.abspath(root))  # noqa: PTH100 – links stay as the caller wrote them
        self.runs = self.root / "runs"
        self.scratch = self.root / "tmp"
        self.imports = self.root / "imports.json"
        self.store = BucketStore(self.root / "s3", self.scratch)

    def make(self) -> None:
        """Make the folders.

        Raises:
            StorageError: They cannot be made.

        """
        with files.storage_errors(f"making the workspace {self.root}"):
            for folder in (self.store.root, self.runs, self.scratch):
                files.make_folders(folder)
            ignore = self.root / ".gitignore"
            if not ignore.exists():
                files.write_text(ignore, "*\n")

    def new_run(self, run_id: str) -> RunFolder:
        """Make a run's folder.

        Raises:
            StorageError: It exists, or cannot be made.

        """
        folder = RunFolder(self.runs / run_id)
        with files.storage_errors(f"making the folder of run {run_id}"):
            folder.path.mkdir()
            folder.path.chmod(files.FOLDER_MODE)
        return folder

    def all_runs(self) -> list[RunFolder]:
        """List the runs, oldest first."""
        if not self.runs.is_dir():
            return []
        folders = [RunFolder(path) for path in self.runs.iterdir() if (path / "run.json").is_file()]
        return sorted(folders, key=lambda folder: (str(folder.read().get("started_at", "")), folder.run_id))

    def find_run(self, name: str) -> RunFolder:
        """Find a run by its id, the beginning of its id, ``last``, or the path of its folder.

        Raises:
            RunNotFoundError: There is none, or several begin so.

        """
        path = Path(name)
        if os.sep in name and (path / "run.json").is_file():
            return RunFolder(path)
        runs = self.all_runs()
        if name == LAST and runs:
            return runs[-1]
        found = [run for run in runs if run.run_id == name] or [run for run in runs if run.run_id.startswith(name)]
        if len(found) == 1:
            return found[0]
        if found:
            names = ", ".join(run.run_id for run in found)
            raise RunNotFoundError(f"several runs of {self.root} begin with {name!r}: {names}")
        hint = f"the newest is {runs[-1].run_id}" if runs else "there is no run yet"
        raise RunNotFoundError(
            f"no run {name!r} in {self.root} ({hint})", remedy=f"harness runs --workspace {self.root}"
        )

    def check_room(self) -> None:
        """See whether something can be written at all.

        Raises:
            StorageError: It cannot.

        """
        if not os.access(self.root, os.W_OK):
            raise StorageError(f"the workspace {self.root} is not writable", remedy="choose another with --workspace")
