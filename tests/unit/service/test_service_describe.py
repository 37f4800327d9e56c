"""What would Describe*Job say of a job that has ended?"""

from __future__ import annotations

from typing import Any

import pytest

from harness.service.describe import describe
from harness.service.outcome import JobEnd
from harness.service.spec import JobSpec

STARTED, FINISHED = "2026-01-31T12:00:00.000Z", "2026-01-31T12:01:30.400Z"
COMPLETED = JobEnd(status="Completed", exit_code=0, secondary="Completed")
FAILED = JobEnd(
    status="Failed", exit_code=1, failure_reason="AlgorithmError: , exit code: 1", secondary="Failed",
)  # fmt: skip
TRAINING = JobSpec(kind="Training", name="job-1", arn="arn:job-1", hosts=(), max_runtime_s=60)
PROCESSING = JobSpec(kind="Processing", name="job-1", arn="arn:job-1", hosts=(), max_runtime_s=60)


def training_request(**more: Any) -> dict[str, Any]:
    return {"OutputDataConfig": {"S3OutputPath": "s3://b/out"}, "HyperParameters": {"depth": "5"}, **more}


def described(request: dict[str, Any], job: JobSpec, end: JobEnd = COMPLETED, **more: Any) -> dict[str, Any]:
    return describe(request, job, end, started_at=STARTED, finished_at=FINISHED, duration_s=90.4, **more)


@pytest.mark.parametrize(("kind", "job"), [("Training", TRAINING), ("Processing", PROCESSING)])
def test_name_arn_status_and_times_have_the_kind_in_front(kind: str, job: JobSpec) -> None:
    said = described(training_request(), job)

    assert said[f"{kind}JobName"] == "job-1"
    assert said[f"{kind}JobArn"] == "arn:job-1"
    assert said[f"{kind}JobStatus"] == "Completed"
    assert said["CreationTime"] == said[f"{kind}StartTime"] == STARTED
    assert said["LastModifiedTime"] == said[f"{kind}EndTime"] == FINISHED


def test_the_requests_members_are_described_but_not_its_tags() -> None:
    said = described({"RoleArn": "role", "Tags": [{"Key": "a", "Value": "b"}], "ProcessingJobName": "mine"}, PROCESSING)

    assert said["RoleArn"] == "role"
    assert "Tags" not in said
    assert said["ProcessingJobName"] == "job-1"


def test_the_request_itself_is_left_as_it_is() -> None:
    request = {"RoleArn": "role", "Tags": []}

    described(request, PROCESSING)

    assert request == {"RoleArn": "role", "Tags": []}


def test_a_failed_job_has_its_own_reason_without_the_steps_prefix() -> None:
    said = described(training_request(), TRAINING, FAILED)

    assert said["FailureReason"] == "AlgorithmError: , exit code: 1"
    assert said["SecondaryStatus"] == "Failed"


def test_a_job_that_did_not_fail_has_no_reason() -> None:
    assert "FailureReason" not in described(training_request(), TRAINING)


def test_the_model_is_named_below_the_output_path_and_the_jobs_name() -> None:
    said = described(training_request(), TRAINING)

    assert said["ModelArtifacts"] == {"S3ModelArtifacts": "s3://b/out/job-1/output/model.tar.gz"}


def test_an_output_path_that_ends_with_a_slash_does_not_give_two() -> None:
    said = described({"OutputDataConfig": {"S3OutputPath": "s3://b/out/"}}, TRAINING)

    assert said["ModelArtifacts"] == {"S3ModelArtifacts": "s3://b/out/job-1/output/model.tar.gz"}


@pytest.mark.parametrize("compression", ["GZIP", None])
def test_the_model_is_packed_unless_the_request_says_none(compression: str | None) -> None:
    request = {"OutputDataConfig": {"S3OutputPath": "s3://b/out", "CompressionType": compression}}

    assert described(request, TRAINING)["ModelArtifacts"]["S3ModelArtifacts"].endswith("/output/model.tar.gz")


def test_an_unpacked_model_is_a_prefix() -> None:
    request = {"OutputDataConfig": {"S3OutputPath": "s3://b/out", "CompressionType": "NONE"}}

    assert described(request, TRAINING)["ModelArtifacts"] == {"S3ModelArtifacts": "s3://b/out/job-1/output/model/"}


def test_metrics_get_the_time_of_the_end() -> None:
    said = described(training_request(), TRAINING, metrics=[{"MetricName": "rmse", "Value": 1.5}])

    assert said["FinalMetricDataList"] == [{"MetricName": "rmse", "Value": 1.5, "Timestamp": FINISHED}]


def test_durations_are_whole_seconds() -> None:
    said = described(training_request(), TRAINING)

    assert said["TrainingTimeInSeconds"] == said["BillableTimeInSeconds"] == 90


def test_a_processing_job_has_nothing_of_a_training_job() -> None:
    said = described({}, PROCESSING)

    assert not {"ModelArtifacts", "SecondaryStatus", "FinalMetricDataList", "TrainingTimeInSeconds"} & set(said)


def test_a_processing_jobs_message_is_its_exit_message() -> None:
    assert described({}, PROCESSING, exit_message="3 rows dropped")["ExitMessage"] == "3 rows dropped"
    assert "ExitMessage" not in described({}, PROCESSING)
