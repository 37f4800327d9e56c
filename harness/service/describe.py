"""What would Describe*Job say of a job? Later steps' property references are read out of it (contract f.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.service.training import results_prefix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.service.outcome import JobEnd
    from harness.service.spec import JobSpec

__all__ = ["describe"]

_NOT_DESCRIBED = {"Tags", "ProcessingJobName", "TrainingJobName"}


def describe(
    request: Mapping[str, Any],
    job: JobSpec,
    end: JobEnd,
    *,
    started_at: str,
    finished_at: str,
    duration_s: float,
    metrics: Sequence[Mapping[str, object]] = (),
    exit_message: str = "",
) -> dict[str, Any]:
    """Describe a finished job: the request's members and what the service adds.

    ``ModelArtifacts.S3ModelArtifacts`` is there even when the model folder was empty, as on the service (contract a.8).
    Times are ISO 8601 texts.
    """
    common = {
        **{key: value for key, value in request.items() if key not in _NOT_DESCRIBED},
        f"{job.kind}JobName": job.name,
        f"{job.kind}JobArn": job.arn,
        f"{job.kind}JobStatus": end.status,
        "CreationTime": started_at,
        f"{job.kind}StartTime": started_at,
        f"{job.kind}EndTime": finished_at,
        "LastModifiedTime": finished_at,
    }
    if end.failure_reason:
        common["FailureReason"] = end.failure_reason
    if job.kind == "Processing":
        return {**common, "ExitMessage": exit_message} if exit_message else common
    output = request["OutputDataConfig"]
    packed = (output.get("CompressionType") or "GZIP") != "NONE"
    return {
        **common,
        "SecondaryStatus": end.secondary,
        "ModelArtifacts": {
            "S3ModelArtifacts": f"{results_prefix(request, job.name)}/{'model.tar.gz' if packed else 'model/'}",
        },
        "FinalMetricDataList": [{**metric, "Timestamp": finished_at} for metric in metrics],
        "TrainingTimeInSeconds": round(duration_s),
        "BillableTimeInSeconds": round(duration_s),
    }
