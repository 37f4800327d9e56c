"""Are files written whole or not at all, whatever the umask, and is no link of a container followed?"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from harness.errors import StorageError
from harness.storage import files


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


# errors


@pytest.mark.parametrize(
    ("code", "remedy"),
    [
        (errno.ENOSPC, "make room on that disk"),
        (errno.EDQUOT, "make room on that disk"),
        (errno.EACCES, "make the folder yours"),
        (errno.EPERM, "make the folder yours"),
    ],
)
def test_an_os_error_is_told_with_what_was_done_where_and_what_to_do(code: int, remedy: str) -> None:
    with pytest.raises(StorageError) as caught, files.storage_errors("staging"):
        raise OSError(code, os.strerror(code), "/data/file")

    assert caught.value.message == f"staging: {os.strerror(code)} (/data/file)"
    assert remedy in caught.value.remedy
    assert isinstance(caught.value.__cause__, OSError)


def test_an_os_error_without_a_file_or_a_remedy() -> None:
    with pytest.raises(StorageError) as caught, files.storage_errors("staging"):
        raise OSError(errno.EIO, "Input/output error")

    assert str(caught.value) == "staging: Input/output error"


def test_other_errors_pass() -> None:
    with pytest.raises(KeyError), files.storage_errors("staging"):
        raise KeyError


# writing


@pytest.mark.usefixtures("any_umask")
def test_folders_are_made_with_their_parents_readable_for_everybody(tmp_path: Path) -> None:
    files.make_folders(tmp_path / "a" / "b" / "c")

    assert [mode_of(path) for path in (tmp_path / "a", tmp_path / "a/b", tmp_path / "a/b/c")] == [0o755] * 3


def test_a_folder_that_exists_keeps_its_mode(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(mode=0o700)

    files.make_folders(tmp_path / "a")

    assert mode_of(tmp_path / "a") == 0o700


def test_a_file_in_the_way_of_a_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("file")

    for path in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(NotADirectoryError):
            files.make_folders(path)


@pytest.mark.usefixtures("any_umask")
@pytest.mark.parametrize("mode", [0o644, 0o600, 0o755])
def test_a_text_is_written_with_its_mode_and_nothing_is_left_beside_it(tmp_path: Path, mode: int) -> None:
    files.write_text(tmp_path / "a.json", "Zürich", mode=mode)

    assert (tmp_path / "a.json").read_bytes() == "Zürich".encode()
    assert mode_of(tmp_path / "a.json") == mode
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def test_a_text_that_cannot_be_written_leaves_the_old_one_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files.write_text(tmp_path / "a.json", "old")

    def full(self: Path, *_: Any, **__: Any) -> None:
        self.touch()
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_text(tmp_path / "a.json", "new")

    assert (tmp_path / "a.json").read_bytes() == b"old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


# copies and links


@pytest.mark.usefixtures("any_umask")
def test_a_clone_has_the_content_another_inode_and_mode_0644(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"x" * 3_000_000)
    source.chmod(0o400)

    files.clone(source, target)

    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_ino != source.stat().st_ino
    assert mode_of(target) == 0o644


def test_a_clone_does_not_overwrite(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    (tmp_path / "target").write_text("old")

    with pytest.raises(FileExistsError):
        files.clone(tmp_path / "source", tmp_path / "target")

    assert (tmp_path / "target").read_text() == "old"


def test_a_link_is_a_second_name(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("content")

    files.link_or_clone(tmp_path / "source", tmp_path / "target")

    assert (tmp_path / "target").stat().st_ino == (tmp_path / "source").stat().st_ino


def test_a_link_to_a_symbolic_link_leads_to_the_file_itself(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("content")
    (tmp_path / "link").symlink_to("source")

    files.link_or_clone(tmp_path / "link", tmp_path / "target")

    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "target").read_text() == "content"


@pytest.mark.parametrize("code", [errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EACCES, errno.ENOTSUP])
def test_where_links_are_not_allowed_a_copy_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    (tmp_path / "source").write_text("content")

    def refuse(*_: Any) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", refuse)
    files.link_or_clone(tmp_path / "source", tmp_path / "target")

    assert (tmp_path / "target").read_text() == "content"
    assert (tmp_path / "target").stat().st_ino != (tmp_path / "source").stat().st_ino


def test_a_full_disk_is_not_taken_for_a_refused_link(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "source").write_text("content")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", full)
    with pytest.raises(OSError, match="No space left"):
        files.link_or_clone(tmp_path / "source", tmp_path / "target")


def test_a_move_replaces_and_takes_the_source_away(tmp_path: Path) -> None:
    (tmp_path / "source").write_text("new")
    (tmp_path / "target").write_text("old")

    files.move(tmp_path / "source", tmp_path / "target", tmp_path)

    assert (tmp_path / "target").read_text() == "new"
    assert not (tmp_path / "source").exists()


def test_a_move_to_another_disk_copies_beside_and_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target, scratch = tmp_path / "source", tmp_path / "target", tmp_path / "tmp"
    source.write_text("new")
    scratch.mkdir()
    replace = Path.replace

    def other_disk(self: Path, to: Path) -> Path:
        if self == source:
            raise OSError(errno.EXDEV, "Invalid cross-device link")
        return replace(self, to)

    monkeypatch.setattr(Path, "replace", other_disk)
    files.move(source, target, scratch)

    assert target.read_text() == "new"
    assert not source.exists()
    assert list(scratch.iterdir()) == []


# reading what a container left


def test_a_real_folder_is_found(tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)

    assert files.real_folder(tmp_path, "a/b") == tmp_path / "a" / "b"
    assert files.real_folder(tmp_path, "/a/b/") == tmp_path / "a" / "b"
    assert files.real_folder(tmp_path, "") == tmp_path


@pytest.mark.parametrize("link", ["a", "a/b"])
def test_a_folder_behind_a_link_is_not_read(tmp_path: Path, link: str) -> None:
    (tmp_path / "outside" / "b").mkdir(parents=True)
    place = tmp_path / "tree" / link
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "outside")

    assert files.real_folder(tmp_path / "tree", "a/b") is None


def test_a_tree_that_is_a_link_itself_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "tree").symlink_to("/etc")

    assert files.real_folder(tmp_path / "tree", "") is None


def test_a_file_or_nothing_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    assert files.real_folder(tmp_path, "file") is None
    assert files.real_folder(tmp_path, "missing/b") is None


def test_a_walk_lists_files_in_order_and_links_as_links(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "2").write_text("22")
    (tmp_path / "a").mkdir()
    (tmp_path / "c").write_text("1")
    (tmp_path / "a" / "1").write_text("1")
    (tmp_path / "link-to-folder").symlink_to("/etc")
    (tmp_path / "broken").symlink_to("nowhere")
    os.mkfifo(tmp_path / "fifo")

    found = dict(files.walk_files(tmp_path))

    assert list(found) == ["broken", "c", "fifo", "link-to-folder", "a/1", "b/2"]
    assert [name for name, info in found.items() if stat.S_ISLNK(info.st_mode)] == ["broken", "link-to-folder"]
    assert found["b/2"].st_size == 2


def test_a_walk_of_the_callers_own_folder_follows_links_but_no_circle(tmp_path: Path) -> None:
    data, disk = tmp_path / "data", tmp_path / "disk"
    (disk / "sub").mkdir(parents=True)
    (disk / "sub" / "big.csv").write_text("1,2")
    data.mkdir()
    (data / "train").symlink_to(disk)
    (data / "again").symlink_to(disk)
    (disk / "circle").symlink_to(data)
    (data / "itself").symlink_to("itself")
    (data / "broken").symlink_to("nowhere")

    names = [name for name, info in files.walk_followed(data) if stat.S_ISREG(info.st_mode)]

    assert names == ["again/sub/big.csv", "train/sub/big.csv"]


def test_a_folder_that_cannot_be_read_is_an_error_and_not_empty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "scandir", refuse)

    with pytest.raises(PermissionError):
        list(files.walk_files(tmp_path))


def test_the_beginning_of_a_text_is_read(tmp_path: Path) -> None:
    (tmp_path / "failure").write_text("ValueError: no data")

    assert files.read_text(tmp_path, "failure", limit_bytes=10) == "ValueError"


def test_bytes_that_are_no_utf8_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "failure").write_bytes(b"caf\xe9")

    assert files.read_text(tmp_path, "failure", limit_bytes=100) == "caf\ufffd"


def test_a_missing_text_is_none(tmp_path: Path) -> None:
    assert files.read_text(tmp_path, "failure", limit_bytes=100) is None
    assert files.read_text(tmp_path, "sub/failure", limit_bytes=100) is None


def test_a_link_in_the_texts_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of the host")
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "failure").symlink_to(tmp_path / "secret")

    assert files.read_text(tmp_path / "tree", "failure", limit_bytes=100) is None


@pytest.mark.timeout(10)
def test_a_fifo_in_the_texts_place_does_not_hang(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "failure")

    assert files.read_text(tmp_path, "failure", limit_bytes=100) is None


def test_a_folder_in_the_texts_place_is_none(tmp_path: Path) -> None:
    (tmp_path / "failure").mkdir()

    assert files.read_text(tmp_path, "failure", limit_bytes=100) is None


@pytest.mark.parametrize(
    ("name", "shown"), [("café", "café"), (os.fsdecode(b"caf\xe9"), "caf\\xe9"), ("/a b/\t", "/a b/\t")]
)
def test_a_name_can_be_printed_though_its_bytes_are_no_utf8(name: str, shown: str) -> None:
    assert files.printable(name) == shown
