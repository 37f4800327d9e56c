"""What does a training job's container see? Held against section (a) of the container contract."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from support import definitions as d
from support.images import BAKED_ENVIRONMENT
from support.reports import golden, masked, report, said, shown_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker
    from support.cli import Cli, Outcome
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

HYPERPARAMETERS = {
    "literal": '"hello"',  # the SDK encodes literals, pipeline variables arrive as they are
    "rounds": d.get("Parameters.Rounds"),
    "rate": d.get("Parameters.Rate"),
    "flag": d.get("Parameters.Flag"),
    "text": d.get("Parameters.Text"),
    "joined": {"Std:Join": {"On": "/", "Values": [d.get("Parameters.Text"), d.get("Parameters.Rounds")]}},
}
PARAMETERS = [
    {"Name": "Rounds", "Type": "Integer", "DefaultValue": 5},
    {"Name": "Rate", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "Flag", "Type": "Boolean", "DefaultValue": True},
    {"Name": "Text", "Type": "String", "DefaultValue": "raw"},
]
CHANNELS = [
    d.channel("train", "s3://bucket/data/train", ContentType="text/csv"),
    d.channel("folder", "s3://bucket/folder"),
    d.channel("slash", "s3://bucket/folder/"),
    d.channel("single", "s3://bucket/data/one.csv"),
    d.channel("fast", "s3://bucket/folder/sub/", InputMode="FastFile"),
]


@pytest.fixture(scope="module")
def outcome(module_cli: Callable[[str], Cli], images: ProbeImages) -> Outcome:
    """Run one of every kind, side by side."""
    plain = images.plain
    requests = {
        "CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints", "LocalPath": "/opt/ml/state"},
        "TensorBoardOutputConfig": {"S3OutputPath": "s3://bucket/board"},
    }
    metrics = {"MetricDefinitions": [{"Name": "train:auc", "Regex": r".*#011train-auc:(\S+)"}]}
    full = d.training(
        "Full",
        plain,
        channels=CHANNELS,
        hyperparameters=HYPERPARAMETERS,
        environment={"OVERRIDDEN": "by the request", "NUMBER": d.get("Parameters.Rounds")},
        algorithm=metrics,
        request=requests,
    )
    shards = d.channel("shards", "s3://bucket/folder/", sharded=True)
    steps = [
        full,
        d.training("Bare", plain),
        d.training("TwoHosts", plain, channels=[shards], hosts=2, instance="ml.c5.xlarge"),
        d.training("Workdir", images.workdir),
        d.training("User", images.user, algorithm={"ContainerEntrypoint": ["probe", "report", "-"]}),
        d.training("Isolated", plain, request={"EnableNetworkIsolation": True}),
        d.training("DefaultCheckpoints", plain, request={"CheckpointConfig": {"S3Uri": "s3://bucket/nothing-yet"}}),
    ]
    programs: dict[str, tuple[str, dict[str, list[str]]]] = {
        "NoneOnPlain": (plain, {}),
        "NoneOnEntry": (images.entry, {}),
        "NoneOnCommand": (images.command, {}),
        "ArgumentsOnEntry": (images.entry, {"ContainerArguments": ["a", "b c"]}),
        "EntrypointOnEntry": (images.entry, {"ContainerEntrypoint": ["train", "x"]}),
        "EntrypointOnCommand": (images.command, {"ContainerEntrypoint": ["train"]}),
        "BothOnEntry": (images.entry, {"ContainerEntrypoint": ["train", "x"], "ContainerArguments": ["$HOME", "*"]}),
    }
    steps += [d.training(name, image, algorithm=words) for name, (image, words) in programs.items()]
    return module_cli("run").run(d.pipeline(*steps, parameters=PARAMETERS)).expect(0)


@pytest.fixture(scope="module")
def full(outcome: Outcome) -> dict[str, Any]:
    """Give what the container of the fullest job saw."""
    return report(outcome, "Full")


@pytest.fixture(scope="module")
def bare(outcome: Outcome) -> dict[str, Any]:
    """Give what the container of the emptiest job saw."""
    return report(outcome, "Bare")


# (a.1) how the container is started


@pytest.mark.contract("a.1.1-4")
@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param("NoneOnPlain", ["/usr/local/bin/train"], id="a.1.1-neither-without-ENTRYPOINT"),
        pytest.param("NoneOnEntry", ["/usr/local/bin/probe", "train"], id="a.1.1-neither-with-ENTRYPOINT"),
        pytest.param("NoneOnCommand", ["/usr/local/bin/train"], id="a.1.1-neither-replaces-CMD"),
        pytest.param("EntrypointOnEntry", ["/usr/local/bin/train", "x"], id="a.1.2-entrypoint-replaces-ENTRYPOINT"),
        pytest.param("EntrypointOnCommand", ["/usr/local/bin/train"], id="a.1.2-entrypoint-drops-CMD"),
        pytest.param("ArgumentsOnEntry", ["/usr/local/bin/probe", "a", "b c"], id="a.1.3-arguments-keep-ENTRYPOINT"),
        pytest.param("BothOnEntry", ["/usr/local/bin/train", "x", "$HOME", "*"], id="a.1.4-both"),
    ],
)
def test_the_program_is_the_services_combination_of_image_and_request(
    outcome: Outcome, step: str, words: list[str]
) -> None:
    assert report(outcome, step)["argv"] == words


@pytest.mark.contract("a.1.5")
def test_the_program_is_the_first_process_and_the_only_one(full: dict[str, Any]) -> None:
    assert full["pid"] == 1  # no init of ours: zombies and ignored signals show up here too
    assert full["processes"] == [1]


@pytest.mark.contract("a.1.6")
def test_there_is_no_terminal_and_nothing_to_read(full: dict[str, Any]) -> None:
    assert full["ttys"] == [False, False, False]
    assert full["stdin"] == ""


@pytest.mark.contract("a.1.7")
@pytest.mark.parametrize(
    ("step", "folder"),
    [pytest.param("Full", "/", id="without-WORKDIR"), pytest.param("Workdir", "/srv/work", id="WORKDIR")],
)
def test_the_current_folder_is_the_images(outcome: Outcome, step: str, folder: str) -> None:
    assert report(outcome, step)["cwd"] == folder


@pytest.mark.contract("a.1.8")
def test_the_user_is_root_unless_the_image_says_otherwise(outcome: Outcome, full: dict[str, Any]) -> None:
    assert (full["uid"], full["gid"]) == (0, 0)
    assert json.loads(said(outcome, "User")[-1])["uid"] == 1234


@pytest.mark.contract("a.1.8")
def test_an_images_own_user_can_write_nowhere_under_opt_ml(outcome: Outcome) -> None:
    seen = json.loads(said(outcome, "User")[-1])

    assert set(seen["writable"].values()) == {"Permission denied"}


@pytest.mark.contract("a.1.9")
def test_the_container_has_no_more_rights_than_any_other(full: dict[str, Any]) -> None:
    (capabilities,) = full["capabilities"]
    number = int(capabilities.split()[1], 16)

    assert not number >> 21 & 1  # CAP_SYS_ADMIN
    assert not number >> 12 & 1  # CAP_NET_ADMIN


@pytest.mark.contract("a.1.10")
def test_what_the_image_bakes_below_opt_ml_stays_visible(full: dict[str, Any]) -> None:
    assert full["texts"]["/opt/ml/code/baked.py"] == "# baked into the image\n"
    assert full["texts"]["/opt/ml/baked.txt"] == "baked into the image\n"
    assert "/opt/ml" not in full["mounts"]


# (a.2) the tree at the start


@pytest.mark.contract("a.2")
def test_the_tree_at_the_start_is_the_services(full: dict[str, Any]) -> None:
    assert shown_tree(full) == json.loads(golden("training/tree.json"))


@pytest.mark.contract("a.2")
def test_a_job_without_channels_has_the_folders_all_the_same(bare: dict[str, Any]) -> None:
    tree = shown_tree(bare)

    assert tree["/opt/ml/input/data"] == "folder 0755 0:0"
    assert [path for path in tree if path.startswith("/opt/ml/input/data/")] == []
    assert not any("checkpoint" in path or "tensorboard" in path for path in tree)


@pytest.mark.contract("a.2")
def test_there_is_no_failure_file_before_the_start(full: dict[str, Any]) -> None:
    assert not any(path.endswith("failure") for path in full["tree"])


@pytest.mark.contract("a.2")
def test_every_folder_of_the_platform_can_be_written_by_root(full: dict[str, Any]) -> None:
    fast = {path: answer for path, answer in full["writable"].items() if path.startswith("/opt/ml/input/data/fast")}
    others = {path: answer for path, answer in full["writable"].items() if path not in fast}

    assert set(others.values()) == {"yes"}


@pytest.mark.contract("i")
@pytest.mark.xfail(strict=True, reason="0755 here; recorded with and without the x bit, by year")
def test_the_folder_of_configurations_cannot_be_entered_without_being_root(full: dict[str, Any]) -> None:
    assert full["tree"]["/opt/ml/input/config"]["mode"] == "0644"


@pytest.mark.contract("a.2")
@pytest.mark.xfail(strict=True, reason="a FastFile channel is a writable folder: docs/fidelity.md")
def test_a_fast_file_channel_is_read_only(full: dict[str, Any]) -> None:
    assert full["writable"]["/opt/ml/input/data/fast"] != "yes"


@pytest.mark.contract("a.3")
@pytest.mark.xfail(strict=True, reason="not written yet: docs/fidelity.md")
@pytest.mark.parametrize("name", ["trainingjobconfig.json", "upstreamoutputdataconfig.json"])
def test_the_files_of_the_2020_platform_are_there(full: dict[str, Any], name: str) -> None:
    assert f"/opt/ml/input/config/{name}" in full["texts"]


@pytest.mark.contract("a.2")
def test_the_default_folder_of_checkpoints_is_made_only_with_a_checkpoint_config(
    outcome: Outcome, bare: dict[str, Any]
) -> None:
    seen = report(outcome, "DefaultCheckpoints")

    assert shown_tree(seen)["/opt/ml/checkpoints"] == "folder 0755 0:0"
    assert seen["texts"]["/opt/ml/input/config/checkpointconfig.json"] == '{"LocalPath":"/opt/ml/checkpoints"}'
    assert seen["texts"]["/opt/ml/input/data/checkpoints-manifest"] == "nothing-yet\n"
    assert "/opt/ml/checkpoints" not in bare["tree"]


# (a.3) the configuration files, byte for byte


@pytest.mark.contract("a.3")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"{name}.json", id=f"a.3-{name}")
        for name in (
            "hyperparameters",
            "resourceconfig",
            "inputdataconfig",
            "init-config",
            "metric-definition-regex",
            "checkpointconfig",
            "tensorboardoutputconfig",
        )
    ],
)
def test_a_configuration_file_is_the_services_byte_for_byte(full: dict[str, Any], name: str) -> None:
    assert full["texts"][f"/opt/ml/input/config/{name}"] == golden(f"training/{name}")


@pytest.mark.contract("a.3")
@pytest.mark.parametrize(
    ("name", "text"),
    [
        pytest.param("hyperparameters.json", "{}", id="a.3-no-hyperparameters"),
        pytest.param("inputdataconfig.json", "{}", id="a.3-no-channels"),
        pytest.param("metric-definition-regex.json", "[]", id="a.3-no-metrics"),
    ],
)
def test_a_configuration_file_of_nothing_is_there_and_empty(bare: dict[str, Any], name: str, text: str) -> None:
    assert bare["texts"][f"/opt/ml/input/config/{name}"] == text


@pytest.mark.contract("a.3")
@pytest.mark.parametrize(
    "host", [pytest.param(host, id=f"a.3-resourceconfig-of-{host}") for host in ("algo-1", "algo-2")]
)
def test_every_host_has_its_own_resource_configuration(outcome: Outcome, host: str) -> None:
    seen = report(outcome, "TwoHosts", host)

    assert seen["texts"]["/opt/ml/input/config/resourceconfig.json"] == golden(f"two-hosts/resourceconfig-{host}.json")
    assert seen["texts"]["/opt/ml/input/config/inputdataconfig.json"] == golden("two-hosts/inputdataconfig.json")


@pytest.mark.contract("a.3")
def test_every_host_knows_its_number(outcome: Outcome) -> None:
    numbers = [
        json.loads(report(outcome, "TwoHosts", host)["texts"]["/opt/ml/input/config/init-config.json"])["hostConfig"]
        for host in ("algo-1", "algo-2")
    ]

    assert numbers == [{"clusterSize": 2, "hostNumber": 0}, {"clusterSize": 2, "hostNumber": 1}]


# (a.4) the environment


@pytest.mark.contract("a.4")
def test_the_environment_is_exactly_the_images_the_platforms_and_the_requests(
    full: dict[str, Any], images: ProbeImages, client: docker.DockerClient
) -> None:
    baked = {line.split("=", 1)[0] for line in client.images.get(images.plain).attrs["Config"]["Env"]}
    platform = {
        "TRAINING_JOB_NAME",
        "TRAINING_JOB_ARN",
        "AWS_REGION",
        "AWS_EXECUTION_ENV",
        "AWS_EC2_METADATA_DISABLED",  # ours, not the service's
        "DMLC_INTERFACE",
        "NVIDIA_VISIBLE_DEVICES",
        "SAGEMAKER_METRICS_DIRECTORY",
        "HOSTNAME",
        "HOME",
    }

    assert set(full["environment"]) - {"LC_CTYPE"} == baked | platform | {"NUMBER"}


@pytest.mark.contract("a.4")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(name, value, id=f"a.4-{name}")
        for name, value in {
            "TRAINING_JOB_NAME": "<job Full>",
            "TRAINING_JOB_ARN": "arn:aws:sagemaker:us-east-1:111122223333:training-job/<job full>",
            "AWS_REGION": "us-east-1",
            "AWS_EXECUTION_ENV": "AWS_ECS_EC2",
            "DMLC_INTERFACE": "eth0",
            "NVIDIA_VISIBLE_DEVICES": "void",
            "HOSTNAME": "<hostname>",
            "HOME": "/root",
            "BAKED": BAKED_ENVIRONMENT["BAKED"],
            "OVERRIDDEN": "by the request",
            "NUMBER": "5",
        }.items()
    ],
)
def test_a_variable_has_the_services_value(full: dict[str, Any], name: str, value: str) -> None:
    assert masked(full["environment"][name]) == value


@pytest.mark.contract("a.4")
def test_the_arn_is_the_jobs_name_in_lower_case(full: dict[str, Any]) -> None:
    environment = full["environment"]

    assert environment["TRAINING_JOB_ARN"].rpartition("/")[2] == environment["TRAINING_JOB_NAME"].lower()
    assert environment["TRAINING_JOB_NAME"] != environment["TRAINING_JOB_NAME"].lower()


@pytest.mark.contract("a.4")
@pytest.mark.xfail(strict=True, reason="no credentials endpoint yet: docs/fidelity.md")
def test_credentials_come_from_an_address(full: dict[str, Any]) -> None:
    assert full["environment"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].startswith("/v2/credentials/")


@pytest.mark.contract("f.4")
def test_the_jobs_name_is_the_pipelines_services(outcome: Outcome, full: dict[str, Any]) -> None:
    name = full["environment"]["TRAINING_JOB_NAME"]

    assert re.fullmatch(rf"pipelines-{outcome.document['run_id']}-Full-[A-Za-z0-9]{{10}}", name)
    assert outcome.steps["Full"]["job_name"] == name


# (a.5) names and networks


@pytest.mark.contract("a.5")
def test_a_single_host_resolves_itself_but_is_called_otherwise(full: dict[str, Any]) -> None:
    assert full["addresses"]["algo-1"] == "127.0.0.1"
    assert full["hostname"] == full["environment"]["HOSTNAME"]
    assert re.fullmatch(r"ip-10-0-\d+-\d+\.ec2\.internal", full["hostname"])


@pytest.mark.contract("a.5")
@pytest.mark.parametrize("host", ["algo-1", "algo-2"])
def test_each_of_several_hosts_resolves_itself_to_what_the_others_see(outcome: Outcome, host: str) -> None:
    address = report(outcome, "TwoHosts", host)["addresses"][host]

    assert not address.startswith("error")
    assert address != "127.0.0.1"


@pytest.mark.contract("a.5")
def test_the_interface_is_the_one_that_the_configuration_names(full: dict[str, Any]) -> None:
    assert full["interfaces"] == ["eth0", "lo"]


@pytest.mark.contract("a.5")
def test_an_isolated_job_has_no_interface_but_resolves_itself(outcome: Outcome) -> None:
    seen = report(outcome, "Isolated")

    assert seen["interfaces"] == ["lo"]
    assert seen["addresses"]["algo-1"] == "127.0.0.1"


@pytest.mark.contract("a.6")
def test_shared_memory_has_the_size_that_docker_gives(full: dict[str, Any]) -> None:
    assert full["shm_bytes"] == 64 * 1024 * 1024


# (a.7) input data


@pytest.mark.contract("a.7")
@pytest.mark.parametrize(
    ("channel", "files"),
    [
        pytest.param(
            "train",
            {"train-a.csv": "a", "train/b.csv": "b", "train/sub/c.csv": "c"},
            id="a.7-a-prefix-that-cuts-a-name-keeps-base-names",
        ),
        pytest.param(
            "folder",
            {"x.txt": "x", "sub/y.txt": "y", "packed.csv.gz": "not really gzip"},
            id="a.7-a-folder-without-slash-is-relative-to-the-folder",
        ),
        pytest.param(
            "slash",
            {"x.txt": "x", "sub/y.txt": "y", "packed.csv.gz": "not really gzip"},
            id="a.7-a-folder-with-slash-is-relative-to-the-folder",
        ),
        pytest.param("single", {"one.csv": "one"}, id="a.7-a-key-is-its-base-name"),
        pytest.param("fast", {"y.txt": "y"}, id="a.7-fast-file-is-an-ordinary-folder"),
    ],
)
def test_a_channel_has_the_services_names(full: dict[str, Any], channel: str, files: dict[str, str]) -> None:
    home = f"/opt/ml/input/data/{channel}/"

    assert {path[len(home) :]: text for path, text in full["texts"].items() if path.startswith(home)} == files


@pytest.mark.contract("a.7")
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(f"{name}-manifest", id=f"a.7-{name}-manifest")
        for name in ("train", "folder", "single", "checkpoints")
    ],
)
def test_a_channels_manifest_lists_its_objects(full: dict[str, Any], name: str) -> None:
    assert full["texts"][f"/opt/ml/input/data/{name}"] == golden(f"training/{name}")


@pytest.mark.contract("a.7")
def test_shards_are_dealt_by_sorted_key_and_the_manifest_lists_them_all(outcome: Outcome) -> None:
    home = "/opt/ml/input/data/shards"
    seen = {host: report(outcome, "TwoHosts", host)["texts"] for host in ("algo-1", "algo-2")}

    own = {
        host: sorted(path[len(home) + 1 :] for path in texts if path.startswith(f"{home}/"))
        for host, texts in seen.items()
    }
    assert own == {"algo-1": ["packed.csv.gz", "x.txt"], "algo-2": ["sub/y.txt"]}
    assert {texts[f"{home}-manifest"] for texts in seen.values()} == {golden("two-hosts/shards-manifest")}


@pytest.mark.contract("a.8")
def test_saved_checkpoints_are_there_again(full: dict[str, Any]) -> None:
    assert full["texts"]["/opt/ml/state/old-1.txt"] == "one step"
    assert full["texts"]["/opt/ml/state/deep/old-2.txt"] == "two steps"
