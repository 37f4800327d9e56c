"""Does every expression find its value, and say what is missing when there is none?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import pipeline, processing, processing_output

from harness.definition import read
from harness.errors import ExpressionError, StorageError
from harness.execution.scope import RunScope, StepScope
from harness.service.names import Identity
from harness.storage.bucket import BucketStore

if TYPE_CHECKING:
    from pathlib import Path

IDENTITY = Identity("eu-west-1", "111122223333", "Churn", "abcdefghijkl")
OUTPUTS = {"ProcessingOutputConfig": {"Outputs": [{"OutputName": "report", "S3Output": {"S3Uri": "s3://b/out/"}}]}}


@pytest.fixture
def store(tmp_path: Path) -> BucketStore:
    (tmp_path / "tmp").mkdir()
    return BucketStore(tmp_path / "s3", tmp_path / "tmp")


def scope_of(store: BucketStore, *, output: str = "report", **more: Any) -> RunScope:
    files = [{"PropertyFileName": "Metrics", "OutputName": output, "FilePath": "metrics.json"}]
    step = processing("Evaluate", "image", outputs=[processing_output(output, "s3://b/out")], PropertyFiles=files)
    definition, _ = read(json.dumps({**pipeline(step), **more}), source="p")
    return RunScope(
        definition, {"Depth": 5}, IDENTITY, store, started_at="2026-01-31T12:00:00.000Z", now=lambda: "the time"
    )


def put(store: BucketStore, uri: str, text: str) -> None:
    source = store.scratch / "source"
    source.write_text(text)
    store.put(source, uri, writer="test")


# parameters and execution variables


def test_a_parameter_has_its_typed_value(store: BucketStore) -> None:
    assert scope_of(store).parameter("Depth") == 5


def test_a_parameter_without_a_value_is_told(store: BucketStore) -> None:
    with pytest.raises(ExpressionError, match=r"Parameters\.Other has no value"):
        scope_of(store).parameter("Other")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("StartDateTime", "2026-01-31T12:00:00.000Z"),
        ("CurrentDateTime", "the time"),
        ("PipelineName", "Churn"),
        ("PipelineArn", "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn"),
        ("PipelineExecutionId", "abcdefghijkl"),
        ("PipelineExecutionArn", "arn:aws:sagemaker:eu-west-1:111122223333:pipeline/churn/execution/abcdefghijkl"),
    ],
)
def test_execution_variables(store: BucketStore, name: str, value: str) -> None:
    assert scope_of(store).execution(name) == value


@pytest.mark.parametrize("name", ["TrainingJobName", "ProcessingJobName"])
def test_a_jobs_name_exists_in_its_own_arguments_only(store: BucketStore, name: str) -> None:
    scope = scope_of(store)

    with pytest.raises(ExpressionError, match="in a job's own arguments only"):
        scope.execution(name)
    assert StepScope(scope, {name: "job-1"}).execution(name) == "job-1"


def test_a_step_sees_what_the_run_sees(store: BucketStore) -> None:
    step = StepScope(scope_of(store), {"TrainingJobName": "job-1"})

    assert step.execution("PipelineName") == "Churn"
    assert step.parameter("Depth") == 5


def test_the_experiment_config_is_resolved_too(store: BucketStore) -> None:
    config = {"ExperimentName": {"Get": "Execution.PipelineName"}, "TrialName": "t1"}
    scope = scope_of(store, PipelineExperimentConfig=config)

    assert scope.execution("PipelineExperimentConfig.ExperimentName") == "Churn"
    assert scope.execution("PipelineExperimentConfig.TrialName") == "t1"


@pytest.mark.parametrize("config", [None, {"ExperimentName": "e"}])
def test_a_member_that_the_experiment_config_does_not_have_is_told(store: BucketStore, config: Any) -> None:
    with pytest.raises(ExpressionError, match="TrialName"):
        scope_of(store, PipelineExperimentConfig=config).execution("PipelineExperimentConfig.TrialName")


# properties


def test_a_finished_step_has_properties(store: BucketStore) -> None:
    scope = scope_of(store)
    scope.add("Evaluate", {"ProcessingJobName": "job-1"})

    assert scope.properties("Evaluate") == {"ProcessingJobName": "job-1"}


def test_a_step_that_has_not_ended_has_none(store: BucketStore) -> None:
    with pytest.raises(ExpressionError, match="step Evaluate has no properties: it has not ended"):
        scope_of(store).properties("Evaluate")


def test_a_step_that_was_left_out_has_none_and_says_why(store: BucketStore) -> None:
    scope = scope_of(store)
    scope.leave_out("Evaluate", "its branch was not taken")

    with pytest.raises(ExpressionError, match="its branch was not taken"):
        scope.properties("Evaluate")


# property files


def test_a_property_file_is_read_from_its_output(store: BucketStore) -> None:
    scope = scope_of(store)
    scope.add("Evaluate", OUTPUTS)
    put(store, "s3://b/out/metrics.json", '{"rmse": 1.5}')

    assert scope.property_file("Evaluate", "Metrics") == ({"rmse": 1.5}, "s3://b/out/metrics.json")


def test_an_output_may_have_any_name(store: BucketStore) -> None:
    name = "it's [mine].x"
    scope = scope_of(store, output=name)
    scope.add(
        "Evaluate", {"ProcessingOutputConfig": {"Outputs": [{"OutputName": name, "S3Output": {"S3Uri": "s3://b/o"}}]}}
    )
    put(store, "s3://b/o/metrics.json", "1")

    assert scope.property_file("Evaluate", "Metrics")[0] == 1


def test_a_property_file_whose_output_is_missing_is_told(store: BucketStore) -> None:
    scope = scope_of(store)
    scope.add("Evaluate", {"ProcessingOutputConfig": {"Outputs": []}})

    with pytest.raises(ExpressionError, match=r"property file Metrics of step Evaluate: .*report"):
        scope.property_file("Evaluate", "Metrics")


def test_a_property_file_that_was_not_written_is_told_with_its_uri(store: BucketStore) -> None:
    scope = scope_of(store)
    scope.add("Evaluate", OUTPUTS)

    with pytest.raises(ExpressionError, match=r"there is no object s3://b/out/metrics\.json"):
        scope.property_file("Evaluate", "Metrics")


@pytest.mark.parametrize("text", ["", "rmse = 1.5", "[" * 100_000])
def test_what_is_not_json_is_told(store: BucketStore, text: str) -> None:
    scope = scope_of(store)
    scope.add("Evaluate", OUTPUTS)
    put(store, "s3://b/out/metrics.json", text)

    with pytest.raises(ExpressionError, match="not in valid JSON format"):
        scope.property_file("Evaluate", "Metrics")


# JSON objects


def test_any_json_object_of_the_store_can_be_read(store: BucketStore) -> None:
    put(store, "s3://b/x.json", "[1, 2]")

    assert scope_of(store).s3_json("s3://b/x.json") == [1, 2]


@pytest.mark.parametrize("uri", ["s3://b/missing.json", "s3://b/x.json/deeper", "s3://b/folder"])
def test_an_object_that_is_not_there_is_told(store: BucketStore, uri: str) -> None:
    put(store, "s3://b/x.json", "1")
    put(store, "s3://b/folder/y.json", "1")

    with pytest.raises(ExpressionError, match=f"Std:JsonGet: there is no object {uri}"):
        scope_of(store).s3_json(uri)


@pytest.mark.parametrize("uri", ["http://b/x.json", "s3://b/../x.json", "s3://b/a//x.json"])
def test_a_uri_that_can_be_no_object_is_told_as_that(store: BucketStore, uri: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        scope_of(store).s3_json(uri)

    assert uri in caught.value.message
    assert "JSON format" not in caught.value.message


def test_a_disk_that_fails_is_no_mistake_of_the_pipeline(store: BucketStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: str) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(store, "read_json", broken)

    with pytest.raises(StorageError, match="Input/output error"):
        scope_of(store).s3_json("s3://b/x.json")
