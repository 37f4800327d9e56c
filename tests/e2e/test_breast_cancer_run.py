"""Does the example do what it promises, in the images that this machine has or makes?"""

from __future__ import annotations

import json
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.cli import Cli

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli import Outcome
    from support.engine import Leftovers

pytestmark = [pytest.mark.docker, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
BUCKET = "sagemaker-us-east-1-111122223333"
BUILDING_S = 1000  # stand-ins are built by the first run of a machine


@pytest.fixture(scope="module")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a copy of the example, so that nothing can be written beside the original."""
    target = tmp_path_factory.mktemp("example") / "breast-cancer"
    shutil.copytree(ROOT / "examples" / "breast-cancer", target)
    return target


@pytest.fixture(scope="module")
def cli(tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers) -> Iterator[Cli]:
    """Give the command line with one workspace for all runs of the example, as a person has it."""
    found = Cli(tmp_path_factory.mktemp("runs"))
    yield found
    found.end()
    leftovers.processes |= found.processes


@pytest.fixture(scope="module")
def good(cli: Cli, example: Path) -> Outcome:
    """Run it as it is."""
    return cli.run(example, limit_s=BUILDING_S).expect(0)


@pytest.fixture(scope="module")
def too_low(cli: Cli, example: Path) -> Outcome:
    """Ask for more than the model can give."""
    return cli.run(example, parameters={"AUCThreshold": "1.01", "NumRound": "20"}, limit_s=BUILDING_S).expect(1)


@pytest.fixture(scope="module")
def broken(cli: Cli, example: Path, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """Break the training script."""
    target = tmp_path_factory.mktemp("broken") / "breast-cancer"
    shutil.copytree(example, target)
    script = target / "code" / "train" / "train.py"
    text = script.read_text(encoding="utf-8")
    head = 'if __name__ == "__main__":'
    assert head in text
    script.write_text(text.replace(head, f'{head}\n    raise ValueError("the labels are broken")'), encoding="utf-8")
    return cli.run(target, limit_s=BUILDING_S).expect(1)


def objects(outcome: Outcome, name: str) -> dict[str, Path]:
    """Find what a run published below its own prefix."""
    home = outcome.stored(f"breast-cancer/runs/{outcome.document['run_id']}/{name}", BUCKET)
    return {path.name: path for path in home.rglob("*") if path.is_file()}


def test_every_step_succeeds_in_the_order_of_the_data(good: Outcome) -> None:
    assert [(step["name"], step["status"]) for step in good.document["steps"]] == [
        ("Preprocess", "Succeeded"),
        ("Train", "Succeeded"),
        ("Evaluate", "Succeeded"),
        ("CheckAUC", "Succeeded"),
        ("Package", "Succeeded"),
    ]
    begun = [step["started_at"] for step in good.document["steps"]]
    assert begun == sorted(begun)


def test_the_auc_is_that_of_a_good_model(good: Outcome) -> None:
    (report,) = [path for path in objects(good, "").values() if path.name == "evaluation.json"]

    metrics: dict[str, Any] = json.loads(report.read_text())["binary_classification_metrics"]
    assert 0.97 <= metrics["auc"]["value"] <= 1


def test_the_package_holds_the_model_and_its_card(good: Outcome) -> None:
    package = objects(good, "package")

    assert set(package) == {"model.tar.gz", "model_card.json", "model_card.md"}
    with tarfile.open(package["model.tar.gz"]) as tar:
        assert any("xgboost-model" in name for name in tar.getnames())
    assert json.loads(package["model_card.json"].read_text())


def test_the_branch_that_is_not_taken_is_absent(good: Outcome) -> None:
    assert "AUCTooLow" not in good.steps
    assert good.steps["CheckAUC"]["outcome"] == "True"


def test_every_job_says_in_which_image_it_ran(good: Outcome) -> None:
    jobs = [step for step in good.document["steps"] if step["type"] in {"Processing", "Training"}]

    assert len(jobs) == 4
    for step in jobs:
        assert step["image"].startswith(("683313688378.dkr.ecr", "246618743249.dkr.ecr")) or "dkr.ecr" in step["image"]
        assert step["image_source"]
        assert step["image_used"]["image_id"].startswith("sha256:")


def test_the_metrics_of_the_training_are_described(good: Outcome) -> None:
    told = json.loads((good.run_dir / "steps" / "Train" / "1" / "describe.json").read_text())

    metrics = {metric["MetricName"]: metric["Value"] for metric in told["FinalMetricDataList"]}
    assert metrics
    assert all(0 <= value <= 10 for value in metrics.values())


def test_nothing_is_written_beside_the_pipeline(good: Outcome, example: Path) -> None:
    original = ROOT / "examples" / "breast-cancer"
    files = [
        path.relative_to(original).as_posix()
        for path in original.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    ]

    assert good.exit_code == 0
    assert sorted(path.relative_to(example).as_posix() for path in example.rglob("*") if path.is_file()) == sorted(
        files
    )


def test_a_threshold_out_of_reach_takes_the_other_branch(too_low: Outcome) -> None:
    assert too_low.steps["CheckAUC"]["outcome"] == "False"
    assert too_low.steps["AUCTooLow"]["status"] == "Failed"
    assert too_low.steps["AUCTooLow"]["failure_reason"].startswith("The AUC on the test set is 0.9")
    assert too_low.steps["AUCTooLow"]["failure_reason"].endswith("but must be at least 1.01")
    assert "Package" not in too_low.steps
    assert too_low.document["failure_reason"] == "Step failure: One or multiple steps failed."
    assert objects(too_low, "package") == {}


def test_a_parameter_reaches_the_script(too_low: Outcome) -> None:
    request = json.loads((too_low.run_dir / "steps" / "Train" / "1" / "request.json").read_text())

    assert "20" in request["HyperParameters"].values()


def test_a_script_that_raises_fails_its_step_in_the_toolkits_words(broken: Outcome) -> None:
    step = broken.steps["Train"]

    assert step["status"] == "Failed"
    assert step["exit_code"] == 1
    assert step["failure_reason"].startswith("ClientError: AlgorithmError: ExecuteUserScriptError:")
    assert step["failure_reason"].endswith(", exit code: 1")


def test_the_traceback_is_on_the_screen_and_in_the_log(broken: Outcome, cli: Cli) -> None:
    shown = cli.call("logs", broken.document["run_id"], "Train", "--workspace", str(cli.workspace)).expect(0)

    for text in (broken.stderr, shown.stdout):
        assert "Traceback (most recent call last)" in text
        assert "ValueError: the labels are broken" in text
        assert "train.py" in text


def test_what_depends_on_the_failed_step_is_not_started(broken: Outcome) -> None:
    assert broken.steps["Preprocess"]["status"] == "Succeeded"
    for name in ("Evaluate", "CheckAUC"):
        assert broken.steps[name]["status"] == "NotStarted"
        assert "Train" in broken.steps[name]["cause"]
    assert not (broken.run_dir / "steps" / "Evaluate").exists()


def test_the_failed_container_runs_again_by_itself(broken: Outcome, tmp_path: Path, leftovers: Leftovers) -> None:
    script = broken.run_dir / broken.steps["Train"]["attempt_dir"] / "algo-1" / "run-again.sh"

    again = subprocess.run(
        ["sh", str(script)],
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert again.returncode == 1
    assert "ValueError: the labels are broken" in again.stdout + again.stderr
    assert leftovers.all() == []


def test_the_folder_under_examples_is_found_by_its_name() -> None:
    shown = subprocess.run(
        [*Cli(Path()).command, "plan", "breast-cancer"], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.startswith("breast-cancer (")
