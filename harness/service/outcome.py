"""How did a job end, in the service's words?

Container contract a.9, b.1, b.7 and the part DECIDED (4, 5, 6). Pure: what the containers left comes in as values.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Literal

from harness.service.spec import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

__all__ = ["HostEnd", "JobEnd", "Usage", "failure_reason", "final_metrics", "judge", "metric_pattern", "step_reason"]

MAX_REASON = 1024
MAX_MESSAGE_BYTES = 1024


class Usage(Frozen):
    """What a container used; None where nothing could be measured before it was gone."""

    peak_memory_bytes: int | None = None
    cpu_s: float | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None


class HostEnd(Frozen):
    """How one container ended."""

    host: str
    exit_code: int
    oom_killed: bool = False
    """The engine saw the kernel kill a process of the container for memory, not necessarily the first one."""
    start_error: str = ""
    """Why the program could not be started at all, in the engine's words."""
    started_at: str = ""
    finished_at: str = ""
    usage: Usage = Usage()


class JobEnd(Frozen):
    """The end of a job."""

    status: Literal["Completed", "Failed", "Stopped"]
    exit_code: int | None
    """The deciding container's."""
    failure_reason: str = ""
    """The job's FailureReason; a step's has ``ClientError: `` in front."""
    secondary: str = ""
    """Training: the last SecondaryStatus."""
    causes: tuple[str, ...] = ()
    """The likely causes in plain words, most telling first; not part of what the service says."""


def failure_reason(text: str, exit_code: int) -> str:
    """Word a failed container: ``AlgorithmError: <text>, exit code: N``, at most 1,024 characters in all.

    The failure file's text is cut to make room for the exit code (DECIDED 5).
    """
    head, tail = "AlgorithmError: ", f", exit code: {exit_code}"
    return f"{head}{text[: MAX_REASON - len(head) - len(tail)]}{tail}"


def step_reason(job_reason: str) -> str:
    """Word a failed job as its pipeline step does (contract f.4, captured)."""
    return f"ClientError: {job_reason}" if job_reason else ""


def judge(
    kind: str,
    ends: Sequence[HostEnd],
    *,
    failure_texts: Mapping[str, str],
    stopped: bool = False,
    killed_by_us: Iterable[str] = (),
    memory_mib: int | None = None,
) -> JobEnd:
    """Decide how a job ended.

    Args:
        kind: Training or Processing.
        ends: Every host's end.
        failure_texts: What each host wrote to ``/opt/ml/output/failure``; for Processing it is not part of the reason.
        stopped: MaxRuntime was reached; the job is Stopped then, whatever the containers said (contract a.9).
        killed_by_us: Hosts that were ended because a peer had failed: they do not decide.
        memory_mib: The containers' memory limit, for the cause.

    """
    innocent = set(killed_by_us)
    deciding = [end for end in ends if end.host not in innocent] or list(ends)
    bad = next((end for end in deciding if end.exit_code != 0), None)
    causes = tuple(dict.fromkeys(cause for end in deciding for cause in _causes(end, memory_mib, stopped=stopped)))
    if stopped:
        return JobEnd(
            status="Stopped",
            exit_code=(bad or deciding[0]).exit_code,
            secondary="MaxRuntimeExceeded",
            causes=("stopped: MaxRuntimeInSeconds was reached (MaxRuntimeExceeded)", *causes),
        )
    if bad is None:
        return JobEnd(status="Completed", exit_code=0, secondary="Completed", causes=causes)
    text = failure_texts.get(bad.host, "") if kind == "Training" else ""
    return JobEnd(
        status="Failed",
        exit_code=bad.exit_code,
        secondary="Failed",
        failure_reason=failure_reason(text, bad.exit_code),
        causes=causes,
    )


def _causes(end: HostEnd, memory_mib: int | None, *, stopped: bool) -> list[str]:
    limit = f" (limit {memory_mib} MiB)" if memory_mib else ""
    if end.start_error:
        return [f"the program could not be started: {end.start_error}"]
    if end.oom_killed and end.exit_code == 137:  # noqa: PLR2004 – 128 + SIGKILL
        return [f"out of memory: the kernel killed the container{limit}"]
    if end.oom_killed:
        return [f"out of memory: the kernel killed a process inside of the container{limit}"]
    if end.exit_code == 137 and not stopped:  # noqa: PLR2004
        return ["killed by SIGKILL from outside of the container: by hand, or by the host when it ran out of memory"]
    return []


def final_metrics(definitions: Sequence[Mapping[str, str]], lines: Iterable[str]) -> list[dict[str, object]]:
    """Apply MetricDefinitions to log lines: the last value of each metric (contract a.8, documented).

    Control characters reach the regular expressions as ``#`` and three octal digits – a TAB is ``#011`` –, which the
    expressions of AWS's own XGBoost rely on.

    Returns:
        ``[{"MetricName": …, "Value": …}]`` in the order of the definitions, without metrics that never matched.

    """
    patterns = [(str(entry["Name"]), metric_pattern(str(entry["Regex"]))) for entry in definitions]
    compiled = [(name, pattern) for name, pattern in patterns if pattern]
    last: dict[str, float] = {}
    for line in lines:
        escaped = escape_control(line)
        for name, pattern in compiled:
            for found in pattern.finditer(escaped):
                value = _number(found[1] if pattern.groups else found[0])
                if value is not None:
                    last[name] = value
    return [{"MetricName": name, "Value": last[name]} for name, _ in compiled if name in last]


def _number(text: str | None) -> float | None:
    """Read a metric's value; None for what is no number to CloudWatch either, NaN and infinities among it."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and "_" not in (text or "") else None


def metric_pattern(text: str) -> re.Pattern[str] | None:
    """Compile a metric's Regex; None where Python's dialect does not know it (the service's is Java's)."""
    try:
        return re.compile(text)
    except re.error:
        return None


def escape_control(line: str) -> str:
    """Write control characters as the service's logs do: ``#`` and three octal digits (contract a.8, captured)."""
    if line.isprintable():
        return line
    return "".join(f"#{ord(c):03o}" if ord(c) < ord(" ") or c == "\x7f" else c for c in line)
