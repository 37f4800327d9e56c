"""What does a processing job's container see, byte for byte, and what happens to what it leaves behind?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import NotEmulatedError, RequestError
from harness.service import processing
from harness.service.names import Identity
from harness.service.spec import HostSpec, JobSpec, PlacedObject, Publication, Tree

IDENTITY = Identity("us-east-1", "123456789012", "churn", "abcdefghijkl")
NAME = "pipelines-abcdefghijkl-Prepare-AAAAAAAAAA"
HOME = "/opt/ml/processing"


def input_(name: str, path: str = "", uri: str = "", **more: Any) -> dict[str, Any]:
    source = {"S3Uri": uri or f"s3://bucket/{name}", "LocalPath": path or f"{HOME}/input/{name}", **more}
    return {"InputName": name, "S3Input": source}


def output(name: str, path: str = "", uri: str = "", **more: Any) -> dict[str, Any]:
    target = {"S3Uri": uri or f"s3://bucket/out/{name}", "LocalPath": path or f"{HOME}/{name}", **more}
    return {"OutputName": name, "S3Output": {"S3UploadMode": "EndOfJob", **target}}


def request(*, outputs: list[dict[str, Any]] | None = None, hosts: int = 1, **more: Any) -> dict[str, Any]:
    return {
        "AppSpecification": {"ImageUri": "image"},
        "ProcessingOutputConfig": {"Outputs": outputs or []},
        "ProcessingResources": {
            "ClusterConfig": {"InstanceCount": hosts, "InstanceType": "ml.m5.large", "VolumeSizeInGB": 30},
        },
        "RoleArn": "arn:aws:iam::123456789012:role/Sage",
        **more,
    }


def objects(*keys: str) -> list[PlacedObject]:
    return [PlacedObject(uri=f"s3://bucket/{key}", name=key) for key in keys]


def laid_out(wanted: dict[str, Any], **placed: list[str]) -> JobSpec:
    by_input = {name: objects(*keys) for name, keys in placed.items()}
    return processing.layout(wanted, name=NAME, identity=IDENTITY, objects=by_input)


def tree(host: HostSpec, path: str) -> Tree:
    return next(found for found in host.trees if found.path == path)


# /opt/ml/config (contract b.3, b.4)


def test_processingjobconfig_as_recorded() -> None:
    wanted = request(
        Environment={"A": "b"},
        AppSpecification={
            "ImageUri": "image", "ContainerEntrypoint": ["/bin/bash"], "ContainerArguments": ["-c", "echo a && ls > x"],
        },
        ProcessingInputs=[input_("code")],
        outputs=[output("output")],
        StoppingCondition={"MaxRuntimeInSeconds": 900},
    )  # fmt: skip

    files = tree(laid_out(wanted, code=["run.py"]).hosts[0], "/opt/ml/config").files

    assert files["processingjobconfig.json"] == (
        f'{{"ProcessingJobArn":"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{NAME.lower()}",'
        f'"ProcessingJobName":"{NAME}","Environment":{{"A":"b"}},'
        '"AppSpecification":{"ImageUri":"image","ContainerEntrypoint":["/bin/bash"],'
        '"ContainerArguments":["-c","echo a \\u0026\\u0026 ls \\u003e x"]},'
        '"ProcessingInputs":[{"InputName":"code","S3Input":{"LocalPath":"/opt/ml/processing/input/code",'
        '"S3Uri":"s3://bucket/code","S3DataDistributionType":"FullyReplicated","S3DataType":"S3Prefix",'
        '"S3InputMode":"File","S3CompressionType":"None","S3DownloadMode":"StartOfJob"}}],'
        '"ProcessingOutputConfig":{"Outputs":[{"OutputName":"output","S3Output":{"LocalPath":"/opt/ml/processing/output",'
        '"S3Uri":"s3://bucket/out/output","S3UploadMode":"EndOfJob"}}],"KmsKeyId":null},'
        '"ProcessingResources":{"ClusterConfig":{"InstanceCount":1,"InstanceType":"ml.m5.large","VolumeSizeInGB":30,'
        '"VolumeKmsKeyId":null}},"RoleArn":"arn:aws:iam::123456789012:role/Sage",'
        '"StoppingCondition":{"MaxRuntimeInSeconds":900}}'
    )


def test_what_is_not_set_is_null_and_max_runtime_is_a_day() -> None:
    config = processing.job_config(request(), name=NAME, job_arn="arn")

    assert config["AppSpecification"] == {"ImageUri": "image", "ContainerEntrypoint": None, "ContainerArguments": None}
    assert config["StoppingCondition"] == {"MaxRuntimeInSeconds": 86400}
    assert config["Environment"] == {}
    assert config["ProcessingInputs"] == []


@pytest.mark.parametrize("newer", ["NetworkConfig", "ExperimentConfig"])
def test_newer_members_are_echoed_only_if_the_request_has_them(newer: str) -> None:
    assert newer not in processing.job_config(request(), name=NAME, job_arn="arn")
    assert processing.job_config(request(**{newer: {"A": "b"}}), name=NAME, job_arn="arn")[newer] == {"A": "b"}


def test_an_echoed_input_keeps_what_the_request_says() -> None:
    wanted = request(ProcessingInputs=[input_("x", S3DataDistributionType="ShardedByS3Key", S3CompressionType="Gzip")])

    (echo,) = processing.job_config(wanted, name=NAME, job_arn="arn")["ProcessingInputs"]

    assert echo["S3Input"]["S3DataDistributionType"] == "ShardedByS3Key"
    assert echo["S3Input"]["S3CompressionType"] == "Gzip"


def test_app_managed_and_dataset_definition_inputs_are_echoed_as_they_are() -> None:
    definition = {"AthenaDatasetDefinition": {"Catalog": "c"}}
    wanted = request(
        ProcessingInputs=[{"InputName": "athena", "AppManaged": True, "DatasetDefinition": definition}],
        outputs=[{"OutputName": "features", "AppManaged": True, "FeatureStoreOutput": {"FeatureGroupName": "g"}}],
    )

    config = processing.job_config(wanted, name=NAME, job_arn="arn")

    assert config["ProcessingInputs"] == [{"InputName": "athena", "AppManaged": True, "DatasetDefinition": definition}]
    assert config["ProcessingOutputConfig"]["Outputs"] == [
        {"OutputName": "features", "AppManaged": True, "FeatureStoreOutput": {"FeatureGroupName": "g"}},
    ]


def test_resourceconfig_has_two_keys_in_44_bytes() -> None:
    text = tree(laid_out(request()).hosts[0], "/opt/ml/config").files["resourceconfig.json"]

    assert text == '{"current_host":"algo-1","hosts":["algo-1"]}'
    assert len(text) == 44


def test_every_host_reads_its_own_name() -> None:
    hosts = laid_out(request(hosts=2)).hosts

    assert [tree(host, "/opt/ml/config").files["resourceconfig.json"] for host in hosts] == [
        '{"current_host":"algo-1","hosts":["algo-1","algo-2"]}',
        '{"current_host":"algo-2","hosts":["algo-1","algo-2"]}',
    ]


# environment (contract b.5)


def test_the_environment_has_no_name_of_the_job() -> None:
    assert laid_out(request()).hosts[0].environment == {"AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}


def test_nothing_of_the_callers_environment_reaches_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_REGION",
        "HTTP_PROXY",
        "CANARY",
    ):
        monkeypatch.setenv(name, "canary-of-the-host")

    assert "canary" not in laid_out(request(Environment={"A": "b"})).model_dump_json().lower()


def test_the_requests_environment_comes_as_text_and_wins() -> None:
    environment = laid_out(request(Environment={"N": 5, "F": 0.5, "B": False, "AWS_REGION": "x"})).hosts[0].environment

    assert environment == {"AWS_REGION": "x", "AWS_EC2_METADATA_DISABLED": "true", "N": "5", "F": "0.5", "B": "false"}


# how the program is started (contract b.1)


@pytest.mark.parametrize(
    ("given", "entrypoint", "arguments"),
    [
        ({}, None, None),
        ({"ContainerEntrypoint": None, "ContainerArguments": None}, None, None),
        ({"ContainerEntrypoint": ["python3", "/run.py"]}, ("python3", "/run.py"), ()),
        ({"ContainerArguments": ["--rows", 5, True]}, None, ("--rows", "5", "true")),
        ({"ContainerEntrypoint": ["python3"], "ContainerArguments": ["run.py"]}, ("python3",), ("run.py",)),
    ],
)
def test_entrypoint_and_arguments(
    given: dict[str, Any], entrypoint: tuple[str, ...] | None, arguments: tuple[str, ...] | None
) -> None:
    host = laid_out(request(AppSpecification={"ImageUri": "image", **given})).hosts[0]

    assert (host.entrypoint, host.arguments) == (entrypoint, arguments)


# /opt/ml (contract b.2)


def test_a_job_without_data_has_config_and_output_and_nothing_of_training() -> None:
    assert [found.path for found in laid_out(request()).hosts[0].trees] == ["/opt/ml/config", "/opt/ml/output"]


def test_a_staging_folder_per_output_exists_before_the_start() -> None:
    host = laid_out(request(outputs=[output("train"), output("test")])).hosts[0]

    assert tree(host, "/opt/ml/output").folders == ("data/train", "data/test", "metrics/cloudwatch")
    assert tree(host, "/opt/ml/output").collected


def test_inputs_lie_at_their_paths_and_outputs_are_empty() -> None:
    host = laid_out(request(ProcessingInputs=[input_("raw")], outputs=[output("train")]), raw=["a.csv"]).hosts[0]

    assert tree(host, f"{HOME}/input/raw") == Tree(
        path=f"{HOME}/input/raw",
        placements=tree(host, f"{HOME}/input/raw").placements,
    )
    assert [entry.name for entry in tree(host, f"{HOME}/input/raw").placements[0].objects] == ["a.csv"]
    assert tree(host, f"{HOME}/train") == Tree(path=f"{HOME}/train", collected=True)


def test_sharded_inputs_are_dealt_out_to_the_hosts() -> None:
    wanted = request(hosts=2, ProcessingInputs=[input_("raw", S3DataDistributionType="ShardedByS3Key"), input_("code")])

    hosts = laid_out(wanted, raw=["a", "b", "c"], code=["run.py"]).hosts

    def names(host: HostSpec, path: str) -> list[str]:
        return [entry.name for entry in tree(host, path).placements[0].objects]

    assert [names(host, f"{HOME}/input/raw") for host in hosts] == [["a", "c"], ["b"]]
    assert [names(host, f"{HOME}/input/code") for host in hosts] == [["run.py"], ["run.py"]]


# nested and shared paths


def trees_of(placed: list[tuple[str, list[str]]], outputs: list[str]) -> dict[str, Tree]:
    found = processing.data_trees([(path, objects(*keys)) for path, keys in placed], outputs)
    return {one.path: one for one in found}


def content(found: Tree) -> dict[str, list[str]]:
    return {one.folder: [entry.name for entry in one.objects] for one in found.placements}


def test_an_input_inside_of_another_is_part_of_its_tree() -> None:
    trees = trees_of([("/p/code/dep", ["lib.py"]), ("/p/code", ["run.py"])], [])

    assert list(trees) == ["/p/code"]
    assert content(trees["/p/code"]) == {"": ["run.py"], "dep": ["lib.py"]}


def test_inputs_side_by_side_have_trees_of_their_own() -> None:
    assert list(trees_of([("/p/a", ["1"]), ("/p/ab", ["2"])], [])) == ["/p/a", "/p/ab"]


def test_an_output_is_a_tree_of_its_own_even_inside_of_an_input() -> None:
    trees = trees_of([("/p", ["a.csv"])], ["/p/out"])

    assert {path: one.collected for path, one in trees.items()} == {"/p": False, "/p/out": True}
    assert trees["/p/out"].placements == ()


def test_an_output_inside_of_another_is_a_folder_of_its_tree() -> None:
    trees = trees_of([], ["/p/out/sub/deep", "/p/out"])

    assert list(trees) == ["/p/out"]
    assert trees["/p/out"].folders == ("sub/deep",)


def test_one_path_for_input_and_output_is_edited_in_place() -> None:
    trees = trees_of([("/p/data", ["a.csv"])], ["/p/data"])

    assert list(trees) == ["/p/data"]
    assert trees["/p/data"].collected
    assert content(trees["/p/data"]) == {"": ["a.csv"]}


def test_an_input_inside_of_an_output_counts_as_output_too() -> None:
    trees = trees_of([("/p/out/seed", ["a.csv"])], ["/p/out"])

    assert list(trees) == ["/p/out"]
    assert trees["/p/out"].collected
    assert content(trees["/p/out"]) == {"seed": ["a.csv"]}


def test_an_object_of_an_input_that_falls_into_an_output_below_it_is_not_hidden_by_it() -> None:
    trees = trees_of([("/p", ["a.csv", "out/b.csv", "out/sub/c.csv"])], ["/p/out"])

    assert content(trees["/p"]) == {"": ["a.csv"]}
    assert content(trees["/p/out"]) == {"": ["b.csv", "sub/c.csv"]}


def test_two_inputs_at_one_path_share_a_tree_the_later_one_last() -> None:
    (found,) = processing.data_trees([("/p/a", objects("1")), ("/p/a", objects("2"))], [])

    assert [[entry.name for entry in one.objects] for one in found.placements] == [["1"], ["2"]]


def test_one_path_for_two_outputs_is_one_tree() -> None:
    assert list(trees_of([], ["/p/out", "/p/out"])) == ["/p/out"]


PATHS = st.lists(st.sampled_from(["a", "b", "a-b"]), min_size=1, max_size=3).map(lambda parts: "/p/" + "/".join(parts))
NAMES = st.lists(st.sampled_from(["x", "y"]), min_size=1, max_size=2).map("/".join)


@given(placed=st.lists(st.tuples(PATHS, st.lists(NAMES, unique=True)), max_size=4), outputs=st.lists(PATHS, max_size=3))
def test_whatever_the_nesting_every_object_is_where_the_container_looks_for_it(
    placed: list[tuple[str, list[str]]], outputs: list[str]
) -> None:
    trees = trees_of(placed, outputs)

    def owner(path: str) -> str:
        """Of mounts that nest, the deepest one is what the container sees."""
        return max((root for root in trees if path == root or path.startswith(f"{root}/")), key=len)

    places = [
        (root, f"{root}/{one.folder}/{entry.name}".replace("//", "/"))
        for root, found in trees.items()
        for one in found.placements
        for entry in one.objects
    ]
    assert {place for _, place in places} == {f"{path}/{name}" for path, names in placed for name in names}
    assert [owner(place) for _, place in places] == [root for root, _ in places]
    for path in outputs:
        assert trees[owner(path)].collected
    for path, _ in placed:
        assert owner(path)


# publications


def test_every_output_is_published_file_by_file() -> None:
    (found,) = laid_out(request(outputs=[output("train", uri="s3://bucket/x/train")])).publications

    assert found == Publication(
        path=f"{HOME}/train", uri="s3://bucket/x/train", form="files", when="stopped too", name="train"
    )


def test_continuous_outputs_are_published_whatever_the_end_and_noted() -> None:
    job = laid_out(request(outputs=[output("logs", S3UploadMode="Continuous"), output("train")]))

    assert [found.when for found in job.publications] == ["always", "stopped too"]
    assert job.notes == (
        "output 'logs' is Continuous: uploaded at the end of the job here, while it runs on the service",
    )


def test_app_managed_outputs_are_not_published() -> None:
    managed = {"OutputName": "features", "AppManaged": True, "FeatureStoreOutput": {"FeatureGroupName": "g"}}

    job = laid_out(request(outputs=[managed, output("train")]))

    assert [found.name for found in job.publications] == ["train"]


# the rest of the job


def test_name_arn_and_kind() -> None:
    job = laid_out(request())

    assert (job.kind, job.name) == ("Processing", NAME)
    assert job.arn == f"arn:aws:sagemaker:us-east-1:123456789012:processing-job/{NAME.lower()}"


@pytest.mark.parametrize(("given", "limit_s"), [({"MaxRuntimeInSeconds": 60}, 60), ({}, 86400), (None, 86400)])
def test_max_runtime_is_a_day_unless_the_request_says_otherwise(given: Any, limit_s: int) -> None:
    assert laid_out(request(StoppingCondition=given)).max_runtime_s == limit_s


@pytest.mark.parametrize(
    ("given", "isolated"), [({"EnableNetworkIsolation": True}, True), ({"VpcConfig": {}}, False), (None, False)]
)
def test_network_isolation(given: Any, *, isolated: bool) -> None:
    assert laid_out(request(NetworkConfig=given)).isolated is isolated


def test_the_instance_types_limits_reach_every_host() -> None:
    hosts = laid_out(request(hosts=2)).hosts

    assert [(host.limits.cpus, host.limits.memory_mib) for host in hosts] == [(2, 7782), (2, 7782)]


# what is refused


@pytest.mark.parametrize(
    "path",
    ["", "/", "/opt/ml/input", "/opt/ml/processing2/x", "opt/ml/processing/x", "/opt/ml/processing/../input", "/tmp"],
)
def test_a_local_path_outside_of_opt_ml_processing_is_refused(path: str) -> None:
    wanted_in = request(ProcessingInputs=[{"InputName": "x", "S3Input": {"S3Uri": "s3://b/x", "LocalPath": path}}])
    wanted_out = request(outputs=[{"OutputName": "x", "S3Output": {"S3Uri": "s3://b/x", "LocalPath": path}}])

    with pytest.raises(RequestError, match="of input 'x' does not begin with /opt/ml/processing/"):
        processing.inputs(wanted_in)
    with pytest.raises(RequestError, match="of output 'x' does not begin with /opt/ml/processing/"):
        laid_out(wanted_out)


def test_a_missing_local_path_is_refused() -> None:
    with pytest.raises(RequestError, match="LocalPath '' of input 'x'"):
        processing.inputs(request(ProcessingInputs=[{"InputName": "x", "S3Input": {"S3Uri": "s3://b/x"}}]))


@pytest.mark.parametrize("path", [HOME, f"{HOME}/", f"{HOME}/a/", f"{HOME}//a", f"{HOME}/./a"])
def test_a_local_path_is_read_without_its_needless_slashes(path: str) -> None:
    (found,) = processing.inputs(request(ProcessingInputs=[input_("x", path)]))

    assert found.path in {HOME, f"{HOME}/a"}


@pytest.mark.parametrize(
    ("given", "what"),
    [
        (input_("x", S3InputMode="Pipe"), "input 'x' is read in Pipe mode"),
        (input_("x", S3DataType="ManifestFile"), "input 'x' is a ManifestFile"),
        ({"InputName": "x", "DatasetDefinition": {"LocalPath": f"{HOME}/x"}}, "input 'x' is a DatasetDefinition"),
    ],
)
def test_inputs_that_are_not_emulated_say_so(given: dict[str, Any], what: str) -> None:
    with pytest.raises(NotEmulatedError, match=what):
        processing.inputs(request(ProcessingInputs=[given]))


def test_the_platform_brings_nothing_for_an_app_managed_input() -> None:
    assert processing.inputs(request(ProcessingInputs=[{"InputName": "x", "AppManaged": True}])) == ()


def test_two_inputs_of_one_name_are_refused() -> None:
    with pytest.raises(RequestError, match="input name 'x' is not unique"):
        processing.inputs(request(ProcessingInputs=[input_("x"), input_("y"), input_("x", f"{HOME}/other")]))


def test_two_outputs_of_one_name_are_refused() -> None:
    with pytest.raises(RequestError, match="output name 'x' is not unique"):
        laid_out(request(outputs=[output("x"), output("x", f"{HOME}/other")]))


@pytest.mark.parametrize("name", ["..", "../../x", "a/.."])
def test_an_output_name_that_leads_out_of_its_folder_is_refused(name: str) -> None:
    with pytest.raises(RequestError, match="leads out of its folder"):
        laid_out(request(outputs=[output(name, f"{HOME}/x")]))
