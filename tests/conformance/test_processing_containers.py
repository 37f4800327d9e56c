"""What does a processing job's container see? Held against section (b) of the container contract."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from support import definitions as d
from support.reports import golden, masked, report, shown_tree

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker
    from support.cli import Cli, Outcome
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

HOME = "/opt/ml/processing"


@pytest.fixture(scope="module")
def outcome(module_cli: Callable[[str], Cli], images: ProbeImages) -> Outcome:
    """Run one of every kind, side by side."""
    plain = images.plain

    def out(step: str) -> list[dict[str, Any]]:
        return [d.processing_output("out", f"s3://bucket/{step}/out")]

    full = d.processing(
        "Full",
        plain,
        entrypoint=["probe"],
        arguments=["-c", 'echo a && ls > "x"'],
        inputs=[
            d.processing_input("code", "s3://bucket/data/one.csv", f"{HOME}/input/code"),
            d.processing_input("dep", "s3://bucket/folder", f"{HOME}/input/code/dep"),
            d.processing_input("data", "s3://bucket/data/train", f"{HOME}/data"),
        ],
        outputs=[
            *out("Full"),
            d.processing_output("second", "s3://bucket/Full/second", f"{HOME}/second/deep", mode="Continuous"),
        ],
        environment={"A": "b & c", "OVERRIDDEN": "by the request", "NUMBER": d.get("Parameters.Number")},
        limit_s=900,
    )
    shards = d.processing_input(
        "shards", "s3://bucket/folder/", f"{HOME}/shards", S3DataDistributionType="ShardedByS3Key"
    )
    steps = [
        full,
        d.processing("Bare", images.command, outputs=out("Bare")),
        d.processing("TwoHosts", plain, entrypoint=["probe"], inputs=[shards], hosts=2, outputs=out("TwoHosts")),
        d.processing("Workdir", images.workdir, entrypoint=["probe"], outputs=out("Workdir")),
        d.processing("Isolated", plain, entrypoint=["probe"], outputs=out("Isolated"), isolated=True),
    ]
    programs: dict[str, tuple[str, dict[str, list[str]]]] = {
        "NoneOnEntry": (images.entry, {}),
        "NoneOnCommand": (images.command, {}),
        "ArgumentsOnEntry": (images.entry, {"arguments": ["a", "b c"]}),
        "EntrypointOnEntry": (images.entry, {"entrypoint": ["train", "x"]}),
        "BothOnEntry": (images.entry, {"entrypoint": ["train"], "arguments": ["$HOME", "*", ""]}),
    }
    steps += [d.processing(name, image, outputs=out(name), **words) for name, (image, words) in programs.items()]
    parameters = [{"Name": "Number", "Type": "Integer", "DefaultValue": 5}]
    return module_cli("run").run(d.pipeline(*steps, parameters=parameters)).expect(0)


@pytest.fixture(scope="module")
def full(outcome: Outcome) -> dict[str, Any]:
    """Give what the container of the fullest job saw."""
    return report(outcome, "Full")


@pytest.mark.contract("b.1.1")
@pytest.mark.parametrize(
    ("step", "words"),
    [
        pytest.param("NoneOnEntry", ["probe", "of", "the", "image"], id="b.1-neither-keeps-ENTRYPOINT-and-CMD"),
        pytest.param("NoneOnCommand", ["probe", "of", "the", "image"], id="b.1-neither-keeps-CMD"),
        pytest.param("ArgumentsOnEntry", ["probe", "a", "b c"], id="b.1-arguments-keep-ENTRYPOINT"),
        pytest.param("EntrypointOnEntry", ["train", "x"], id="b.1-entrypoint-drops-CMD"),
        pytest.param("BothOnEntry", ["train", "$HOME", "*", ""], id="b.1-both"),
    ],
)
def test_the_program_is_the_services_combination_of_image_and_request(
    outcome: Outcome, step: str, words: list[str]
) -> None:
    program, *others = words

    assert report(outcome, step)["argv"] == [f"/usr/local/bin/{program}", *others]


@pytest.mark.contract("b.1.3")
def test_the_container_is_as_bare_as_that_of_a_training_job(outcome: Outcome, full: dict[str, Any]) -> None:
    assert full["pid"] == 1
    assert full["processes"] == [1]
    assert full["ttys"] == [False, False, False]
    assert (full["uid"], full["cwd"]) == (0, "/")
    assert report(outcome, "Workdir")["cwd"] == "/srv/work"


@pytest.mark.contract("b.2")
def test_the_tree_at_the_start_is_the_services(full: dict[str, Any]) -> None:
    assert shown_tree(full) == json.loads(golden("processing/tree.json"))


@pytest.mark.contract("b.2")
@pytest.mark.xfail(strict=True, reason="0755 here; the recorded folder has no x bit")
def test_the_folder_of_configurations_cannot_be_entered_without_being_root(full: dict[str, Any]) -> None:
    assert full["tree"]["/opt/ml/config"]["mode"] == "0644"


@pytest.mark.contract("b.2")
def test_there_are_no_folders_of_training_jobs(full: dict[str, Any]) -> None:
    assert not any(path.startswith(("/opt/ml/input", "/opt/ml/model", "/opt/ml/errors")) for path in full["tree"])


@pytest.mark.contract("b.2")
def test_outputs_are_empty_folders_before_the_start(full: dict[str, Any]) -> None:
    for path in (f"{HOME}/out", f"{HOME}/second/deep", "/opt/ml/output/data/out", "/opt/ml/output/data/second"):
        assert full["tree"][path]["kind"] == "folder"
        assert not any(other.startswith(f"{path}/") for other in full["tree"])


@pytest.mark.contract("b.2")
def test_every_folder_can_be_written_by_root(full: dict[str, Any]) -> None:
    assert set(full["writable"].values()) == {"yes"}


@pytest.mark.contract("b.2")
def test_what_the_image_bakes_below_opt_ml_stays_visible(full: dict[str, Any]) -> None:
    assert full["texts"]["/opt/ml/code/baked.py"] == "# baked into the image\n"
    assert not {"/opt/ml", "/opt/ml/processing"} & set(full["mounts"])


@pytest.mark.contract("b.3")
@pytest.mark.parametrize(
    ("step", "name"),
    [
        pytest.param("Full", "processingjobconfig.json", id="b.3-processingjobconfig"),
        pytest.param("Bare", "processingjobconfig-bare.json", id="b.3-processingjobconfig-with-nulls-and-defaults"),
    ],
)
def test_the_job_configuration_is_the_services_byte_for_byte(outcome: Outcome, step: str, name: str) -> None:
    seen = masked(report(outcome, step)["texts"]["/opt/ml/config/processingjobconfig.json"])

    assert seen == golden(f"processing/{name}")


@pytest.mark.contract("b.4")
def test_the_resource_configuration_is_the_services_byte_for_byte(full: dict[str, Any]) -> None:
    assert full["texts"]["/opt/ml/config/resourceconfig.json"] == golden("processing/resourceconfig.json")


@pytest.mark.contract("b.4")
@pytest.mark.parametrize("host", ["algo-1", "algo-2"])
def test_every_host_has_its_own_resource_configuration(outcome: Outcome, host: str) -> None:
    text = report(outcome, "TwoHosts", host)["texts"]["/opt/ml/config/resourceconfig.json"]

    assert text == f'{{"current_host":"{host}","hosts":["algo-1","algo-2"]}}'


@pytest.mark.contract("b.5")
def test_the_environment_is_exactly_the_images_the_region_and_the_requests(
    full: dict[str, Any], images: ProbeImages, client: docker.DockerClient
) -> None:
    baked = {line.split("=", 1)[0] for line in client.images.get(images.plain).attrs["Config"]["Env"]}
    platform = {"AWS_REGION", "AWS_EC2_METADATA_DISABLED", "HOSTNAME", "HOME"}  # the second one is ours

    assert set(full["environment"]) - {"LC_CTYPE"} == baked | platform | {"A", "NUMBER"}
    assert full["environment"]["AWS_REGION"] == "us-east-1"


@pytest.mark.contract("b.5")
@pytest.mark.parametrize(("name", "value"), [("A", "b & c"), ("OVERRIDDEN", "by the request"), ("NUMBER", "5")])
def test_the_requests_variables_win_over_the_images(full: dict[str, Any], name: str, value: str) -> None:
    assert full["environment"][name] == value


@pytest.mark.contract("b.5")
@pytest.mark.xfail(strict=True, reason="no credentials endpoint yet: docs/fidelity.md")
def test_credentials_come_from_an_address(full: dict[str, Any]) -> None:
    assert full["environment"]["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"].startswith("/v2/credentials/")


@pytest.mark.contract("b.5")
def test_the_host_is_called_as_on_the_service_and_resolves_itself(full: dict[str, Any]) -> None:
    assert re.fullmatch(r"ip-10-0-\d+-\d+\.ec2\.internal", full["hostname"])
    assert full["addresses"]["algo-1"] == "127.0.0.1"


@pytest.mark.contract("a.5")
def test_an_isolated_job_has_no_interface(outcome: Outcome) -> None:
    assert report(outcome, "Isolated")["interfaces"] == ["lo"]


@pytest.mark.contract("b.6")
@pytest.mark.parametrize(
    ("home", "files"),
    [
        pytest.param(
            "data",
            {"train-a.csv": "a", "train/b.csv": "b", "train/sub/c.csv": "c"},
            id="b.6-a-prefix-that-cuts-a-name-keeps-base-names",
        ),
        pytest.param(
            "input/code",
            {"one.csv": "one", "dep/x.txt": "x", "dep/sub/y.txt": "y", "dep/packed.csv.gz": "not really gzip"},
            id="b.6-inputs-may-lie-in-each-other",
        ),
    ],
)
def test_an_input_has_the_services_names(full: dict[str, Any], home: str, files: dict[str, str]) -> None:
    root = f"{HOME}/{home}/"

    assert {path[len(root) :]: text for path, text in full["texts"].items() if path.startswith(root)} == files


@pytest.mark.contract("b.6")
def test_shards_are_dealt_by_sorted_key(outcome: Outcome) -> None:
    root = f"{HOME}/shards/"
    own = [
        sorted(path[len(root) :] for path in report(outcome, "TwoHosts", host)["texts"] if path.startswith(root))
        for host in ("algo-1", "algo-2")
    ]

    assert own == [["packed.csv.gz", "x.txt"], ["sub/y.txt"]]


@pytest.mark.contract("b.7")
def test_a_continuous_output_is_told_to_be_uploaded_at_the_end_only(outcome: Outcome) -> None:
    assert any("Continuous" in note for note in outcome.steps["Full"]["notes"])
