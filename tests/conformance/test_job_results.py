"""What becomes of what a job leaves, and how do later steps see it? Held against (a.8), (b.7), (f.2) and (f.3)."""

from __future__ import annotations

import gzip
import json
import tarfile
from typing import TYPE_CHECKING

import pytest
from support import definitions as d
from support.reports import described, packed, said

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.cli import Cli, Outcome
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

SAVE = """
import os, pathlib
model, data = pathlib.Path("/opt/ml/model"), pathlib.Path("/opt/ml/output/data")
(model / "code").mkdir()
(model / "empty").mkdir()
(model / "model.bin").write_bytes(bytes(range(256)))
(model / "code" / "inference.py").write_text("pass")
(model / "run").write_text("#!/bin/sh")
(model / "run").chmod(0o755)
(data / "metrics.json").write_text("{}")
pathlib.Path("/opt/ml/output/beside.txt").write_text("not in the archive")
pathlib.Path("/opt/ml/checkpoints/old-1.txt").write_text("overwritten")
pathlib.Path("/opt/ml/checkpoints/new").mkdir()
pathlib.Path("/opt/ml/checkpoints/new/step-2.txt").write_text("new")
for rounds, auc in ((0, 0.5), (1, 0.75), (2, 0.9375)):
    print(f"[{rounds}]\\ttrain-auc:{auc}\\tvalidation-auc:{auc / 2}")
print("unrelated 100% [3]")
"""
TWO_HOSTS = """
import json, pathlib
host = json.load(open("/opt/ml/input/config/resourceconfig.json"))["current_host"]
for root in ("/opt/ml/model", "/opt/ml/output/data"):
    pathlib.Path(root, f"{host}.txt").write_text(host)
    pathlib.Path(root, "both.txt").write_text(host)
"""
PUBLISH = """
import os, json, pathlib
out = pathlib.Path("/opt/ml/processing/out")
(out / "a" / "b").mkdir(parents=True)
(out / "a" / "b" / "deep.txt").write_text("deep")
(out / "top.txt").write_text("top")
(out / "empty").mkdir()
(out / "metrics.json").write_text(json.dumps({"auc": 0.9375, "list": [{"x": "y"}], "text": "5"}))
"""
TWO_PUBLISHERS = """
import json, pathlib
host = json.load(open("/opt/ml/config/resourceconfig.json"))["current_host"]
out = pathlib.Path("/opt/ml/processing/out")
(out / f"{host}.txt").write_text(host)
(out / "both.txt").write_text(host)
"""
IN_PLACE = """
import pathlib
data = pathlib.Path("/opt/ml/processing/data")
(data / "x.txt").write_text("edited")
(data / "packed.csv.gz").unlink()
(data / "new.txt").write_text("new")
"""


