"""Do run and plan hand on what was said, and show what they are given?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import pipeline, processing, processing_input

from harness.cli.main import main
from harness.engine.null import NullEngine, NullImages, Script
from harness.errors import EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping


class Client:
    """Stands in for Docker's."""

    def close(self) -> None: ...


@pytest.fixture(autouse=True)
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> NullEngine:
    """Stand in an empty folder, with the null engine in Docker's place."""
    monkeypatch.chdir(tmp_path)
    made = NullEngine({"A": Script(log=["hello"])})
    monkeypatch.setattr("harness.engine.connection.connect", Client)
    monkeypatch.setattr("harness.engine.docker.DockerEngine", lambda _: made)
    monkeypatch.setattr("harness.engine.sweep.sweep", lambda _: [])
    monkeypatch.setattr("harness.engine.images.resolver.ImageResolver", lambda *_, **__: NullImages(missing={"gone"}))
    return made


def write(*steps: Mapping[str, Any], **more: Any) -> None:
    Path("churn").mkdir(exist_ok=True)
    Path("churn/pipeline.json").write_text(json.dumps(pipeline(*steps, **more)))


def call(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = main([*words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


Capture = pytest.CaptureFixture[str]


def test_a_run_is_shown_on_standard_error_only(capsys: Capture) -> None:
    write(processing("A", "image"))

    code, out, err = call(capsys, "run", "churn")

    assert (code, out) == (0, "")
    assert "[A] hello" in err
    assert "Succeeded after" in err


def test_quiet_shows_no_lines_of_containers(capsys: Capture) -> None:
    write(processing("A", "image"))

    _, _, err = call(capsys, "run", "churn", "--quiet")

    assert "hello" not in err
    assert "Succeeded after" in err


def test_json_is_one_document_on_standard_output(capsys: Capture) -> None:
    write(processing("A", "image"))

    code, out, _ = call(capsys, "run", "churn", "--json")

    document = json.loads(out)
    assert (code, document["status"], document["exit_code"]) == (0, "Succeeded", 0)
    assert json.loads((Path(document["run_dir"]) / "run.json").read_text()) == document


def test_the_results_exit_code_is_the_programs(capsys: Capture, engine: NullEngine) -> None:
    engine.scripts["A"] = Script(exit_code=3)
    write(processing("A", "image"))

    code, out, err = call(capsys, "run", "churn", "--json")

    assert (code, json.loads(out)["exit_code"]) == (1, 1)
    assert "Exit code: 3" in err


def test_what_was_said_reaches_the_run(capsys: Capture, engine: NullEngine) -> None:
    Path("data.csv").write_text("1,2")
    parameters = [{"Name": "Depth", "Type": "Integer", "DefaultValue": 5}]
    inputs = [processing_input("x", "s3://b/x.csv", "/opt/ml/processing/in")]
    write(processing("A", "image", inputs=inputs), parameters=parameters)

    code, out, _ = call(
        capsys, "run", "churn", "-p", "Depth=7", "--input", "s3://b/x.csv=data.csv", "--workspace", "w", "--json",
        "--name", "Other", "--region", "eu-west-1", "--keep",
    )  # fmt: skip

    document = json.loads(out)
    assert code == 0
    assert document["parameters"] == {"Depth": 7}
    assert document["pipeline"] == "Other"
    assert Path(document["run_dir"]).is_relative_to(Path("w").absolute())
    job = engine.job_of("A")
    assert job.kept
    assert job.spec.hosts[0].environment["AWS_REGION"] == "eu-west-1"


def test_the_file_beside_the_pipeline_counts_and_words_win(capsys: Capture) -> None:
    write(processing("A", "image"))
    Path("churn/harness.yaml").write_text("name: FromFile\nworkspace: w\n")

    assert json.loads(call(capsys, "run", "churn", "--json")[1])["pipeline"] == "FromFile"
    document = json.loads(call(capsys, "run", "churn", "--json", "--name", "FromWords")[1])
    assert document["pipeline"] == "FromWords"
    assert Path(document["run_dir"]).is_relative_to(Path("churn/w").absolute())


# plan


def test_a_plan_is_shown_on_standard_output_and_nothing_is_written(capsys: Capture, tmp_path: Path) -> None:
    write(processing("A", "image"))

    code, out, err = call(capsys, "plan", "churn")

    assert (code, err) == (0, "")
    assert out.startswith("churn (churn/pipeline.json): 1 step\n")
    assert [path.name for path in tmp_path.iterdir()] == ["churn"]


def test_a_plan_as_a_document(capsys: Capture) -> None:
    write(processing("A", "image"))

    code, out, _ = call(capsys, "plan", "churn", "--json")

    assert code == 0
    assert json.loads(out)["missing"] == {"inputs": [], "images": []}


@pytest.mark.parametrize(
    ("image", "reads", "code"), [("image", "s3://b/x", 2), ("gone", "", 7), ("gone", "s3://b/x", 2), ("image", "", 0)]
)
@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_plan_ends_as_a_run_would_before_its_first_container(
    capsys: Capture, verb: str, image: str, reads: str, code: int
) -> None:
    inputs = [processing_input("x", reads, "/opt/ml/processing/in")] if reads else []
    write(processing("A", image, inputs=inputs))

    ended, _, err = call(capsys, verb, "churn")

    assert ended == code
    assert ("s3://b/x" in err) is bool(reads)
    assert ("nobody has the image gone" in err) is (image == "gone")


def test_a_plan_with_something_missing_is_shown_all_the_same(capsys: Capture) -> None:
    write(processing("A", "gone"))

    _, out, err = call(capsys, "plan", "churn", "--json")

    assert json.loads(out)["missing"]["images"] != []
    assert err.startswith("harness: churn/pipeline.json: ")


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_without_an_engine_nothing_runs(capsys: Capture, verb: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise EngineUnavailableError("no Docker engine answers", remedy="start Docker")

    monkeypatch.setattr("harness.engine.connection.connect", refuse)
    write(processing("A", "image"))

    code, _, err = call(capsys, verb, "churn")

    assert code == 7
    assert "no Docker engine answers" in err
    assert "start Docker" in err


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_all_mistakes_of_a_call_are_told_at_once(capsys: Capture, verb: str) -> None:
    write(processing("A", "image", DependsOn=["Ghost"]))

    code, out, err = call(capsys, verb, "churn", "-p", "Unknown=1", "--input", "s3://b/x=nowhere.csv")

    assert (code, out) == (2, "")
    assert "3 mistakes" in err
    assert all(word in err for word in ("Ghost", "Unknown", "nowhere.csv"))
    assert "Traceback" not in err
