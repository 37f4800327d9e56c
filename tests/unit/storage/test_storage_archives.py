"""Are archives packed as the service packs them, and can a hostile one write nothing but below its own folder?"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import ArchiveError
from harness.storage import archives


def tree(root: Path, files: dict[str, str]) -> Path:
    """Make a folder of text files."""
    root.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return root


def members(archive: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(archive) as tar:
        return {member.name: member for member in tar.getmembers()}


def text_of(archive: Path, name: str) -> str:
    with tarfile.open(archive) as tar:
        handle = tar.extractfile(name)
        assert handle is not None
        return handle.read().decode()


# packing what a job left (contract a.8)


def test_entries_have_bare_names_and_folders_are_entries_too(tmp_path: Path) -> None:
    root = tree(tmp_path / "model", {"model/weights": "w", "config": "c"})

    archives.pack([root], tmp_path / "model.tar.gz")

    assert list(members(tmp_path / "model.tar.gz")) == ["config", "model", "model/weights"]


def test_entries_belong_to_root_by_number_only(tmp_path: Path) -> None:
    root = tree(tmp_path / "model", {"weights": "w"})

    archives.pack([root], tmp_path / "model.tar.gz")

    (member,) = members(tmp_path / "model.tar.gz").values()
    assert (member.uid, member.gid, member.uname, member.gname) == (0, 0, "", "")


def test_entries_keep_mode_and_time(tmp_path: Path) -> None:
    root = tree(tmp_path / "model", {"run": "#!/bin/sh"})
    (root / "run").chmod(0o755)
    os.utime(root / "run", (1_600_000_000, 1_600_000_000))

    archives.pack([root], tmp_path / "model.tar.gz")

    member = members(tmp_path / "model.tar.gz")["run"]
    assert (member.mode, member.mtime) == (0o755, 1_600_000_000)


def test_the_gzip_header_has_no_time_and_no_name(tmp_path: Path) -> None:
    archives.pack([tree(tmp_path / "model", {"weights": "w"})], tmp_path / "model.tar.gz")

    header = (tmp_path / "model.tar.gz").read_bytes()[:10]

    assert header[:4] == b"\x1f\x8b\x08\x00"
    assert header[4:8] == b"\0\0\0\0"
    assert header[9] == 255


def test_the_same_content_gives_the_same_bytes(tmp_path: Path) -> None:
    root = tree(tmp_path / "model", {"b": "2", "a": "1"})

    archives.pack([root], tmp_path / "one.tar.gz")
    archives.pack([root], tmp_path / "two.tar.gz")

    assert (tmp_path / "one.tar.gz").read_bytes() == (tmp_path / "two.tar.gz").read_bytes()


def test_what_went_in_is_counted(tmp_path: Path) -> None:
    packed = archives.pack([tree(tmp_path / "model", {"a": "123", "sub/b": "45"})], tmp_path / "model.tar.gz")

    assert (packed.members, packed.bytes_total) == (3, 5)
    assert packed.skipped == packed.collisions == []


@pytest.mark.parametrize("folders", [[], ["empty"], ["empty/deeper"]])
def test_a_folder_without_files_gives_no_archive(tmp_path: Path, folders: list[str]) -> None:
    root = tree(tmp_path / "model", {})
    for folder in folders:
        (root / folder).mkdir(parents=True)

    packed = archives.pack([root], tmp_path / "model.tar.gz")

    assert packed.members == 0
    assert not (tmp_path / "model.tar.gz").exists()


def test_links_and_special_files_are_skipped_and_named(tmp_path: Path) -> None:
    root = tree(tmp_path / "model", {"weights": "w", "sub/x": "x"})
    (root / "passwd").symlink_to("/etc/passwd")
    (root / "etc").symlink_to("/etc")
    (root / "sub" / "broken").symlink_to("nowhere")
    os.mkfifo(root / "fifo")

    packed = archives.pack([root], tmp_path / "model.tar.gz")

    assert list(members(tmp_path / "model.tar.gz")) == ["sub", "sub/x", "weights"]
    assert sorted(packed.skipped) == ["etc", "fifo", "passwd", "sub/broken"]


def test_hard_links_are_files_like_any_other(tmp_path: Path) -> None:
    root = tree(tmp_path / "model", {"weights": "w"})
    (root / "again").hardlink_to(root / "weights")

    archives.pack([root], tmp_path / "model.tar.gz")

    assert all(member.isreg() for member in members(tmp_path / "model.tar.gz").values())
    assert text_of(tmp_path / "model.tar.gz", "again") == text_of(tmp_path / "model.tar.gz", "weights") == "w"


def test_several_hosts_folders_are_merged(tmp_path: Path) -> None:
    roots = [tree(tmp_path / "1", {"rank/0": "zero"}), tree(tmp_path / "2", {"rank/1": "one"})]

    packed = archives.pack(roots, tmp_path / "model.tar.gz")

    assert list(members(tmp_path / "model.tar.gz")) == ["rank", "rank/0", "rank/1"]
    assert packed.collisions == []


def test_of_a_file_that_several_hosts_wrote_the_last_is_kept_and_it_is_named(tmp_path: Path) -> None:
    roots = [tree(tmp_path / "1", {"weights": "one"}), tree(tmp_path / "2", {"weights": "two"})]

    packed = archives.pack(roots, tmp_path / "model.tar.gz")

    assert text_of(tmp_path / "model.tar.gz", "weights") == "two"
    assert packed.collisions == ["weights"]


def test_names_outside_of_ascii_and_very_long_ones(tmp_path: Path) -> None:
    root = tmp_path / "model"
    deep = root.joinpath(*["d" * 60] * 5)
    deep.mkdir(parents=True)
    (deep / "größe").write_text("x")

    archives.pack([root], tmp_path / "model.tar.gz")

    assert "/".join(["d" * 60] * 5 + ["größe"]) in members(tmp_path / "model.tar.gz")


def test_a_folder_that_cannot_be_read_is_an_error_and_not_a_smaller_archive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tree(tmp_path / "model", {"weights": "w", "secret/x": "x"})
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("secret"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(PermissionError):
        archives.pack([root], tmp_path / "model.tar.gz")


def test_an_archive_is_never_written_over_another_file(tmp_path: Path) -> None:
    (tmp_path / "model.tar.gz").write_text("mine")

    with pytest.raises(FileExistsError):
        archives.pack([tree(tmp_path / "model", {"a": "1"})], tmp_path / "model.tar.gz")


# packing the caller's own folder


def test_a_callers_folder_is_packed_without_byte_code(tmp_path: Path) -> None:
    root = tree(tmp_path / "src", {"train": "import x", "pkg/mod": "x", "pkg/__pycache__/mod": "junk"})

    archives.pack_folder(root, tmp_path / "sourcedir.tar.gz")

    assert list(members(tmp_path / "sourcedir.tar.gz")) == ["pkg", "train", "pkg/mod"]


def test_a_callers_folder_may_lie_below_a_folder_called_pycache(tmp_path: Path) -> None:
    root = tree(tmp_path / "__pycache__" / "src", {"train": "import x"})

    archives.pack_folder(root, tmp_path / "sourcedir.tar.gz")

    assert list(members(tmp_path / "sourcedir.tar.gz")) == ["train"]


def test_links_of_the_callers_own_are_followed(tmp_path: Path) -> None:
    root = tree(tmp_path / "src", {"train": "import x"})
    (root / "shared").symlink_to(tree(tmp_path / "elsewhere", {"util": "u"}))
    (root / "broken").symlink_to("nowhere")

    archives.pack_folder(root, tmp_path / "sourcedir.tar.gz")

    assert sorted(members(tmp_path / "sourcedir.tar.gz")) == ["shared", "shared/util", "train"]
    assert text_of(tmp_path / "sourcedir.tar.gz", "shared/util") == "u"


# reading a container's archive


def entry(
    name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"x", link: str = ""
) -> tuple[tarfile.TarInfo, bytes]:
    member = tarfile.TarInfo(name)
    member.type, member.linkname = kind, link
    member.size = len(content) if kind == tarfile.REGTYPE else 0
    return member, content if kind == tarfile.REGTYPE else b""


def tar_of(*entries: tuple[tarfile.TarInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for member, content in entries:
            tar.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def extract(data: bytes, target: Path, *, size: int = 4096) -> list[str]:
    return archives.extract((data[at : at + size] for at in range(0, len(data), size)), target, top="model")


@pytest.mark.parametrize("size", [1, 511, 512, 513, 100_000])
def test_files_and_folders_are_made_however_the_stream_is_cut(tmp_path: Path, size: int) -> None:
    data = tar_of(
        entry("model", tarfile.DIRTYPE), entry("model/sub", tarfile.DIRTYPE), entry("model/sub/a", content=b"y" * 3000),
        entry("model/empty", content=b""),
    )  # fmt: skip

    left_out = extract(data, tmp_path / "model", size=size)

    assert (tmp_path / "model/sub/a").read_bytes() == b"y" * 3000
    assert (tmp_path / "model/empty").read_bytes() == b""
    assert left_out == []


@pytest.mark.usefixtures("any_umask")
@pytest.mark.parametrize(
    ("theirs", "ours"), [(0o4755, 0o755), (0o644, 0o644), (0o750, 0o750), (0o000, 0o600), (0o7777, 0o777)], ids=oct
)
def test_permissions_are_the_containers_as_far_as_they_let_the_caller_read(
    tmp_path: Path, theirs: int, ours: int
) -> None:
    member, content = entry("model/sub/a")
    member.mode = theirs

    extract(tar_of((member, content)), tmp_path / "model")

    assert (tmp_path / "model/sub/a").stat().st_mode & 0o7777 == ours
    assert (tmp_path / "model/sub").stat().st_mode & 0o7777 == 0o755


@pytest.mark.parametrize(("theirs", "ours"), [(0o000, 0o700), (0o2755, 0o755), (0o500, 0o700)], ids=oct)
def test_folders_can_be_entered_whatever_the_container_wants(tmp_path: Path, theirs: int, ours: int) -> None:
    folder, _ = entry("model/sub", tarfile.DIRTYPE)
    folder.mode = theirs

    extract(tar_of((folder, b""), entry("model/sub/a")), tmp_path / "model")

    assert (tmp_path / "model/sub").stat().st_mode & 0o7777 == ours


def test_a_second_name_of_a_file_becomes_a_file_of_its_own(tmp_path: Path) -> None:
    data = tar_of(entry("model/a", content=b"same"), entry("model/sub/b", tarfile.LNKTYPE, link="model/a"))

    left_out = extract(data, tmp_path / "fetched")

    assert left_out == []
    assert (tmp_path / "fetched/sub/b").read_bytes() == b"same"
    assert not (tmp_path / "fetched/sub/b").samefile(tmp_path / "fetched/a")


@pytest.mark.parametrize("link", ["../outside", "model/../../outside", "model/later", "model/a/../../../outside"])
def test_a_second_name_of_what_is_not_in_the_archive_is_left_out(tmp_path: Path, link: str) -> None:
    (tmp_path / "outside").write_bytes(b"a secret")
    data = tar_of(entry("model/a"), entry("model/b", tarfile.LNKTYPE, link=link), entry("model/later"))

    left_out = extract(data, tmp_path / "inside" / "model")

    assert left_out == ["model/b"]
    assert not (tmp_path / "inside" / "model" / "b").exists()


@pytest.mark.parametrize("when", [0, 1_700_000_000, 2**62])
def test_files_keep_their_time_where_the_file_system_knows_it(tmp_path: Path, when: int) -> None:
    member, content = entry("model/a")
    member.mtime = when

    extract(tar_of((member, content)), tmp_path / "model")

    assert when == 2**62 or (tmp_path / "model/a").stat().st_mtime == when


def test_files_without_entries_for_their_folders_are_made_too(tmp_path: Path) -> None:
    extract(tar_of(entry("model/a/b/c")), tmp_path / "model")

    assert (tmp_path / "model/a/b/c").read_bytes() == b"x"


@pytest.mark.parametrize(
    "name",
    [
        "model/../escaped",
        "model/sub/../../escaped",
        "../escaped",
        "..",
        "/escaped",
        "/model/escaped",
        "escaped",
        "model2/escaped",
        "modelescaped",
        ".",
    ],
)
def test_a_name_that_leads_out_of_the_folder_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ArchiveError, match="refused"):
        extract(tar_of(entry("model/good"), entry(name)), tmp_path / "target" / "model")

    assert sorted(path.name for path in tmp_path.rglob("*")) == ["good", "model", "target"]


@pytest.mark.parametrize(
    "kind",
    [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE],
    ids=["symbolic link", "hard link", "character device", "block device", "fifo"],
)
def test_links_and_devices_are_left_out_and_named(tmp_path: Path, kind: bytes) -> None:
    left_out = extract(tar_of(entry("model/odd", kind, link="/etc/passwd"), entry("model/good")), tmp_path / "model")

    assert left_out == ["model/odd"]
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["good"]


def test_a_link_cannot_be_made_first_and_written_through_then(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    data = tar_of(entry("model/door", tarfile.SYMTYPE, link=str(tmp_path / "outside")), entry("model/door/escaped"))

    extract(data, tmp_path / "model")

    assert list((tmp_path / "outside").iterdir()) == []
    assert (tmp_path / "model/door/escaped").is_file()


@pytest.mark.parametrize(
    "entries",
    [
        [entry("model/a"), entry("model/a")],
        [entry("model/a"), entry("model/a/b")],
        [entry("model/a/b"), entry("model/a")],
        [entry("model/a"), entry("model/a", tarfile.DIRTYPE)],
    ],
    ids=["twice", "file and folder", "folder and file", "file and folder entry"],
)
def test_entries_in_each_others_way_are_refused(tmp_path: Path, entries: list[tuple[tarfile.TarInfo, bytes]]) -> None:
    with pytest.raises(ArchiveError, match="stands in the way"):
        extract(tar_of(*entries), tmp_path / "model")


def test_too_many_entries_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_MAX_MEMBERS", 3)

    with pytest.raises(ArchiveError, match="more than 3 entries"):
        extract(tar_of(*(entry(f"model/{number}") for number in range(4))), tmp_path / "model")


@pytest.mark.parametrize(
    "data",
    [b"", b"no tar at all" * 100, gzip.compress(b"x" * 1000), tar_of(entry("model/a", content=b"x" * 5000))[:3000]],
    ids=["nothing", "text", "gzip", "cut off in a file"],
)
def test_what_is_no_whole_archive_is_told(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(ArchiveError, match="cannot be read"):
        extract(data, tmp_path / "model")


NAMES = st.lists(
    st.sampled_from(["model", "..", ".", "a", "b", "", "etc", "model2"]), min_size=1, max_size=4
).map("/".join)  # fmt: skip
KINDS = st.sampled_from([tarfile.REGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
LINKS = st.sampled_from(["/outside", "../../outside", "..", ".", "model/a", "a"])


@settings(deadline=None, max_examples=150)
@given(
    entries=st.lists(st.builds(entry, NAMES, KINDS, st.binary(max_size=20), LINKS), max_size=8),
    cut=st.integers(0, 2000) | st.none(),
)
def test_nothing_is_ever_made_outside_of_the_target(entries: list[Any], cut: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        target = base / "home" / "model"
        (base / "outside").mkdir()
        target.mkdir(parents=True)

        with contextlib.suppress(ArchiveError):
            archives.extract([tar_of(*entries)[:cut]], target, top="model")

        outside = {str(path.relative_to(base)) for path in base.rglob("*") if not path.is_relative_to(target)}
        assert outside == {"home", "outside"}
        assert all(path.is_dir() or path.is_file() for path in target.rglob("*"))
        assert not any(path.is_symlink() for path in target.rglob("*"))
