"""How is a failed step explained? In one order: cause, reason, last lines, exit code, image, folder, next command."""

from __future__ import annotations

from typing import Any

from harness.report import words

__all__ = ["explain_step", "headline"]

_LINES = 20


def explain_step(step: dict[str, Any], tail: list[str], *, run_id: str, run_dir: str, workspace: str) -> str:
    """Write the text for one step that did not succeed.

    Args:
        step: A StepResult as JSON.
        tail: The last lines that its containers wrote.
        run_id: For the next command.
        run_dir: For the folder.
        workspace: For the next command.

    """
    lines = [f"── {step['name']} ({step['type']}): {step['status']}"]
    cause, reason = headline(step, tail), step["failure_reason"]
    for title, text in (("Cause", cause), ("Reason", "" if reason == cause else reason)):
        if text:
            first, *rest = str(text).splitlines() or [""]
            lines.append(f"   {title + ':':<11}{first}")
            lines += [f"   {'':<11}{line}" for line in rest]
    if tail:
        lines.append(f"   {'Last lines:':<11}")
        lines += [f"     │ {line}" for line in tail[-_LINES:]]
    rows = []
    if step["exit_code"] is not None:
        rows.append(("Exit code", str(step["exit_code"])))
    if step["image"]:
        rows.append(("Image", f"{step['image']} – {step['image_source']}" if step["image_source"] else step["image"]))
    peak = max((host["peak_memory_bytes"] or 0 for host in step["hosts"]), default=0)
    if peak:
        rows.append(("Memory", f"peak {words.size(peak)}"))
    if step["attempt_dir"]:
        rows.append(("Folder", f"{run_dir}/{step['attempt_dir']}"))
    if step["hosts"]:
        rows.append(("Again", f"sh {run_dir}/{step['attempt_dir']}/{_deciding_host(step)}/run-again.sh"))
        rows.append(("Next", f"harness logs {run_id} {step['name']} --workspace {workspace}"))
    lines += [f"   {title + ':':<11}{text}" for title, text in rows]
    return "\n".join(lines)


def _deciding_host(step: dict[str, Any]) -> str:
    """Name the host whose end was the job's."""
    hosts = step["hosts"]
    return str(next((host for host in hosts if host["exit_code"] == step["exit_code"]), hosts[0])["host"])


def headline(step: dict[str, Any], tail: list[str]) -> str:
    """Say in a few words why a step did not succeed: what is known, else its last exception, else the reason."""
    exception = _last_exception(tail) if step["exit_code"] else ""
    return str(step["cause"] or exception or step["failure_reason"] or "")


def _last_exception(tail: list[str]) -> str:
    """Find the line that ends a Python traceback, the best guess at a cause."""
    inside = False
    found = ""
    for line in tail:
        if line.startswith("Traceback (most recent call last)"):
            inside = True
        elif inside and line and not line[0].isspace():
            found, inside = line, False
    return found