@pytest.fixture(scope="module")
def outcome(module_cli: Callable[[str], Cli], images: ProbeImages) -> Outcome:
    """Let jobs leave everything that there is to leave, and others look at it."""
    plain = images.plain
    metrics = [
        {"Name": "train:auc", "Regex": r".*\[[0-9]+\].*#011train-auc:(\S+?)#011.*"},
        {"Name": "validation:auc", "Regex": r"validation-auc:([0-9.]+)"},
        {"Name": "never", "Regex": r"never-seen:(\S+)"},
    ]
    save = d.training(
        "Save",
        plain,
        file="save",
        algorithm={"MetricDefinitions": metrics},
        request={"CheckpointConfig": {"S3Uri": "s3://bucket/checkpoints"}},
    )
    unpacked = {"OutputDataConfig": {"S3OutputPath": "s3://bucket/Unpacked", "CompressionType": "NONE"}}
    auc = d.get("Steps.Save.FinalMetricDataList['train:auc'].Value")
    model = d.get("Steps.Save.ModelArtifacts.S3ModelArtifacts")
    file = [{"PropertyFileName": "Metrics", "OutputName": "out", "FilePath": "metrics.json"}]

    def json_get(path: str) -> dict[str, object]:
        return {"Std:JsonGet": {"PropertyFile": d.get("Steps.Publish.PropertyFiles.Metrics"), "Path": path}}

    look = d.script(
        "Look",
        plain,
        "look",
        inputs=[
            d.processing_input("model", model, "/opt/ml/processing/model"),
            d.processing_input("made", d.output_uri("Publish"), "/opt/ml/processing/made"),
        ],
        environment={
            "AUC": auc,
            "STATUS": d.get("Steps.Save.TrainingJobStatus"),
            "JOB": d.get("Steps.Save.TrainingJobName"),
            "IMAGE": d.get("Steps.Save.AlgorithmSpecification.TrainingImage"),
            "FROM_FILE": json_get("list[0].x"),
            "OUTCOME": {"Std:Join": {"On": "", "Values": [d.get("Steps.IsGood.Outcome")]}},
        },
    )
    data = d.processing_input("data", "s3://bucket/folder", "/opt/ml/processing/data")
    steps = [
        save,
        d.training("Unpacked", plain, file="save", request={**unpacked, "CheckpointConfig": {"S3Uri": "s3://bucket/u"}}),
        d.training("TwoHosts", plain, file="two", hosts=2),
        d.training("Empty", plain, file="nothing"),
        d.processing(
            "AfterEmpty",
            plain,
            inputs=[
                d.processing_input("m", d.get("Steps.Empty.ModelArtifacts.S3ModelArtifacts"), "/opt/ml/processing/m")
            ],
        ),
        d.script("Publish", plain, "publish", PropertyFiles=file),
        d.script("TwoPublishers", plain, "publishers", hosts=2),
        d.script("InPlace", plain, "in-place", inputs=[data], outputs=[
            d.processing_output("out", "s3://bucket/InPlace", "/opt/ml/processing/data")
        ]),
        d.condition("IsGood", auc, 0.9, kind="GreaterThanOrEqualTo", then=[d.script("Good", plain, "nothing")]),
        d.condition("FromFile", json_get("auc"), 0.9375, then=[d.script("Equal", plain, "nothing")]),
        look,
    ]  # fmt: skip
    scripts = {"save": SAVE, "two": TWO_HOSTS, "publish": PUBLISH, "publishers": TWO_PUBLISHERS, "in-place": IN_PLACE}
    scripts |= {"nothing": "", "look": LOOK}
    cli = module_cli("run")
    (cli.workspace / "s3" / "bucket" / "Publish" / "out").mkdir(parents=True)
    (cli.workspace / "s3" / "bucket" / "Publish" / "out" / "older.txt").write_text("of an earlier run")
    return cli.run(d.pipeline(*steps), scripts=scripts).expect(1)


LOOK = """
import json, os, pathlib
home = pathlib.Path("/opt/ml/processing")
names = ("AUC", "STATUS", "JOB", "IMAGE", "FROM_FILE", "OUTCOME")
print(json.dumps({
    "environment": {name: os.environ[name] for name in names},
    "model": [path.name for path in (home / "model").iterdir()],
    "made": sorted(str(path.relative_to(home / "made")) for path in (home / "made").rglob("*") if path.is_file()),
}))
"""


@pytest.fixture(scope="module")
def looked(outcome: Outcome) -> dict[str, dict[str, str]]:
    """Give what a later step saw of the earlier ones."""
    return dict(json.loads(said(outcome, "Look")[-1]))


# (a.8) archives


@pytest.mark.contract("a.8")
def test_the_model_archive_holds_the_contents_of_the_model_folder(outcome: Outcome) -> None:
    with tarfile.open(packed(outcome, "Save")) as tar:
        entries = {member.name: member for member in tar}

    assert set(entries) == {"code", "code/inference.py", "empty", "model.bin", "run"}
    assert entries["empty"].isdir()
    assert entries["run"].mode & 0o777 == 0o755
    assert entries["model.bin"].size == 256


