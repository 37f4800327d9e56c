"""How do the caller's own files become objects, without being touched and without being copied twice?"""

from __future__ import annotations

import json
import os
import stat
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import KeyLayoutError
from harness.storage.imports import GivenInput, bring_in, read_given

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.storage.bucket import BucketStore


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """Make the caller's own folder."""
    folder = tmp_path / "mine"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.csv").write_text("1")
    (folder / "sub" / "b.csv").write_text("2")
    return folder


@pytest.fixture
def bring(store: BucketStore, tmp_path: Path) -> Callable[[str, Path], int]:
    """Bring one input in and say how many objects were written."""

    def bring_one(uri: str, path: Path) -> int:
        found, mistakes = read_given({uri: path}, store)
        assert mistakes == []
        return sum(bring_in(one, store, tmp_path / "imports.json") for one in found)

    return bring_one


Bring = Any


# which objects a path stands for


def objects(store: BucketStore, uri: str, path: Path) -> dict[str, Path]:
    (found,), mistakes = read_given({uri: path}, store)
    assert mistakes == []
    return dict(found.objects)


def test_a_file_takes_the_key(store: BucketStore, mine: Path) -> None:
    assert objects(store, "s3://b/data/train.csv", mine / "a.csv") == {"s3://b/data/train.csv": mine / "a.csv"}


@pytest.mark.parametrize(("uri", "key"), [("s3://b/data/", "data/a.csv"), ("s3://b", "a.csv"), ("s3://b/", "a.csv")])
def test_a_file_for_a_prefix_keeps_its_name_below_it(store: BucketStore, mine: Path, uri: str, key: str) -> None:
    assert objects(store, uri, mine / "a.csv") == {f"s3://b/{key}": mine / "a.csv"}


@pytest.mark.parametrize("uri", ["s3://b/data", "s3://b/data/"])
def test_a_folders_files_lie_below_the_prefix(store: BucketStore, mine: Path, uri: str) -> None:
    assert objects(store, uri, mine) == {
        "s3://b/data/a.csv": mine / "a.csv",
        "s3://b/data/sub/b.csv": mine / "sub/b.csv",
    }


@pytest.mark.parametrize("uri", ["s3://b/code/sourcedir.tar.gz", "s3://b/code/sourcedir.tgz"])
def test_a_folder_for_an_archives_key_is_packed(store: BucketStore, mine: Path, uri: str) -> None:
    (found,), _ = read_given({uri: mine}, store)

    assert found == GivenInput(uri, mine, packed=True, objects={uri: mine})


def test_an_archive_for_an_archives_key_is_a_file_like_any_other(store: BucketStore, tmp_path: Path) -> None:
    (tmp_path / "x.tar.gz").write_bytes(b"packed already")

    (found,), _ = read_given({"s3://b/x.tar.gz": tmp_path / "x.tar.gz"}, store)

    assert not found.packed


def test_files_behind_a_link_to_a_folder_count(store: BucketStore, mine: Path, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "big.csv").write_text("3")
    (mine / "train").symlink_to(tmp_path / "disk")

    assert "s3://b/data/train/big.csv" in objects(store, "s3://b/data", mine)


# mistakes


def mistakes_of(store: BucketStore, uri: str, path: Path) -> list[str]:
    return [str(mistake) for mistake in read_given({uri: path}, store)[1]]


def test_a_missing_path_is_a_mistake(store: BucketStore, tmp_path: Path) -> None:
    assert mistakes_of(store, "s3://b/x", tmp_path / "nowhere") == [
        f"--input: {tmp_path / 'nowhere'} does not exist (given for s3://b/x)",
    ]


@pytest.mark.parametrize("uri", ["s3://b/x", "s3://b/x.tar.gz"])
def test_a_folder_without_files_is_a_mistake(store: BucketStore, tmp_path: Path, uri: str) -> None:
    (tmp_path / "empty" / "deeper").mkdir(parents=True)

    assert mistakes_of(store, uri, tmp_path / "empty") == [
        f"--input: {tmp_path / 'empty'} holds no file (given for {uri})",
    ]


