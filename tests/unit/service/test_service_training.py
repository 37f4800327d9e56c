"""What does a training job's container see, byte for byte, and what happens to what it leaves behind?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from harness.errors import NotEmulatedError, RequestError
from harness.service import training
from harness.service.names import Identity
from harness.service.spec import HostSpec, JobSpec, PlacedObject, Publication, Tree

IDENTITY = Identity("us-east-1", "123456789012", "churn", "abcdefghijkl")
NAME = "pipelines-abcdefghijkl-Train-AAAAAAAAAA"


def channel(name: str, uri: str = "s3://bucket/train/", **more: Any) -> dict[str, Any]:
    source = {"S3DataType": "S3Prefix", "S3Uri": uri, **more.pop("source", {})}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, **more}


def request(**more: Any) -> dict[str, Any]:
    return {
        "AlgorithmSpecification": {"TrainingImage": "image", "TrainingInputMode": "File"},
        "OutputDataConfig": {"S3OutputPath": "s3://bucket/models"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
        **more,
    }


def several(count: int) -> dict[str, Any]:
    return {"InstanceCount": count, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30}


def laid_out(wanted: dict[str, Any], **objects: list[str]) -> JobSpec:
    placed = {
        name: [PlacedObject(uri=f"s3://bucket/{name}/{key}", name=key) for key in keys]
        for name, keys in objects.items()
    }
    return training.layout(wanted, name=NAME, identity=IDENTITY, objects=placed)


def tree(host: HostSpec, path: str) -> Tree:
    return next(found for found in host.trees if found.path == path)


def config(job: JobSpec, name: str, *, host: int = 0) -> str:
    return tree(job.hosts[host], "/opt/ml/input").files[f"config/{name}"]


# /opt/ml/input/config (contract a.3)


def test_five_files_are_always_there() -> None:
    files = tree(laid_out(request()).hosts[0], "/opt/ml/input").files

    assert {name.partition("/")[2] for name in files} == {
        "hyperparameters.json",
        "inputdataconfig.json",
        "init-config.json",
        "metric-definition-regex.json",
        "resourceconfig.json",
    }


def test_hyperparameters_are_strings_in_the_requests_order() -> None:
    wanted = request(HyperParameters={"epochs": 5, "eta": 0.2, "silent": True, "program": '"train.py"', "raw": "x"})

    assert config(laid_out(wanted), "hyperparameters.json") == (
        '{"epochs":"5","eta":"0.2","silent":"true","program":"\\"train.py\\"","raw":"x"}'
    )


def test_no_hyperparameters_are_an_empty_map() -> None:
    assert config(laid_out(request()), "hyperparameters.json") == "{}"


def test_resourceconfig_of_one_host() -> None:
    assert config(laid_out(request()), "resourceconfig.json") == (
        '{"current_host":"algo-1","current_instance_type":"ml.m5.xlarge","current_group_name":"homogeneousCluster",'
        '"hosts":["algo-1"],"instance_groups":[{"instance_group_name":"homogeneousCluster",'
        '"instance_type":"ml.m5.xlarge","hosts":["algo-1"]}],"network_interface_name":"eth0","topology":null}'
    )


def test_every_host_reads_its_own_name_and_all_of_them() -> None:
    job = laid_out(request(ResourceConfig=several(2)))

    read = [json.loads(config(job, "resourceconfig.json", host=index)) for index in (0, 1)]

    assert [entry["current_host"] for entry in read] == ["algo-1", "algo-2"]
    assert all(entry["hosts"] == entry["instance_groups"][0]["hosts"] == ["algo-1", "algo-2"] for entry in read)


def test_inputdataconfig_has_three_members_per_channel() -> None:
    wanted = request(InputDataConfig=[channel("data", source={"S3DataDistributionType": "ShardedByS3Key"})])

    assert config(laid_out(wanted), "inputdataconfig.json") == (
        '{"data":{"TrainingInputMode":"File","S3DistributionType":"ShardedByS3Key","RecordWrapperType":"None"}}'
    )


def test_a_content_type_comes_first_and_only_if_it_is_given() -> None:
    wanted = request(InputDataConfig=[channel("train", ContentType="text/csv"), channel("test")])

    assert config(laid_out(wanted), "inputdataconfig.json") == (
        '{"train":{"ContentType":"text/csv","TrainingInputMode":"File","S3DistributionType":"FullyReplicated",'
        '"RecordWrapperType":"None"},'
        '"test":{"TrainingInputMode":"File","S3DistributionType":"FullyReplicated","RecordWrapperType":"None"}}'
    )


def test_no_channels_are_an_empty_map() -> None:
    assert config(laid_out(request()), "inputdataconfig.json") == "{}"


def test_fast_file_reads_file() -> None:
    wanted = request(InputDataConfig=[channel("train", InputMode="FastFile")])

    assert json.loads(config(laid_out(wanted), "inputdataconfig.json"))["train"]["TrainingInputMode"] == "File"


def test_init_config_as_recorded() -> None:
    wanted = request(
        ResourceConfig=several(2),
        InputDataConfig=[channel("data", "s3://bucket/input", source={"S3DataDistributionType": "ShardedByS3Key"})],
        CheckpointConfig={"S3Uri": "s3://bucket/state"},
    )

    assert config(laid_out(wanted), "init-config.json", host=1) == (
        '{"inputMode":"FILE","channels":{"data":{"s3DataSource":{"s3DataType":"S3_PREFIX","s3Uri":"s3://bucket/input",'
        '"s3DataDistributionType":"SHARDED_BY_S3_KEY","attributeNames":null},"fileSystemDataSource":null,'
        '"compressionType":"NONE","recordWrapper":"NONE","shuffleConfig":null,"inputMode":"FILE","sharded":true}},'
        '"checkpointChannel":{"name":"checkpoints","channel":{"s3DataSource":{"s3DataType":"S3_PREFIX",'
        '"s3Uri":"s3://bucket/state","s3DataDistributionType":null,"attributeNames":null},"fileSystemDataSource":null,'
        '"compressionType":null,"recordWrapper":null,"shuffleConfig":null,"inputMode":"FILE","sharded":false},'
        '"outputPath":"/opt/ml/checkpoints","allowEmpty":true},"hostConfig":{"clusterSize":2,"hostNumber":1},'
        '"enableAdditionalPlatformLoggingForCustomer":false,"jobRunInfo":{"jobRunNumber":1}}'
    )


def test_init_config_without_checkpoints_has_no_checkpoint_channel() -> None:
    read = json.loads(config(laid_out(request()), "init-config.json"))

    assert list(read) == [
        "inputMode", "channels", "hostConfig", "enableAdditionalPlatformLoggingForCustomer", "jobRunInfo",
    ]  # fmt: skip


def test_no_metric_definitions_are_an_empty_list() -> None:
    assert config(laid_out(request()), "metric-definition-regex.json") == "[]"


def test_metric_definitions_are_echoed() -> None:
    algorithm = {"TrainingImage": "image", "MetricDefinitions": [{"Name": "rmse", "Regex": "rmse=(.*)"}]}

    assert config(laid_out(request(AlgorithmSpecification=algorithm)), "metric-definition-regex.json") == (
        '[{"Name":"rmse","Regex":"rmse=(.*)"}]'
    )


def test_checkpointconfig_has_only_the_local_path() -> None:
    wanted = request(CheckpointConfig={"S3Uri": "s3://bucket/state", "LocalPath": "/state/"})

    assert config(laid_out(wanted), "checkpointconfig.json") == '{"LocalPath":"/state"}'


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (
            {"S3OutputPath": "s3://bucket/tb"},
            '{"S3OutputPath":"s3://bucket/tb","LocalPath":"/opt/ml/output/tensorboard/"}',
        ),
        ({"S3OutputPath": "s3://bucket/tb", "LocalPath": "/tb"}, '{"S3OutputPath":"s3://bucket/tb","LocalPath":"/tb"}'),
    ],
)
def test_tensorboardoutputconfig_as_recorded(given: dict[str, str], written: str) -> None:
    assert config(laid_out(request(TensorBoardOutputConfig=given)), "tensorboardoutputconfig.json") == written


# environment (contract a.4)


def test_the_environment_is_the_platforms_own_and_nothing_else() -> None:
    assert laid_out(request()).hosts[0].environment == {
        "TRAINING_JOB_NAME": NAME,
        "TRAINING_JOB_ARN": f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{NAME.lower()}",
        "AWS_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
        "AWS_EC2_METADATA_DISABLED": "true",
        "DMLC_INTERFACE": "eth0",
        "NVIDIA_VISIBLE_DEVICES": "void",
        "SAGEMAKER_METRICS_DIRECTORY": "/opt/ml/output/metrics/sagemaker",
    }


def test_nothing_of_the_callers_environment_reaches_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_DEFAULT_REGION",
        "HTTP_PROXY",
        "CANARY",
    ):
        monkeypatch.setenv(name, "canary-of-the-host")
    monkeypatch.setenv("AWS_REGION", "canary-of-the-host")

    assert "canary" not in laid_out(request(Environment={"A": "b"})).model_dump_json().lower()


def test_the_requests_environment_comes_as_text_and_wins() -> None:
    environment = (
        laid_out(request(Environment={"DEPTH": 5, "DEBUG": True, "AWS_REGION": "eu-west-1"})).hosts[0].environment
    )

    assert (environment["DEPTH"], environment["DEBUG"], environment["AWS_REGION"]) == ("5", "true", "eu-west-1")


# how the program is started (contract a.1)


@pytest.mark.parametrize(
    ("given", "entrypoint", "arguments"),
    [
        ({}, None, ("train",)),
        ({"ContainerEntrypoint": None, "ContainerArguments": None}, None, ("train",)),
        ({"ContainerEntrypoint": [], "ContainerArguments": []}, None, ("train",)),
        ({"ContainerEntrypoint": ["/bin/bash", "-c"]}, ("/bin/bash", "-c"), ()),
        ({"ContainerArguments": ["fit", 5, True]}, None, ("fit", "5", "true")),
        ({"ContainerEntrypoint": ["python3"], "ContainerArguments": ["train.py"]}, ("python3",), ("train.py",)),
    ],
)
def test_train_is_passed_only_when_neither_entrypoint_nor_arguments_are_given(
    given: dict[str, Any], entrypoint: tuple[str, ...] | None, arguments: tuple[str, ...]
) -> None:
    host = laid_out(request(AlgorithmSpecification={"TrainingImage": "image", **given})).hosts[0]

    assert (host.entrypoint, host.arguments) == (entrypoint, arguments)


# /opt/ml (contract a.2)


def test_the_trees_are_mounted_one_by_one_and_never_opt_ml_itself() -> None:
    assert [found.path for found in laid_out(request()).hosts[0].trees] == [
        "/opt/ml/input", "/opt/ml/model", "/opt/ml/output", "/opt/ml/errors",
    ]  # fmt: skip


def test_folders_that_exist_before_the_start() -> None:
    host = laid_out(request(InputDataConfig=[channel("train")]), train=["a.csv"]).hosts[0]

    assert tree(host, "/opt/ml/input").folders == ("config", "data", "data/train")
    assert tree(host, "/opt/ml/model").folders == ()
    assert tree(host, "/opt/ml/output").folders == ("data", "metrics/sagemaker", "profiler")


def test_a_tensorboard_folder_exists_only_if_it_is_configured() -> None:
    host = laid_out(request(TensorBoardOutputConfig={"S3OutputPath": "s3://bucket/tb"})).hosts[0]

    assert "tensorboard" in tree(host, "/opt/ml/output").folders


def test_no_failure_file_is_there_before_the_start() -> None:
    files = [name for found in laid_out(request()).hosts[0].trees for name in found.files]

    assert not [name for name in files if "failure" in name]


def test_model_and_output_are_read_afterwards_and_inputs_are_not() -> None:
    collected = {found.path: found.collected for found in laid_out(request()).hosts[0].trees}

    assert collected == {
        "/opt/ml/input": False, "/opt/ml/model": True, "/opt/ml/output": True, "/opt/ml/errors": False,
    }  # fmt: skip


def test_a_channels_objects_lie_in_its_folder() -> None:
    host = laid_out(request(InputDataConfig=[channel("train")]), train=["a.csv", "sub/b.csv"]).hosts[0]

    (placement,) = tree(host, "/opt/ml/input").placements

    assert placement.folder == "data/train"
    assert [entry.name for entry in placement.objects] == ["a.csv", "sub/b.csv"]


def test_every_host_gets_all_of_a_replicated_channel() -> None:
    job = laid_out(request(ResourceConfig=several(2), InputDataConfig=[channel("train")]), train=["a", "b"])

    assert [len(tree(host, "/opt/ml/input").placements[0].objects) for host in job.hosts] == [2, 2]


def test_a_sharded_channel_is_dealt_out_but_every_manifest_lists_all_of_it() -> None:
    sharded = channel("train", source={"S3DataDistributionType": "ShardedByS3Key"})

    job = laid_out(request(ResourceConfig=several(2), InputDataConfig=[sharded]), train=["a", "b", "c"])

    trees = [tree(host, "/opt/ml/input") for host in job.hosts]
    assert [[entry.name for entry in one.placements[0].objects] for one in trees] == [["a", "c"], ["b"]]
    assert {one.files["data/train-manifest"] for one in trees} == {
        "train/\ns3://bucket/train/a\ns3://bucket/train/b\ns3://bucket/train/c\n",
    }


def test_a_host_without_a_share_still_has_the_channels_folder() -> None:
    sharded = channel("train", source={"S3DataDistributionType": "ShardedByS3Key"})

    job = laid_out(request(ResourceConfig=several(2), InputDataConfig=[sharded]), train=["only"])

    second = tree(job.hosts[1], "/opt/ml/input")
    assert second.placements[0].objects == ()
    assert "data/train" in second.folders


# checkpoints


def test_saved_checkpoints_lie_in_their_folder_which_is_read_afterwards() -> None:
    host = laid_out(request(CheckpointConfig={"S3Uri": "s3://bucket/checkpoints"}), checkpoints=["epoch-1"]).hosts[0]

    found = tree(host, "/opt/ml/checkpoints")

    assert found.collected
    assert [entry.name for entry in found.placements[0].objects] == ["epoch-1"]


def test_the_checkpoints_manifest_of_a_first_run_has_just_the_prefix() -> None:
    host = laid_out(request(CheckpointConfig={"S3Uri": "s3://bucket/state"})).hosts[0]

    assert tree(host, "/opt/ml/input").files["data/checkpoints-manifest"] == "state\n"


def test_without_a_checkpoint_config_there_is_no_trace_of_checkpoints() -> None:
    host = laid_out(request()).hosts[0]

    assert not [found.path for found in host.trees if "checkpoint" in found.path]
    assert not [name for found in host.trees for name in found.files if "checkpoint" in name]


# publications (contract a.8; DECIDED 2)


def published(wanted: dict[str, Any]) -> dict[str, Publication]:
    return {found.name: found for found in laid_out(wanted).publications}


def test_model_and_output_are_packed_below_the_output_path_and_the_jobs_name() -> None:
    found = published(request())

    assert list(found) == ["model", "output"]
    assert found["model"] == Publication(
        path="/opt/ml/model", uri=f"s3://bucket/models/{NAME}/output/model.tar.gz", form="archive", when="stopped too",
        name="model",
    )  # fmt: skip
    assert found["output"] == Publication(
        path="/opt/ml/output/data", uri=f"s3://bucket/models/{NAME}/output/output.tar.gz", form="archive",
        when="stopped too", name="output",
    )  # fmt: skip


def test_compression_type_none_uploads_the_files_one_by_one() -> None:
    found = published(request(OutputDataConfig={"S3OutputPath": "s3://bucket/models/", "CompressionType": "NONE"}))

    assert (found["model"].form, found["model"].uri) == ("files", f"s3://bucket/models/{NAME}/output/model")
    assert (found["output"].form, found["output"].uri) == ("files", f"s3://bucket/models/{NAME}/output/output")


def test_checkpoints_are_published_whatever_the_jobs_end() -> None:
    found = published(request(CheckpointConfig={"S3Uri": "s3://bucket/state", "LocalPath": "/state"}))

    assert found["checkpoints"] == Publication(
        path="/state", uri="s3://bucket/state", form="files", when="always", name="checkpoints"
    )


# the rest of the job


def test_name_arn_and_kind() -> None:
    job = laid_out(request())

    assert (job.kind, job.name) == ("Training", NAME)
    assert job.arn == f"arn:aws:sagemaker:us-east-1:123456789012:training-job/{NAME.lower()}"


def test_the_hosts_of_a_large_job_come_in_lexicographic_order() -> None:
    assert [host.host for host in laid_out(request(ResourceConfig=several(10))).hosts][:3] == [
        "algo-1",
        "algo-10",
        "algo-2",
    ]


@pytest.mark.parametrize(("given", "limit_s"), [({"MaxRuntimeInSeconds": 60}, 60), ({}, 86400), (None, 86400)])
def test_max_runtime_is_a_day_unless_the_request_says_otherwise(given: Any, limit_s: int) -> None:
    assert laid_out(request(StoppingCondition=given)).max_runtime_s == limit_s


@pytest.mark.parametrize(("given", "isolated"), [(True, True), (False, False), (None, False)])
def test_network_isolation(given: Any, *, isolated: bool) -> None:
    assert laid_out(request(EnableNetworkIsolation=given)).isolated is isolated


def test_the_instance_types_limits_reach_every_host() -> None:
    job = training.layout(request(), name=NAME, identity=IDENTITY, objects={}, host_cpus=2)

    assert (job.hosts[0].limits.cpus, job.hosts[0].limits.memory_mib) == (2, 15564)


def test_a_fast_file_channel_is_noted_as_writable_here() -> None:
    (note,) = laid_out(request(InputDataConfig=[channel("train", InputMode="FastFile")])).notes

    assert "'train'" in note
    assert "read-only in FastFile mode on the service" in note


def test_a_metric_whose_regex_python_does_not_know_is_noted() -> None:
    algorithm = {"TrainingImage": "image", "MetricDefinitions": [{"Name": "rmse", "Regex": "(?<rmse>x"}]}

    (note,) = laid_out(request(AlgorithmSpecification=algorithm)).notes

    assert "'rmse' is not read" in note


# what is refused


def test_the_jobs_mode_holds_for_channels_without_one_of_their_own() -> None:
    wanted = request(
        AlgorithmSpecification={"TrainingImage": "image", "TrainingInputMode": "FastFile"},
        InputDataConfig=[channel("a"), channel("b", InputMode="File")],
    )

    assert [found.mode for found in training.channels(wanted)] == ["FastFile", "File"]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (channel("x", InputMode="Pipe"), "channel 'x' is read in Pipe mode"),
        (channel("x", source={"S3DataType": "ManifestFile"}), "channel 'x' is a ManifestFile"),
        (channel("x", source={"S3DataType": "AugmentedManifestFile"}), "channel 'x' is a AugmentedManifestFile"),
        (
            {"ChannelName": "x", "DataSource": {"FileSystemDataSource": {"FileSystemId": "fs-1"}}},
            "channel 'x' reads from a file system",
        ),
    ],
)
def test_channels_that_are_not_emulated_say_so(given: dict[str, Any], what: str) -> None:
    with pytest.raises(NotEmulatedError, match=what):
        training.channels(request(InputDataConfig=[given]))


def test_pipe_mode_of_the_whole_job_is_not_emulated() -> None:
    wanted = request(AlgorithmSpecification={"TrainingInputMode": "Pipe"}, InputDataConfig=[channel("x")])

    with pytest.raises(NotEmulatedError, match="Pipe mode"):
        training.channels(wanted)


def test_two_channels_of_one_name_are_refused() -> None:
    with pytest.raises(RequestError, match="channel name 'train' is not unique"):
        training.channels(request(InputDataConfig=[channel("train"), channel("test"), channel("train")]))


@pytest.mark.parametrize("name", ["", "..", ".", "../../etc", "a/b", "a b", "x" * 65])
def test_a_channel_name_that_the_service_does_not_allow_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="is no channel name"):
        training.channels(request(InputDataConfig=[channel(name)]))


def test_heterogeneous_clusters_are_not_emulated() -> None:
    with pytest.raises(NotEmulatedError, match="InstanceGroups"):
        laid_out(request(ResourceConfig={"InstanceGroups": [{"InstanceGroupName": "a"}]}))
