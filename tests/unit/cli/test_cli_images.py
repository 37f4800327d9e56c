"""What do images list, build and which tell?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.cli import images as verbs
from harness.cli.main import main
from harness.engine.images import standins
from harness.errors import EngineUnavailableError
from harness.results import ImageUse

if TYPE_CHECKING:
    from collections.abc import Callable

NAMES = [one.name for one in standins.catalog()]
SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


class Desk:
    """Stands in for the engine: what is built, what was asked for."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.built: list[str] = []
        self.asked: list[Any] = []
        self.closed = 0
        patch.setattr(verbs, "connect", lambda: self)
        patch.setattr(standins, "is_built", lambda _, one: one.name in self.built)
        patch.setattr(standins, "build", self.build)
        patch.setattr(verbs, "ImageResolver", self.resolver)

    def build(self, _: Any, one: Any, *, progress: Callable[[str], None]) -> str:
        progress(f"building {one.name}")
        self.asked.append(one.name)
        return f"sagemaker-harness/{one.name}"

    def resolver(self, _: Any, **wishes: Any) -> Desk:
        self.asked.append(wishes)
        return self

    def resolve(self, uri: str, *, dry: bool) -> ImageUse:
        self.asked.append((uri, dry))
        return ImageUse(
            uri=uri, reference="local", source="stand-in", detail="sklearn:1.2-1", image_id="sha256:01",
            differences=("no server", "no GPU"),
        )  # fmt: skip

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def desk(monkeypatch: pytest.MonkeyPatch) -> Desk:
    return Desk(monkeypatch)


@pytest.fixture
def _no_engine(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse() -> None:
        raise EngineUnavailableError("no Docker engine answers", remedy="start Docker")

    monkeypatch.setattr(verbs, "connect", refuse)


Capture = pytest.CaptureFixture[str]


def test_stand_ins_are_listed_with_their_state(desk: Desk, capsys: Capture) -> None:
    desk.built = NAMES[:1]

    assert main(["images", "list"]) == 0

    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split("  ")[0] == "stand-in"
    assert [row.split()[0] for row in rows] == NAMES
    assert " built " in rows[0]
    assert all(" not built " in row for row in rows[1:])
    assert desk.closed == 1


@pytest.mark.usefixtures("_no_engine")
def test_without_an_engine_the_list_says_what_it_does_not_know(capsys: Capture) -> None:
    assert main(["images", "list", "--json"]) == 0

    captured = capsys.readouterr()
    assert {row["state"] for row in json.loads(captured.out)} == {"unknown"}
    assert "no Docker engine answers" in captured.err


def test_a_stand_in_is_built_by_its_name_or_by_a_uri_that_it_stands_for(desk: Desk, capsys: Capture) -> None:
    name = NAMES[-1]

    assert main(["images", "build", name, SKLEARN]) == 0

    found = standins.find(verbs.parse_image_uri(SKLEARN))
    assert found is not None
    assert desk.asked == [name, found.name]
    assert capsys.readouterr().out.splitlines()[0] == f"sagemaker-harness/{name}"
    assert desk.closed == 1


@pytest.mark.usefixtures("capsys")
def test_without_a_name_all_are_built_but_the_large_ones(desk: Desk) -> None:
    main(["images", "build"])

    assert desk.asked == [one.name for one in standins.catalog() if not one.on_demand]


def test_a_stand_in_that_does_not_exist_is_told_with_those_that_do(desk: Desk, capsys: Capture) -> None:
    assert main(["images", "build", "cobol"]) == 2

    said = capsys.readouterr().err
    assert "there is no stand-in 'cobol'" in said
    assert all(name in said for name in NAMES)
    assert desk.asked == []


@pytest.mark.usefixtures("_no_engine")
@pytest.mark.parametrize("words", [["build"], ["which", "uri"]])
def test_without_an_engine_nothing_is_built_or_looked_up(words: list[str], capsys: Capture) -> None:
    assert main(["images", *words]) == 7
    assert "start Docker" in capsys.readouterr().err


def test_which_image_is_told_without_getting_it(desk: Desk, capsys: Capture) -> None:
    assert main(["images", "which", "uri", "--pull", "never"]) == 0

    assert desk.asked[0]["pull"] == "never"
    assert desk.asked[1] == ("uri", True)
    assert capsys.readouterr().out == (
        "uri      uri\n"
        "runs in  local\n"
        "source   stand-in (sklearn:1.2-1)\n"
        "id       sha256:01\n"
        "differs  no server\n"
        "differs  no GPU\n"
    )
    assert desk.closed == 1