@pytest.mark.parametrize("uri", ["b/x", "https://b/x", "s3://", "s3://b/../x", "s3://b/a//x"])
def test_a_uri_that_cannot_be_a_file_here_is_a_mistake(store: BucketStore, mine: Path, uri: str) -> None:
    (said,) = mistakes_of(store, uri, mine / "a.csv")

    assert said.startswith("--input: ")
    assert uri.rstrip("/") in said


def test_a_file_whose_name_cannot_be_a_key_is_a_mistake(store: BucketStore, mine: Path) -> None:
    with open(os.fsencode(mine) + b"/caf\xe9", "wb"):  # noqa: PTH123 – no str has this name
        pass

    (said,) = mistakes_of(store, "s3://b/x", mine)

    assert "is no UTF-8" in said
    said.encode()


def test_all_mistakes_are_told_at_once(store: BucketStore, mine: Path, tmp_path: Path) -> None:
    given = {"s3://b/x": tmp_path / "nowhere", "b/x": mine, "s3://b/good": mine}

    found, mistakes = read_given(given, store)

    assert len(mistakes) == 2
    assert [one.uri for one in found] == ["s3://b/good"]


def test_looking_copies_nothing(store: BucketStore, mine: Path) -> None:
    read_given({"s3://b/data": mine}, store)

    assert list(store.root.iterdir()) == []


# copying


def test_a_folder_is_copied(store: BucketStore, mine: Path, bring: Bring) -> None:
    assert bring("s3://b/data", mine) == 2

    assert store.keys("s3://b") == ["data/a.csv", "data/sub/b.csv"]
    assert store.path("s3://b/data/sub/b.csv").read_text() == "2"


def test_the_callers_file_is_left_as_it_is(store: BucketStore, mine: Path, bring: Bring) -> None:
    path = mine / "a.csv"
    path.chmod(0o600)
    before = path.stat()

    bring("s3://b/data", mine)
    store.path("s3://b/data/a.csv").write_text("changed in the store")

    after = path.stat()
    assert path.read_text() == "1"
    assert (after.st_ino, after.st_mode, after.st_mtime_ns) == (before.st_ino, before.st_mode, before.st_mtime_ns)
    assert after.st_nlink == 1


@pytest.mark.usefixtures("any_umask")
def test_what_comes_in_is_readable_for_everybody(store: BucketStore, mine: Path, bring: Bring) -> None:
    (mine / "a.csv").chmod(0o600)

    bring("s3://b/data", mine)

    assert stat.S_IMODE(store.path("s3://b/data/a.csv").stat().st_mode) == 0o644


def test_the_second_time_nothing_is_copied(store: BucketStore, mine: Path, bring: Bring) -> None:
    bring("s3://b/data", mine)
    inode = store.path("s3://b/data/a.csv").stat().st_ino

    assert bring("s3://b/data", mine) == 0
    assert store.path("s3://b/data/a.csv").stat().st_ino == inode


def test_only_what_changed_is_copied_again(store: BucketStore, mine: Path, bring: Bring) -> None:
    bring("s3://b/data", mine)
    (mine / "a.csv").write_text("changed")

    assert bring("s3://b/data", mine) == 1
    assert store.path("s3://b/data/a.csv").read_text() == "changed"


def test_a_change_that_keeps_size_and_time_is_seen_when_the_file_was_written_anew(
    store: BucketStore, mine: Path, bring: Bring
) -> None:
    bring("s3://b/data", mine)
    info = (mine / "a.csv").stat()
    (mine / "new").write_text("9")
    os.utime(mine / "new", ns=(info.st_atime_ns, info.st_mtime_ns))
    (mine / "new").replace(mine / "a.csv")

    bring("s3://b/data", mine)

    assert store.path("s3://b/data/a.csv").read_text() == "9"