@pytest.mark.contract("a.8")
def test_archive_entries_belong_to_root_without_names(outcome: Outcome) -> None:
    with tarfile.open(packed(outcome, "Save")) as tar:
        owners = {(member.uid, member.gid, member.uname, member.gname) for member in tar}

    assert owners == {(0, 0, "", "")}


@pytest.mark.contract("a.8")
def test_the_archive_is_gzip_without_a_time(outcome: Outcome) -> None:
    head = packed(outcome, "Save").read_bytes()[:10]

    assert head[:3] == b"\x1f\x8b\x08"
    assert head[4:8] == b"\0\0\0\0"
    assert gzip.decompress(packed(outcome, "Save").read_bytes())


@pytest.mark.contract("a.8")
def test_the_output_archive_holds_the_data_folder_only(outcome: Outcome) -> None:
    with tarfile.open(packed(outcome, "Save", "output.tar.gz")) as tar:
        assert tar.getnames() == ["metrics.json"]


@pytest.mark.contract("a.8")
def test_archives_lie_below_the_jobs_name(outcome: Outcome) -> None:
    job = outcome.steps["Save"]["job_name"]

    assert packed(outcome, "Save") == outcome.stored(f"Save/{job}/output/model.tar.gz")
    assert outcome.steps["Save"]["outputs"]["model"] == f"s3://bucket/Save/{job}/output/model.tar.gz"


@pytest.mark.contract("a.8")
def test_an_empty_model_folder_makes_no_object_but_is_described(outcome: Outcome) -> None:
    job = outcome.steps["Empty"]["job_name"]

    assert not outcome.stored("Empty").exists()
    assert described(outcome, "Empty")["ModelArtifacts"] == {
        "S3ModelArtifacts": f"s3://bucket/Empty/{job}/output/model.tar.gz"
    }


@pytest.mark.contract("a.7")
def test_reading_a_model_that_was_never_made_is_refused_in_the_services_words(outcome: Outcome) -> None:
    step = outcome.steps["AfterEmpty"]
    uri = f"s3://bucket/Empty/{outcome.steps['Empty']['job_name']}/output/model.tar.gz"

    assert step["status"] == "Failed"
    assert f'No S3 objects found under S3 URL "{uri}" given in input data source.' in step["failure_reason"]
    assert "Please ensure that the bucket exists in the selected region (us-east-1)" in step["failure_reason"]
    assert d.ROLE in step["failure_reason"]
    assert step["exit_code"] is None


@pytest.mark.contract("a.8")
@pytest.mark.parametrize("name", ["model.tar.gz", "output.tar.gz"])
def test_the_files_of_several_hosts_are_merged_and_collisions_told(outcome: Outcome, name: str) -> None:
    with tarfile.open(packed(outcome, "TwoHosts", name)) as tar:
        names = tar.getnames()

    assert sorted(names) == ["algo-1.txt", "algo-2.txt", "both.txt"]
    assert any("written by several hosts" in note for note in outcome.steps["TwoHosts"]["notes"])


@pytest.mark.contract("a.8")
def test_without_compression_the_files_are_objects(outcome: Outcome) -> None:
    home = outcome.stored(f"Unpacked/{outcome.steps['Unpacked']['job_name']}/output")

    assert {path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file()} == {
        "model/code/inference.py",
        "model/model.bin",
        "model/run",
        "output/metrics.json",
    }
    assert described(outcome, "Unpacked")["ModelArtifacts"]["S3ModelArtifacts"].endswith("/output/model/")


@pytest.mark.contract("a.8")
def test_checkpoints_are_saved_and_older_ones_stay(outcome: Outcome) -> None:
    home = outcome.stored("checkpoints")

    assert {path.relative_to(home).as_posix(): path.read_text() for path in home.rglob("*") if path.is_file()} == {
        "old-1.txt": "overwritten",
        "deep/old-2.txt": "two steps",
        "new/step-2.txt": "new",
    }


