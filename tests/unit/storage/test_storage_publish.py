"""What becomes of the files that a job left in its output folders?"""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING, Any

import pytest

from harness.errors import KeyLayoutError
from harness.service.spec import Publication
from harness.storage.publish import publish
from harness.storage.staging import Mount, StagedHost

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.storage.bucket import BucketStore

    Put = Callable[..., None]

TARGET = "/opt/ml/processing/out"


@pytest.fixture
def left(tmp_path: Path) -> Callable[..., StagedHost]:
    """Make a host that left files below its output folder; None makes an empty folder."""

    def make(name: str = "algo-1", **texts: str | None) -> StagedHost:
        root = tmp_path / "attempt" / name
        root.mkdir(parents=True)
        for path, text in texts.items():
            place = root / path.replace("_in_", "/")
            (place if text is None else place.parent).mkdir(parents=True, exist_ok=True)
            if text is not None:
                place.write_text(text)
        mount = Mount(target=TARGET, kind="bind", source=root, collected=root)
        return StagedHost(mounts=(mount,), input_bytes=0)

    return make


def root_of(staged: StagedHost) -> Path:
    folder = staged.mounts[0].collected
    assert folder is not None
    return folder


def files_of(path: str = TARGET, uri: str = "s3://bucket/out") -> Publication:
    return Publication(path=path, uri=uri, form="files", when="stopped too", name="out")


def archive_of(uri: str = "s3://bucket/m/model.tar.gz") -> Publication:
    return Publication(path=TARGET, uri=uri, form="archive", when="stopped too", name="model")


# file by file


def test_every_file_becomes_an_object_below_the_prefix(store: BucketStore, left: Any) -> None:
    done = publish(files_of(), [left(a="1", sub_in_b="22")], store, writer="step A")

    assert store.keys("s3://bucket") == ["out/a", "out/sub/b"]
    assert store.path("s3://bucket/out/sub/b").read_text() == "22"
    assert (done.name, done.uri, done.objects, done.bytes_total, done.notes) == ("out", "s3://bucket/out", 2, 3, ())


def test_a_prefix_with_a_slash_is_the_same_prefix(store: BucketStore, left: Any) -> None:
    publish(files_of(uri="s3://bucket/out/"), [left(a="1")], store, writer="step A")

    assert store.keys("s3://bucket") == ["out/a"]


def test_files_are_moved_and_not_copied(store: BucketStore, left: Any) -> None:
    staged = left(a="1")
    inode = (root_of(staged) / "a").stat().st_ino

    publish(files_of(), [staged], store, writer="step A")

    assert store.path("s3://bucket/out/a").stat().st_ino == inode
    assert list(root_of(staged).iterdir()) == []


def test_keys_that_the_job_did_not_write_stay(store: BucketStore, put: Put, left: Any) -> None:
    put("s3://bucket/out/old", "kept")
    put("s3://bucket/out/a", "replaced")

    publish(files_of(), [left(a="new")], store, writer="step A")

    assert store.path("s3://bucket/out/old").read_text() == "kept"
    assert store.path("s3://bucket/out/a").read_text() == "new"


def test_empty_folders_vanish(store: BucketStore, left: Any) -> None:
    done = publish(files_of(), [left(empty=None)], store, writer="step A")

    assert store.keys("s3://bucket") == []
    assert (done.objects, done.notes) == (0, ())


