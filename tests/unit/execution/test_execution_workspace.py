"""Where does everything lie, and is a run found by whatever a person calls it?"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from harness.errors import RunNotFoundError, StorageError
from harness.execution.workspace import RunFolder, Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace")
    made.make()
    return made


def add_run(workspace: Workspace, run_id: str, started_at: str = "2026-01-01T00:00:00.000Z") -> RunFolder:
    folder = workspace.new_run(run_id)
    folder.record.write_text(json.dumps({"run_id": run_id, "started_at": started_at}))
    return folder


# the folders


def test_naming_a_workspace_makes_nothing(tmp_path: Path) -> None:
    Workspace(tmp_path / "workspace")

    assert list(tmp_path.iterdir()) == []


def test_a_workspace_keeps_itself_out_of_git(workspace: Workspace) -> None:
    assert (workspace.root / ".gitignore").read_text() == "*\n"
    assert {path.name for path in workspace.root.iterdir()} == {".gitignore", "runs", "s3", "tmp"}


def test_a_workspace_can_be_made_again(workspace: Workspace) -> None:
    (workspace.root / ".gitignore").write_text("mine\n")

    workspace.make()

    assert (workspace.root / ".gitignore").read_text() == "mine\n"


def test_a_relative_path_is_made_absolute_and_links_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)

    assert Workspace(Path("link/w")).root == tmp_path / "link" / "w"


def test_a_file_in_the_workspaces_place_is_told(tmp_path: Path) -> None:
    (tmp_path / "workspace").write_text("mine")

    with pytest.raises(StorageError, match="making the workspace"):
        Workspace(tmp_path / "workspace").make()


def test_a_run_whose_id_is_taken_is_told(workspace: Workspace) -> None:
    workspace.new_run("a")

    with pytest.raises(StorageError, match="making the folder of run a"):
        workspace.new_run("a")


def test_a_workspace_that_cannot_be_written_is_told(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace.check_room()

    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(StorageError, match="not writable"):
        workspace.check_room()


# one run


def test_a_run_knows_its_files(workspace: Workspace) -> None:
    folder = workspace.new_run("a")

    assert folder.run_id == "a"
    assert folder.record == workspace.root / "runs/a/run.json"
    assert folder.attempt("Train", 1) == workspace.root / "runs/a/steps/Train/1"


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null"])
def test_a_missing_or_broken_record_is_empty(workspace: Workspace, text: str | None) -> None:
    folder = workspace.new_run("a")
    if text is not None:
        folder.record.write_text(text)

    assert folder.read() == {}


def test_logs_are_listed_by_attempt_and_host(workspace: Workspace) -> None:
    folder = workspace.new_run("a")
    places = [("2", "algo-1"), ("10", "algo-1"), ("1", "algo-2"), ("1", "algo-1")]
    for attempt, host in places:
        path = folder.path / "steps/Train" / attempt / host / "log.txt"
        path.parent.mkdir(parents=True)
        path.touch()

    assert [entry[:2] for entry in folder.log_files("Train")] == [
        ("1", "algo-1"), ("1", "algo-2"), ("2", "algo-1"), ("10", "algo-1"),
    ]  # fmt: skip
    assert folder.log_files("Other") == []


def test_steps_with_logs_are_listed(workspace: Workspace) -> None:
    folder = workspace.new_run("a")
    assert folder.steps_with_logs() == []

    for step in ("B", "A"):
        path = folder.path / "steps" / step / "1" / "algo-1" / "log.txt"
        path.parent.mkdir(parents=True)
        path.touch()
    (folder.path / "steps" / "NeverStarted" / "1").mkdir(parents=True)

    assert sorted(folder.steps_with_logs()) == ["A", "B"]


# finding runs


def test_runs_are_listed_oldest_first(workspace: Workspace) -> None:
    add_run(workspace, "b", "2026-01-01T00:00:00.000Z")
    add_run(workspace, "a", "2026-01-02T00:00:00.000Z")
    workspace.new_run("without-a-record")

    assert [run.run_id for run in workspace.all_runs()] == ["b", "a"]


def test_a_workspace_that_does_not_exist_has_no_runs(tmp_path: Path) -> None:
    assert Workspace(tmp_path / "nowhere").all_runs() == []


@pytest.mark.parametrize("record", [{}, {"started_at": None}, {"started_at": 5}])
def test_a_broken_record_does_not_hide_the_other_runs(workspace: Workspace, record: Any) -> None:
    add_run(workspace, "good")
    workspace.new_run("broken").record.write_text(json.dumps(record))

    assert {run.run_id for run in workspace.all_runs()} == {"good", "broken"}


@pytest.mark.parametrize("name", ["abcdef", "abc", "last"])
def test_a_run_is_found_by_id_by_its_beginning_and_as_the_last(workspace: Workspace, name: str) -> None:
    add_run(workspace, "xyz", "2026-01-01T00:00:00.000Z")
    add_run(workspace, "abcdef", "2026-01-02T00:00:00.000Z")

    assert workspace.find_run(name).run_id == "abcdef"


def test_an_id_that_begins_another_is_meant_itself(workspace: Workspace) -> None:
    add_run(workspace, "abc")
    add_run(workspace, "abcdef")

    assert workspace.find_run("abc").run_id == "abc"


def test_the_last_of_two_that_began_together_has_the_later_id(workspace: Workspace) -> None:
    add_run(workspace, "a")
    add_run(workspace, "b")

    assert workspace.find_run("last").run_id == "b"


def test_a_run_is_found_by_its_folder_wherever_that_lies(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = add_run(workspace, "a")
    elsewhere = Workspace(tmp_path / "elsewhere")
    monkeypatch.chdir(tmp_path)

    assert elsewhere.find_run(str(folder.path)).record == folder.record
    assert elsewhere.find_run("workspace/runs/a").read()["run_id"] == "a"


def test_a_beginning_that_several_have_names_them(workspace: Workspace) -> None:
    add_run(workspace, "abc1", "2026-01-01T00:00:00.000Z")
    add_run(workspace, "abc2", "2026-01-02T00:00:00.000Z")

    with pytest.raises(RunNotFoundError, match="begin with 'abc': abc1, abc2"):
        workspace.find_run("abc")


def test_an_unknown_run_is_told_with_the_newest_one(workspace: Workspace) -> None:
    add_run(workspace, "abc")

    with pytest.raises(RunNotFoundError) as caught:
        workspace.find_run("xyz")

    assert "no run 'xyz'" in caught.value.message
    assert "the newest is abc" in caught.value.message
    assert caught.value.remedy.startswith("harness runs --workspace")


@pytest.mark.parametrize("name", ["last", "abc"])
def test_without_any_run_that_is_what_is_told(workspace: Workspace, name: str) -> None:
    with pytest.raises(RunNotFoundError, match="there is no run yet"):
        workspace.find_run(name)