def test_an_object_that_a_step_has_overwritten_is_brought_in_again(
    store: BucketStore, mine: Path, bring: Bring, put: Any
) -> None:
    bring("s3://b/data", mine)
    put("s3://b/data/a.csv", "of a step")

    assert bring("s3://b/data", mine) == 1
    assert store.path("s3://b/data/a.csv").read_text() == "1"


def test_what_is_gone_at_the_source_goes_from_the_store(store: BucketStore, mine: Path, bring: Bring) -> None:
    bring("s3://b/data", mine)
    (mine / "sub" / "b.csv").unlink()

    bring("s3://b/data", mine)

    assert store.keys("s3://b") == ["data/a.csv"]


def test_what_is_gone_at_the_source_but_was_overwritten_by_a_step_stays(
    store: BucketStore, mine: Path, bring: Bring, put: Any
) -> None:
    bring("s3://b/data", mine)
    put("s3://b/data/a.csv", "of a step, longer")
    (mine / "a.csv").unlink()

    bring("s3://b/data", mine)

    assert store.path("s3://b/data/a.csv").read_text() == "of a step, longer"


def test_objects_that_others_put_below_the_prefix_stay(store: BucketStore, mine: Path, bring: Bring, put: Any) -> None:
    put("s3://b/data/other.csv", "of a step")

    bring("s3://b/data", mine)
    bring("s3://b/data", mine)

    assert "data/other.csv" in store.keys("s3://b")


def test_a_folder_may_become_a_file_and_a_file_a_folder(store: BucketStore, mine: Path, bring: Bring) -> None:
    bring("s3://b/data", mine)
    bring("s3://b/data", mine / "a.csv")
    assert store.keys("s3://b") == ["data"]

    bring("s3://b/data", mine)
    assert store.keys("s3://b") == ["data/a.csv", "data/sub/b.csv"]


def test_another_path_for_the_same_uri_replaces_the_first(
    store: BucketStore, mine: Path, bring: Bring, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "c.csv").write_text("3")
    bring("s3://b/data", mine)

    bring("s3://b/data", tmp_path / "other")

    assert store.keys("s3://b") == ["data/c.csv"]


# packed folders


def test_a_packed_folder_is_one_archive(store: BucketStore, mine: Path, bring: Bring) -> None:
    assert bring("s3://b/src.tar.gz", mine) == 1

    with tarfile.open(store.path("s3://b/src.tar.gz")) as tar:
        assert sorted(tar.getnames()) == ["a.csv", "sub", "sub/b.csv"]


def test_a_packed_folder_is_packed_again_only_if_a_file_changed(mine: Path, bring: Bring) -> None:
    bring("s3://b/src.tar.gz", mine)
    (mine / "__pycache__").mkdir()
    (mine / "__pycache__" / "a.pyc").write_bytes(b"junk")
    assert bring("s3://b/src.tar.gz", mine) == 0

    (mine / "sub" / "b.csv").write_text("changed")
    assert bring("s3://b/src.tar.gz", mine) == 1
    assert bring("s3://b/src.tar.gz", mine) == 0


# what can go wrong


def test_a_broken_record_only_costs_a_copy(mine: Path, bring: Bring, tmp_path: Path) -> None:
    bring("s3://b/data", mine)

    for text in ("", "{", "[]", "null"):
        (tmp_path / "imports.json").write_text(text)
        assert bring("s3://b/data", mine) == 2


def test_the_records_of_two_uris_do_not_disturb_each_other(mine: Path, bring: Bring, tmp_path: Path) -> None:
    bring("s3://b/one", mine)
    bring("s3://b/two", mine)

    assert set(json.loads((tmp_path / "imports.json").read_text())) == {"s3://b/one", "s3://b/two"}
    assert bring("s3://b/one", mine) == bring("s3://b/two", mine) == 0


def test_a_key_that_is_a_prefix_already_is_told(mine: Path, bring: Bring, put: Any, tmp_path: Path) -> None:
    put("s3://b/data/x", writer="step A")

    with pytest.raises(KeyLayoutError, match="step A"):
        bring("s3://b/data", mine / "a.csv")

    assert list((tmp_path / "tmp").iterdir()) == []