def test_links_and_special_files_are_not_followed_not_uploaded_and_told(
    store: BucketStore, left: Any, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text("of the host")
    staged = left(a="1")
    (root_of(staged) / "link").symlink_to(tmp_path / "secret")
    (root_of(staged) / "etc").symlink_to("/etc")
    os.mkfifo(root_of(staged) / "fifo")

    done = publish(files_of(), [staged], store, writer="step A")

    assert store.keys("s3://bucket") == ["out/a"]
    assert done.notes == ("output 'out': 3 link(s) or special file(s) not uploaded, as on the service",)
    assert (tmp_path / "secret").exists()


@pytest.mark.parametrize("publication", [files_of(f"{TARGET}/sub"), files_of(f"{TARGET}/sub/deeper")])
def test_a_directory_that_was_replaced_by_a_link_is_not_read(
    store: BucketStore, left: Any, tmp_path: Path, publication: Publication
) -> None:
    outside = tmp_path / "outside"
    (outside / "deeper").mkdir(parents=True)
    (outside / "secret").write_text("of the host")
    (outside / "deeper" / "secret").write_text("of the host")
    staged = left()
    (root_of(staged) / "sub").symlink_to(outside)

    done = publish(publication, [staged], store, writer="step A")

    assert store.keys("s3://bucket") == []
    assert done.objects == 0
    assert (outside / "secret").exists()


def test_a_whole_tree_that_was_replaced_by_a_link_to_etc_is_not_read(
    store: BucketStore, left: Any, tmp_path: Path
) -> None:
    staged = left()
    root_of(staged).rmdir()
    root_of(staged).symlink_to("/etc")

    for publication in (files_of(), archive_of()):
        assert publish(publication, [staged], store, writer="step A").objects == 0

    assert store.keys("s3://bucket") == []
    assert list((tmp_path / "tmp").iterdir()) == []


def test_several_hosts_meet_in_one_prefix_and_the_last_one_of_a_name_is_kept(store: BucketStore, left: Any) -> None:
    hosts = [left("algo-1", common="one", a="1"), left("algo-2", common="two", b="2")]

    done = publish(files_of(), hosts, store, writer="step A")

    assert store.keys("s3://bucket") == ["out/a", "out/b", "out/common"]
    assert store.path("s3://bucket/out/common").read_text() == "two"
    assert done.notes == ("output 'out': 1 file(s) written by several hosts, the last one's are kept",)


def test_a_folder_that_was_never_made_publishes_nothing(store: BucketStore, left: Any) -> None:
    assert publish(files_of(f"{TARGET}/missing"), [left()], store, writer="step A").objects == 0


def test_a_name_that_cannot_be_a_key_is_told(store: BucketStore, left: Any) -> None:
    staged = left()
    with open(os.fsencode(root_of(staged)) + b"/caf\xe9", "wb"):  # noqa: PTH123 – no str has this name
        pass

    with pytest.raises(KeyLayoutError, match="is no UTF-8"):
        publish(files_of(), [staged], store, writer="step A")


def test_a_collision_names_the_step(store: BucketStore, put: Put, left: Any) -> None:
    put("s3://bucket/out", writer="--input data.csv")

    with pytest.raises(KeyLayoutError) as caught:
        publish(files_of(), [left(a="1")], store, writer="step A")

    assert "s3://bucket/out/a (written by step A)" in caught.value.message
    assert "s3://bucket/out (written by --input data.csv)" in caught.value.message


# outputs that lie in each other


@pytest.mark.parametrize("outer_first", [True, False])
def test_files_that_two_outputs_name_are_published_under_both(
    store: BucketStore, left: Any, *, outer_first: bool
) -> None:
    staged = left(a="1", sub_in_b="2")
    both = [files_of(uri="s3://bucket/outer"), files_of(f"{TARGET}/sub", "s3://bucket/inner")]
    due = both if outer_first else both[::-1]

    for number, publication in enumerate(due, start=1):
        publish(publication, [staged], store, writer="step A", later=due[number:])

    assert store.keys("s3://bucket") == ["inner/b", "outer/a", "outer/sub/b"]


def test_one_folder_for_two_outputs_is_published_under_both(store: BucketStore, left: Any, tmp_path: Path) -> None:
    staged = left(a="1")
    due = [files_of(uri="s3://bucket/one"), files_of(uri="s3://bucket/two")]

    publish(due[0], [staged], store, writer="step A", later=due[1:])
    publish(due[1], [staged], store, writer="step A")

    assert store.keys("s3://bucket") == ["one/a", "two/a"]
    assert list((tmp_path / "tmp").iterdir()) == []


# as an archive


def test_a_folder_becomes_one_archive(store: BucketStore, left: Any, tmp_path: Path) -> None:
    done = publish(archive_of(), [left(weights="www", sub_in_c="c")], store, writer="step A")

    with tarfile.open(store.path("s3://bucket/m/model.tar.gz")) as tar:
        assert tar.getnames() == ["sub", "sub/c", "weights"]
    assert (done.objects, done.bytes_total, done.notes) == (1, 4, ())
    assert list((tmp_path / "tmp").iterdir()) == []


def test_an_empty_folder_makes_no_object(store: BucketStore, left: Any) -> None:
    done = publish(archive_of(), [left(empty=None)], store, writer="step A")

    assert store.keys("s3://bucket") == []
    assert (done.name, done.objects, done.bytes_total) == ("model", 0, 0)


def test_hosts_are_merged_and_skipped_and_overwritten_files_are_told(store: BucketStore, left: Any) -> None:
    one, two = left("algo-1", common="one"), left("algo-2", common="two", own="2")
    (root_of(one) / "link").symlink_to("/etc/passwd")

    done = publish(archive_of(), [one, two], store, writer="step A")

    with tarfile.open(store.path("s3://bucket/m/model.tar.gz")) as tar:
        assert tar.getnames() == ["common", "own"]
    assert done.notes == (
        f"{TARGET}: 1 link(s) or special file(s) not packed",
        f"{TARGET}: 1 file(s) written by several hosts, the last one's are kept",
    )


def test_a_collision_leaves_nothing_in_the_scratch_folder(
    store: BucketStore, put: Put, left: Any, tmp_path: Path
) -> None:
    put("s3://bucket/m")

    with pytest.raises(KeyLayoutError):
        publish(archive_of(), [left(weights="w")], store, writer="step A")

    assert list((tmp_path / "tmp").iterdir()) == []
