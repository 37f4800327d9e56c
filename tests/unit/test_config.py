"""Where does each setting come from, and who is told what is wrong with one?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from harness.config import Settings, load_settings
from harness.errors import ConfigurationError

VARIABLES = ["HARNESS_WORKSPACE", "HARNESS_JOBS", "HARNESS_PULL", "HARNESS_REGION", "HARNESS_STAGING"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty project, without any variable of ours."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "churn").mkdir()
    monkeypatch.chdir(tmp_path)
    return tmp_path


def project(text: str) -> None:
    Path("pyproject.toml").write_text(text, encoding="utf-8")


def pipeline(text: str) -> None:
    Path("churn/harness.yaml").write_text(text, encoding="utf-8")


def load(**flags: Any) -> Settings:
    return load_settings(Path("churn"), flags)


def wrong(**flags: Any) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(**flags)
    return str(caught.value)


# defaults


def test_defaults() -> None:
    settings = load()

    assert settings == Settings()
    assert settings.workspace == Path(".harness")
    assert (settings.jobs, settings.staging, settings.pull, settings.region) == (4, "auto", None, None)
    assert (settings.stop_grace_s, settings.interrupt_grace_s) == (120, 10)
    assert not settings.fail_fast
    assert not settings.keep


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Settings().jobs = 5  # type: ignore[misc]


# the order


SOURCES = ["pyproject.toml", "harness.yaml", "HARNESS_JOBS", "--jobs"]


@pytest.mark.parametrize("count", range(1, 5))
def test_the_later_source_wins(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    flags: dict[str, Any] = {}
    for number, source in enumerate(SOURCES[:count], start=1):
        if source == "pyproject.toml":
            project(f"[tool.harness]\njobs = {number}\n")
        elif source == "harness.yaml":
            pipeline(f"jobs: {number}\n")
        elif source == "HARNESS_JOBS":
            monkeypatch.setenv("HARNESS_JOBS", str(number))
        else:
            flags["jobs"] = number

    assert load(**flags).jobs == count


def test_a_flag_that_was_not_given_does_not_count() -> None:
    pipeline("jobs: 7\nkeep: true\n")

    settings = load(jobs=None, keep=None)

    assert (settings.jobs, settings.keep) == (7, True)


def test_a_flag_may_take_back_what_a_file_says() -> None:
    pipeline("fail_fast: true\n")

    assert load(fail_fast=False).fail_fast is False


@pytest.mark.parametrize("name", ["inputs", "images", "parameters"])
def test_maps_are_merged_key_by_key(name: str, here: Path) -> None:
    project(f'[tool.harness.{name}]\n"s3://b/1" = "project"\n"s3://b/2" = "project"\n')
    pipeline(f"{name}:\n  s3://b/2: file\n  s3://b/3: file\n")

    merged = getattr(load(**{name: {"s3://b/3": "flag"}}), name)

    found = {uri: Path(str(value)).name for uri, value in merged.items()}
    assert found == {"s3://b/1": "project", "s3://b/2": "file", "s3://b/3": "flag"}
    assert here.is_dir()


def test_an_empty_map_takes_nothing_back() -> None:
    pipeline("parameters:\n  Depth: 5\n")

    assert load(parameters={}).parameters == {"Depth": 5}


def test_the_file_beside_another_pipeline_does_not_count() -> None:
    pipeline("jobs: 7\n")

    assert load_settings(None, {}).jobs == 4
    assert load_settings(Path(), {}).jobs == 4


@pytest.mark.parametrize(
    ("variable", "value", "name", "expected"),
    [
        ("HARNESS_WORKSPACE", "/elsewhere", "workspace", Path("/elsewhere")),
        ("HARNESS_JOBS", "2", "jobs", 2),
        ("HARNESS_PULL", "never", "pull", "never"),
        ("HARNESS_REGION", "eu-west-1", "region", "eu-west-1"),
        ("HARNESS_STAGING", "bind", "staging", "bind"),
    ],
)
def test_variables(variable: str, value: str, name: str, expected: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, value)

    assert getattr(load(), name) == expected


def test_an_empty_variable_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HARNESS_JOBS", "")

    assert load().jobs == 4


# paths


def test_paths_in_a_file_are_relative_to_the_file(here: Path) -> None:
    pipeline("workspace: work\ninputs:\n  s3://b/x: data/x.csv\n  s3://b/y: /abs/y.csv\n")

    settings = load()

    assert settings.workspace == here / "churn" / "work"
    assert settings.inputs == {"s3://b/x": here / "churn/data/x.csv", "s3://b/y": Path("/abs/y.csv")}


def test_paths_of_the_project_are_relative_to_the_project(here: Path) -> None:
    project('[tool.harness]\nworkspace = "work"\n[tool.harness.inputs]\n"s3://b/x" = "data/x.csv"\n')

    settings = load()

    assert settings.workspace == here / "work"
    assert settings.inputs == {"s3://b/x": here / "data/x.csv"}


def test_paths_of_flags_are_relative_to_the_caller() -> None:
    settings = load(workspace="work", inputs={"s3://b/x": Path("x.csv")})

    assert settings.workspace == Path("work")
    assert settings.inputs == {"s3://b/x": Path("x.csv")}


# what is wrong


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("colour: blue\n", "colour: Extra inputs are not permitted"),
        ("jobs: many\n", "jobs: Input should be a valid integer"),
        ("jobs: 0\n", "jobs: Input should be greater than or equal to 1"),
        ("staging: magic\n", "staging: Input should be 'auto'"),
        ("inputs: [a]\n", "inputs: Input should be a valid dictionary"),
        ("inputs:\n  s3://b/x: 5\n", "inputs.s3://b/x: "),
        ("- a\n", "expected a mapping of settings, found list"),
        ("just words", "expected a mapping of settings, found str"),
        ("jobs: [\n", "expected the node content"),
        ("jobs: 1\njobs: 2\n\t", ""),
    ],
)
def test_a_mistake_in_a_file_is_told_with_its_key_and_the_files_name(text: str, said: str) -> None:
    pipeline(text)

    message = wrong()

    assert message.startswith("churn/harness.yaml: ")
    assert said in message


def test_all_mistakes_of_a_file_are_told_at_once() -> None:
    pipeline("jobs: 0\ncolour: blue\n")

    message = wrong()

    assert "jobs: " in message
    assert "colour: " in message


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[tool.harness]\ncolour = 1\n", "colour: Extra inputs are not permitted"),
        ("[tool.harness]\njobs = \n", "pyproject.toml: "),
        ("[tool.harness]\njobs = 'x'\n", "jobs: "),
        ("[ tool . harness ]\njobs = 'x'\n", "jobs: "),
        ("[tool.harness.inputs]\nx = 5\n", "inputs.x: "),
    ],
)
def test_a_mistake_in_the_project_is_told_with_its_files_name(text: str, said: str) -> None:
    project(text)

    message = wrong()

    assert message.startswith("pyproject.toml: ")
    assert said in message


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[tool.other]\nx = 1\n",
        "[tool.harness-other]\nx = 1\n",
        "[tool.harnesses]\nx = 1\n",
        "# [tool.harness]\n",
        "=",
    ],
)
def test_a_project_that_says_nothing_about_us_is_left_alone(text: str) -> None:
    project(text)

    assert load() == Settings()


def test_an_empty_file_says_nothing() -> None:
    pipeline("# nothing yet\n")

    assert load() == Settings()


def test_a_file_that_is_no_text_is_told() -> None:
    Path("churn/harness.yaml").write_bytes(b"\xff\xfe")

    assert wrong().startswith("churn/harness.yaml: ")


@pytest.mark.parametrize(
    ("variable", "value"), [("HARNESS_JOBS", "many"), ("HARNESS_JOBS", "0"), ("HARNESS_PULL", "x")]
)
def test_a_mistake_in_a_variable_is_told_with_its_name(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)

    assert wrong().startswith(f"the variable {variable}: ")


def test_a_mistake_in_a_flag_is_told() -> None:
    assert "jobs: " in wrong(jobs=0)


def test_yaml_cannot_make_objects() -> None:
    pipeline("name: !!python/object/apply:os.getcwd []\n")

    assert "could not determine a constructor" in wrong()
