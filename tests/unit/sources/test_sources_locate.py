"""Which file does PIPELINE mean?"""

from __future__ import annotations

import io
import sys
from pathlib import Path

import pytest

from harness.errors import DefinitionError, UsageError
from harness.sources import Source, find_source
from harness.sources import locate as module


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder with a pipeline of every kind."""
    monkeypatch.chdir(tmp_path)
    for name in ("churn", "examples/demo", "empty"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "churn" / "pipeline.json").write_text("churn")
    (tmp_path / "churn" / "other.json").write_text("other")
    (tmp_path / "examples" / "demo" / "pipeline.json").write_text("demo")
    return tmp_path


def test_a_file_of_any_name() -> None:
    assert find_source("churn/other.json") == Source("churn/other.json", "other", Path("churn"), "other")


def test_a_folder_with_a_definition_is_called_like_the_folder() -> None:
    assert find_source("churn") == Source("churn/pipeline.json", "churn", Path("churn"), "churn")


def test_the_current_folder_has_a_name_too(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(here / "churn")

    assert find_source(".").name == "churn"


def test_a_name_under_examples() -> None:
    assert find_source("demo") == Source("examples/demo/pipeline.json", "demo", Path("examples/demo"), "demo")


def test_a_folder_here_comes_before_one_under_examples(here: Path) -> None:
    (here / "demo").mkdir()
    (here / "demo" / "pipeline.json").write_text("mine")

    assert find_source("demo").text == "mine"


def test_an_absolute_path(here: Path) -> None:
    assert find_source(str(here / "churn")).folder == here / "churn"


def test_a_byte_order_mark_is_no_part_of_the_text(here: Path) -> None:
    (here / "bom.json").write_bytes(b"\xef\xbb\xbf{}")

    assert find_source("bom.json").text == "{}"


@pytest.mark.parametrize("pipeline", ["nowhere", "churn/nowhere.json", "examples/nowhere", "a\0b", ""])
def test_what_is_not_there_is_told(pipeline: str) -> None:
    if pipeline:
        with pytest.raises(UsageError, match="there is no such file or folder"):
            find_source(pipeline)
    else:
        with pytest.raises(UsageError, match=r"the folder \. has no pipeline\.json"):
            find_source(pipeline)


@pytest.mark.parametrize("pipeline", ["x" * 300, '{"Version": "2020-12-01"' + " " * 5000 + "}"])
def test_a_definition_in_the_place_of_its_files_name_is_told_and_not_repeated(pipeline: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_source(pipeline)

    assert len(str(caught.value)) < 300


def test_a_folder_without_a_definition_is_told() -> None:
    with pytest.raises(UsageError, match=r"the folder empty has no pipeline\.json"):
        find_source("empty")


def test_a_file_that_cannot_be_read_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UsageError, match=r"other\.json cannot be read: Permission denied"):
        find_source(str(here / "churn" / "other.json"))


def test_what_is_no_text_is_told(here: Path) -> None:
    (here / "binary").write_bytes(b"\xff\xfe\0")

    with pytest.raises(DefinitionError, match="not UTF-8 text"):
        find_source("binary")


def test_a_file_that_is_far_too_large_is_told(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SIZE_LIMIT", 3)
    (here / "large.json").write_text("1234")

    with pytest.raises(DefinitionError, match="more than 3 bytes"):
        find_source("large.json")


# standard input


def stdin(monkeypatch: pytest.MonkeyPatch, data: bytes) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


def test_a_dash_is_standard_input_as_utf8_whatever_the_terminal_speaks(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, '{"Name": "Zürich"}'.encode())

    assert find_source("-") == Source("standard input", '{"Name": "Zürich"}', None, "pipeline")


def test_standard_input_that_is_no_text_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin(monkeypatch, b"\xff")

    with pytest.raises(DefinitionError, match="standard input"):
        find_source("-")
