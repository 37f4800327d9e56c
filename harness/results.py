"""What does a user get back of a run? Frozen models, the same in Python, in ``run.json`` and in ``--json``."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["ImageUse", "RunResult", "RunStatus", "StepResult", "StepStatus"]

StepStatus = Literal["Succeeded", "Failed", "Stopped", "NotEmulated", "NotStarted"]
RunStatus = Literal["Succeeded", "Failed", "Inconclusive", "Interrupted"]

_INFRASTRUCTURE = "infrastructure"


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class ImageUse(_Frozen):
    """Which image a step really ran in."""

    uri: str
    """What the definition names."""
    reference: str
    """What the engine was asked to start: a tag or an id."""
    source: Literal["override", "engine", "pulled", "stand-in"]
    detail: str = ""
    """For a stand-in its name, else what is worth knowing."""
    image_id: str = ""
    digest: str = ""
    """The registry's digest, where the engine knows one."""
    differences: tuple[str, ...] = ()
    """Stand-ins: how they differ from the image that they stand for."""


class HostUse(_Frozen):
    """What one container of a step did and used."""

    host: str
    exit_code: int | None = None
    oom_killed: bool = False
    peak_memory_bytes: int | None = None
    cpu_s: float | None = None
    network_received_bytes: int | None = None
    network_sent_bytes: int | None = None
    log: str = ""
    """The log file, relative to the run's folder."""


class StepResult(_Frozen):
    """How one step ended."""

    name: str
    type: str
    status: StepStatus
    exit_code: int | None = None
    """The container's; of several hosts the deciding one's."""
    failure_reason: str | None = None
    """In the service's words."""
    cause: str | None = None
    """In plain words, where something is known beyond the reason."""
    cause_kind: (
        Literal["algorithm", "infrastructure", "definition", "not emulated", "upstream", "interrupted"] | None
    ) = None
    image: str | None = None
    """The URI of the definition."""
    image_source: str | None = None
    image_used: ImageUse | None = None
    attempts: int = 0
    started_at: str | None = None
    duration_s: float = 0.0
    job_name: str | None = None
    outputs: dict[str, str] = {}
    """S3 URIs of what the step published, by name."""
    input_bytes: int = 0
    output_bytes: int = 0
    hosts: tuple[HostUse, ...] = ()
    changed_inputs: tuple[str, ...] = ()
    """Paths inside of the container that the step changed in its own inputs."""
    notes: tuple[str, ...] = ()
    attempt_dir: str | None = None
    """The last attempt's folder, relative to the run's."""
    outcome: str | None = None
    """Condition steps: ``True`` or ``False``."""
    exit_message: str | None = None
    """Processing: the first KiB of ``/opt/ml/output/message``."""


class RunResult(_Frozen):
    """How a whole run ended."""

    run_id: str
    pipeline: str
    status: RunStatus
    exit_code: int
    failure_reason: str | None = None
    run_dir: str
    source: str = ""
    parameters: dict[str, Any] = {}
    started_at: str
    duration_s: float
    steps: tuple[StepResult, ...] = ()

    def is_successful(self) -> bool:
        """Tell whether every step that had to run succeeded."""
        return self.status == "Succeeded"


def exit_code_of(steps: tuple[StepResult, ...], *, interrupted: bool = False) -> int:
    """Find a run's exit code: interrupted 130 > infrastructure 5 > failed 1 > inconclusive 8 > pass 0."""
    if interrupted:
        return 130
    kinds = {step.cause_kind for step in steps if step.status in {"Failed", "Stopped"}}
    if _INFRASTRUCTURE in kinds:
        return 5
    if kinds:
        return 1
    return 8 if any(step.status in {"NotEmulated", "NotStarted"} for step in steps) else 0
