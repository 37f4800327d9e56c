"""From a source and settings to a plan or a result: what is found before anything runs, and in which order?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.definitions import OUT, condition, pipeline, processing, processing_input, processing_output, training
from support.simulation import Script

from harness.config import Settings
from harness.engine.null import NullEngine, NullImages
from harness.errors import DefinitionError, EngineUnavailableError, InputError, PreflightError, StorageError
from harness.execution.run import Prepared, plan_pipeline, prepare, run_pipeline
from harness.sources import Source

if TYPE_CHECKING:
    from collections.abc import Mapping

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/mine:1"
IN = "/opt/ml/processing/in"


def source(*steps: Mapping[str, Any], **more: Any) -> Source:
    return Source("churn/pipeline.json", json.dumps({**pipeline(*steps), **more}), Path("churn"), "churn")


def job(name: str = "A", *, reads: str = "", **more: Any) -> dict[str, Any]:
    inputs = [processing_input("data", reads, IN)] if reads else []
    return processing(name, IMAGE, inputs=inputs, outputs=[processing_output("out", f"s3://bucket/{name}")], **more)


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    return {"workspace": tmp_path / "workspace"}


class World:
    """What stands in for Docker: a client, a null engine, images, and a list of what was done."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.done: list[str] = []
        self.engine = NullEngine({"A": Script(files={f"{OUT}/a": "a"})})
        self.images = NullImages()
        self.left: list[str] = []
        patch.setattr("harness.engine.connection.connect", self.connect)
        patch.setattr("harness.engine.docker.DockerEngine", lambda _: self.engine)
        patch.setattr("harness.engine.sweep.sweep", self.sweep)
        patch.setattr("harness.engine.images.resolver.ImageResolver", self.resolver)

    def connect(self) -> World:
        self.done.append("connect")
        return self

    def close(self) -> None:
        self.done.append("close")

    def sweep(self, _: Any) -> list[str]:
        self.done.append("sweep")
        return self.left

    def resolver(self, _: Any, **wishes: Any) -> World:
        self.wishes = wishes
        return self

    def resolve_all(self, uris: list[str], *, dry: bool) -> Any:
        self.done.append("look for images" if dry else "get images")
        return self.images.resolve_all(uris)

    def resolve(self, uri: str) -> Any:
        return self.images.resolve(uri)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise EngineUnavailableError("no Docker engine answers", remedy="start Docker")

    monkeypatch.setattr("harness.engine.connection.connect", refuse)


def run(prepared: Prepared, **options: Any) -> Any:
    return run_pipeline(prepared, progress=options.pop("progress", lambda _: None), **options)


# reading


def test_preparing_writes_nothing(settings: Any, tmp_path: Path) -> None:
    prepare(source(job()), Settings(**settings))

    assert list(tmp_path.iterdir()) == []


def test_the_identity_comes_from_what_the_definition_names(settings: Any) -> None:
    identity = prepare(source(job()), Settings(**settings)).identity

    assert (identity.region, identity.account, identity.pipeline) == ("eu-west-1", "111122223333", "churn")
    assert len(identity.execution_id) == 12


def test_settings_win_over_the_definition(settings: Any) -> None:
    identity = prepare(source(job()), Settings(**settings, region="us-west-2", name="other")).identity

    assert (identity.region, identity.pipeline) == ("us-west-2", "other")


def test_without_any_hint_the_region_is_us_east_1_and_the_account_zeros(settings: Any) -> None:
    step = processing("A", "python:3")
    del step["Arguments"]["RoleArn"]

    identity = prepare(source(step), Settings(**settings)).identity

    assert (identity.region, identity.account) == ("us-east-1", "000000000000")


def test_the_account_is_found_in_a_branch_too(settings: Any) -> None:
    prepared = prepare(source(condition("C", 1, 1, then=[training("T", "i")])), Settings(**settings))

    assert prepared.identity.account == "111122223333"


def test_mistakes_of_definition_parameters_and_inputs_are_told_together(settings: Any, tmp_path: Path) -> None:
    wrong = job(DependsOn=["Ghost"])
    given = {"s3://b/x": tmp_path / "nowhere"}

    with pytest.raises(DefinitionError) as caught:
        prepare(source(wrong), Settings(**settings, inputs=given, parameters={"Unknown": "1"}))

    said = str(caught.value)
    assert "Ghost" in said
    assert "Unknown" in said
    assert "nowhere does not exist" in said
    assert "3 mistakes" in said