@pytest.mark.contract("a.8")
def test_metrics_are_read_from_lines_whose_tabs_are_escaped(outcome: Outcome) -> None:
    metrics = described(outcome, "Save")["FinalMetricDataList"]

    assert [(metric["MetricName"], metric["Value"]) for metric in metrics] == [
        ("train:auc", 0.9375),
        ("validation:auc", 0.46875),
    ]


@pytest.mark.contract("a.8")
def test_the_log_itself_keeps_the_tabs(outcome: Outcome) -> None:
    assert "[2]\ttrain-auc:0.9375\tvalidation-auc:0.46875" in said(outcome, "Save")


# (b.7) outputs of processing jobs


@pytest.mark.contract("b.7")
def test_output_files_keep_their_paths_and_empty_folders_vanish(outcome: Outcome) -> None:
    home = outcome.stored("Publish/out")

    assert {path.relative_to(home).as_posix() for path in home.rglob("*")} == {
        "a",
        "a/b",
        "a/b/deep.txt",
        "metrics.json",
        "older.txt",
        "top.txt",
    }


@pytest.mark.contract("b.7")
def test_keys_that_a_job_did_not_write_stay(outcome: Outcome) -> None:
    assert outcome.stored("Publish/out/older.txt").read_text() == "of an earlier run"


@pytest.mark.contract("b.7")
def test_several_hosts_write_below_one_prefix(outcome: Outcome) -> None:
    home = outcome.stored("TwoPublishers/out")

    assert sorted(path.name for path in home.iterdir()) == ["algo-1.txt", "algo-2.txt", "both.txt"]
    assert any("written by several hosts" in note for note in outcome.steps["TwoPublishers"]["notes"])


@pytest.mark.contract("b.2")
def test_an_input_that_is_an_output_too_is_uploaded_as_it_was_left(outcome: Outcome) -> None:
    home = outcome.stored("InPlace")

    assert {path.relative_to(home).as_posix(): path.read_text() for path in home.rglob("*") if path.is_file()} == {
        "x.txt": "edited",
        "sub/y.txt": "y",
        "new.txt": "new",
    }
    assert outcome.stored("folder/x.txt").read_text() == "x"
    assert outcome.stored("folder/packed.csv.gz").exists()


# (f.2, f.3) what later steps see


@pytest.mark.contract("f.3")
@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("AUC", "0.9375", id="f.3-FinalMetricDataList-by-name"),
        pytest.param("STATUS", "Completed", id="f.3-TrainingJobStatus"),
        pytest.param("FROM_FILE", "y", id="f.3-property-file"),
        pytest.param("OUTCOME", "true", id="f.2-Outcome-in-a-text"),
    ],
)
def test_a_property_resolves_to_what_the_service_describes(
    looked: dict[str, dict[str, str]], name: str, value: str
) -> None:
    assert looked["environment"][name] == value


@pytest.mark.contract("f.3")
def test_the_members_of_the_request_are_described_too(
    looked: dict[str, dict[str, str]], outcome: Outcome, images: ProbeImages
) -> None:
    assert looked["environment"]["IMAGE"] == images.plain
    assert looked["environment"]["JOB"] == outcome.steps["Save"]["job_name"]


@pytest.mark.contract("f.3")
def test_a_later_step_reads_what_the_earlier_ones_published(looked: dict[str, list[str]]) -> None:
    assert looked["model"] == ["model.tar.gz"]
    assert looked["made"] == ["a/b/deep.txt", "metrics.json", "older.txt", "top.txt"]


@pytest.mark.contract("f.2")
@pytest.mark.parametrize(("step", "taken"), [("IsGood", "Good"), ("FromFile", "Equal")])
def test_conditions_see_metrics_and_property_files(outcome: Outcome, step: str, taken: str) -> None:
    assert outcome.steps[step]["outcome"] == "True"
    assert outcome.steps[taken]["status"] == "Succeeded"
