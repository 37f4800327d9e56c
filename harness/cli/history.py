"""``harness logs``, ``harness runs`` and ``harness clean``."""

from __future__ import annotations

import json
import shutil
import sys
import time
from typing import TYPE_CHECKING, Any

from harness.config import load_settings
from harness.errors import EngineUnavailableError, NothingToDoError, RunNotFoundError
from harness.execution.logs import follow_log
from harness.execution.workspace import RunFolder, Workspace
from harness.report import words
from harness.storage.files import storage_errors

if TYPE_CHECKING:
    import argparse
    from pathlib import Path

__all__ = ["clean", "logs", "runs"]

_POLL_S = 0.2


def _workspace(options: argparse.Namespace) -> Workspace:
    return Workspace(load_settings(None, {"workspace": options.workspace}).workspace)


def logs(options: argparse.Namespace) -> int:
    """Print logs."""
    folder = _workspace(options).find_run(options.run)
    tails: dict[Path, int] = {}
    while True:
        over = not options.follow or folder.read().get("status") != "Executing"
        known = folder.steps_with_logs()
        if over and options.step and options.step not in known:
            raise RunNotFoundError(
                f"run {folder.run_id} has no log of a step {options.step!r} (it has: {', '.join(known) or 'none'})"
            )
        for step in [options.step] if options.step else known:
            prefix = "" if options.step else f"[{step}] "
            for _, _, path in folder.log_files(step):
                for line, end in follow_log(path, tails.get(path, 0), over=over):
                    sys.stdout.write(prefix + _shown(line, options.timestamps) + "\n")
                    tails[path] = end
        sys.stdout.flush()
        if over:
            return 0
        time.sleep(_POLL_S)


def _shown(line: tuple[str, str, str], timestamps: bool) -> str:  # noqa: FBT001
    return f"{line[0]} {line[2]}" if timestamps else line[2]


def runs(options: argparse.Namespace) -> int:
    """List runs, the newest last."""
    records = [{"run_id": folder.run_id, **folder.read()} for folder in _workspace(options).all_runs()]
    if options.json:
        sys.stdout.write(json.dumps(records, indent=2) + "\n")
        return 0
    rows = [("run", "pipeline", "status", "started", "took", "steps"), *map(_row, records)]
    sys.stdout.write(words.table(rows) + "\n" if records else "no run yet\n")
    return 0


def _row(record: dict[str, Any]) -> tuple[str, ...]:
    if not {"pipeline", "status", "started_at", "duration_s", "steps"} <= record.keys():
        return record["run_id"], "", "unreadable", "", "", ""
    took = words.duration(record["duration_s"])
    return record["run_id"], record["pipeline"], record["status"], record["started_at"], took, _counts(record)


def _counts(record: dict[str, Any]) -> str:
    counts: dict[str, int] = {}
    for step in record["steps"]:
        counts[step["status"]] = counts.get(step["status"], 0) + 1
    return ", ".join(f"{count} {status}" for status, count in counts.items())


def clean(options: argparse.Namespace) -> int:
    """Remove what is left of runs."""
    workspace = _workspace(options)
    removed = _clean_engine(workspace, old_images=options.images)
    if options.runs:
        for folder in workspace.all_runs():
            if folder.read().get("status") == "Executing" and _is_alive(folder):
                continue
            with storage_errors(f"removing the folder of run {folder.run_id}"):
                shutil.rmtree(folder.path)
            removed.append(f"run {folder.run_id}")
    if not removed:
        raise NothingToDoError("nothing to clean")
    sys.stdout.write("".join(f"removed {what}\n" for what in removed))
    return 0


def _clean_engine(workspace: Workspace, *, old_images: bool) -> list[str]:
    from harness.engine import labels  # noqa: PLC0415
    from harness.engine.connection import connect  # noqa: PLC0415
    from harness.engine.images.standins import remove_superseded  # noqa: PLC0415
    from harness.engine.sweep import sweep  # noqa: PLC0415

    try:
        client = connect()
    except EngineUnavailableError as error:
        sys.stderr.write(f"harness: the engine is left out: {error.message}\n")
        return []
    try:
        removed = sweep(client, kept_too=lambda own: own.get(labels.WORKSPACE) == str(workspace.root))
        return [*removed, *remove_superseded(client)] if old_images else removed
    finally:
        client.close()


def _is_alive(folder: RunFolder) -> bool:
    """Whether a run that says it goes on has written anything lately."""
    newest = max((path.stat().st_mtime for path in (folder.record, folder.events) if path.exists()), default=0)
    return time.time() - newest < 24 * 3600