def test_wrong_inputs_alone_are_an_input_error(settings: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere does not exist"):
        prepare(source(job()), Settings(**settings, inputs={"s3://b/x": tmp_path / "nowhere"}))


# planning


def test_a_plan_looks_for_images_without_getting_them_and_writes_nothing(
    world: World, settings: Any, tmp_path: Path
) -> None:
    plan = plan_pipeline(prepare(source(job()), Settings(**settings)))

    assert world.done == ["connect", "look for images", "close"]
    assert plan.steps[0].image_source == "engine"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_engine")
def test_a_plan_without_an_engine_says_so_and_knows_the_rest(settings: Any) -> None:
    plan = plan_pipeline(prepare(source(job(reads="s3://b/x")), Settings(**settings)))

    assert plan.engine_problem == "no Docker engine answers – start Docker"
    assert plan.inputs[0].state == "missing"
    assert plan.steps[0].image == IMAGE
    assert plan.steps[0].image_source is None


# running


def test_a_run_does_things_in_order(world: World, settings: Any) -> None:
    prepared = prepare(source(job()), Settings(**settings))

    result = run(prepared)

    assert world.done == ["connect", "sweep", "get images", "close"]
    assert (result.exit_code, result.run_id) == (0, prepared.identity.execution_id)
    assert prepared.workspace.store.keys("s3://bucket") == ["A/a"]


def test_the_callers_wishes_reach_the_search_for_images(world: World, settings: Any) -> None:
    run(prepare(source(job()), Settings(**settings, images={IMAGE: "mine"}, pull="always", ecr_login=True)))

    assert world.wishes["overrides"] == {IMAGE: "mine"}
    assert (world.wishes["pull"], world.wishes["ecr_login"]) == ("always", True)


@pytest.mark.usefixtures("world")
def test_the_definition_lies_beside_the_run(settings: Any) -> None:
    prepared = prepare(source(job()), Settings(**settings))

    result = run(prepared)

    assert (Path(result.run_dir) / "definition.json").read_text() == prepared.source.text


@pytest.mark.usefixtures("world")
def test_the_stream_begins_with_the_images(settings: Any) -> None:
    result = run(prepare(source(job()), Settings(**settings)))

    lines = (Path(result.run_dir) / "events.jsonl").read_text().splitlines()
    assert [json.loads(line)["event"] for line in lines][:2] == ["image.resolved", "run.started"]


def test_given_inputs_are_brought_in_before_the_run_and_told(world: World, settings: Any, tmp_path: Path) -> None:
    (tmp_path / "data.csv").write_text("1,2")
    seen: list[bytes] = []
    world.engine.scripts["A"] = Script(program=lambda host: seen.append(host.read(f"{IN}/data.csv")))
    told: list[str] = []
    wanted = Settings(**settings, inputs={"s3://b/data.csv": tmp_path / "data.csv"})

    run(prepare(source(job(reads="s3://b/data.csv")), wanted), progress=told.append)
    run(prepare(source(job(reads="s3://b/data.csv")), wanted), progress=told.append)

    assert seen == [b"1,2", b"1,2"]
    assert told == ["1 new or changed local file brought in as S3 objects"]


def test_what_a_killed_run_left_is_told(world: World, settings: Any) -> None:
    world.left = ["container sagemaker-harness-x"]
    told: list[str] = []

    run(prepare(source(job()), Settings(**settings)), progress=told.append)

    assert told == ["removed container sagemaker-harness-x, left by a run that was killed"]


@pytest.mark.parametrize("mode", ["overlay", "bind", "archive"])
def test_the_way_of_staging_is_tried_or_chosen(world: World, settings: Any, mode: Any) -> None:
    world.engine = NullEngine(mode=mode)
    result = run(prepare(source(job()), Settings(**settings)))
    assert json.loads((Path(result.run_dir) / "events.jsonl").read_text().splitlines()[1])["staging"] == mode

    world.engine = NullEngine(mode="bind")
    result = run(prepare(source(job()), Settings(**settings, staging=mode)))
    assert json.loads((Path(result.run_dir) / "events.jsonl").read_text().splitlines()[1])["staging"] == mode


# what keeps a run from starting


def test_a_missing_input_is_told_before_any_image_is_built(world: World, settings: Any, tmp_path: Path) -> None:
    world.images = NullImages(missing={IMAGE})

    with pytest.raises(PreflightError) as caught:
        run(prepare(source(job(reads="s3://b/x")), Settings(**settings)))

    assert world.done == ["connect", "sweep", "look for images", "close"]
    assert caught.value.exit_code == 2
    assert "s3://b/x" in str(caught.value)
    assert f"nobody has the image {IMAGE}" in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_image_ends_with_7_and_nothing_is_written(world: World, settings: Any, tmp_path: Path) -> None:
    world.images = NullImages(missing={IMAGE})

    with pytest.raises(PreflightError) as caught:
        run(prepare(source(job()), Settings(**settings)))

    assert caught.value.exit_code == 7
    assert world.done[-1] == "close"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_nothing_runs(settings: Any) -> None:
    with pytest.raises(EngineUnavailableError) as caught:
        run(prepare(source(job()), Settings(**settings)))

    assert caught.value.exit_code == 7
    assert caught.value.remedy == "start Docker"


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_missing_inputs_are_told_too(settings: Any) -> None:
    with pytest.raises(PreflightError) as caught:
        run(prepare(source(job(reads="s3://b/x")), Settings(**settings)))

    assert caught.value.exit_code == 2
    assert "s3://b/x" in str(caught.value)
    assert "no Docker engine answers" in str(caught.value)


def test_a_workspace_that_cannot_be_made_is_told_and_the_engine_let_go(world: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(StorageError, match="making the workspace"):
        run(prepare(source(job()), Settings(workspace=tmp_path / "file")))

    assert world.done[-1] == "close"
