"""Does a job's tree lie on the disk as its container has to find it, without putting the store at risk?"""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from harness.service.spec import HostSpec, PlacedObject, Placement, Tree
from harness.storage import files
from harness.storage.staging import Mount, StagedHost, changed_inputs, locate, stage

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.storage.bucket import BucketStore

    Put = Callable[..., None]

MODES = ["overlay", "bind", "archive"]


def placement(folder: str, **names: str) -> Placement:
    """Place objects of s3://bucket; keyword: the name in the folder, value: the key."""
    return Placement(
        folder=folder, objects=tuple(PlacedObject(uri=f"s3://bucket/{key}", name=name) for name, key in names.items())
    )


INPUT = Tree(
    path="/opt/ml/input",
    files={"config/hyperparameters.json": "{}", "data/train-manifest": "train/\n"},
    folders=("config", "data", "data/train"),
    placements=(placement("data/train", a="train/a", b="train/b"),),
)
MODEL = Tree(path="/opt/ml/model", collected=True)


def host(*trees: Tree) -> HostSpec:
    return HostSpec(
        host="algo-1", hostname="ip-10-0-0-1.ec2.internal", entrypoint=None, arguments=None, environment={}, trees=trees
    )


@pytest.fixture
def home(tmp_path: Path, store: BucketStore, put: Put) -> Path:
    put("s3://bucket/train/a", "aaaa")
    put("s3://bucket/train/b", "bb")
    assert store.keys("s3://bucket")
    return tmp_path / "attempt" / "algo-1"


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def shape(root: Path) -> list[str]:
    return sorted(path.relative_to(root).as_posix() for path in root.rglob("*"))


# what lies where


@pytest.mark.parametrize("mode", MODES)
def test_the_container_finds_the_same_tree_whatever_the_mode(home: Path, store: BucketStore, mode: Any) -> None:
    staged = stage(host(INPUT, MODEL), store, home, mode=mode)

    read, model = staged.mounts
    assert (read.target, model.target) == ("/opt/ml/input", "/opt/ml/model")
    assert shape(read.source) == [
        "config", "config/hyperparameters.json", "data", "data/train", "data/train-manifest", "data/train/a",
        "data/train/b",
    ]  # fmt: skip
    assert (read.source / "data/train/a").read_text() == "aaaa"
    assert (read.source / "config/hyperparameters.json").read_text() == "{}"
    assert shape(model.source) == []


@pytest.mark.parametrize("mode", MODES)
def test_the_bytes_of_the_objects_are_counted(home: Path, store: BucketStore, mode: Any) -> None:
    assert stage(host(INPUT, MODEL), store, home, mode=mode).input_bytes == 6


@pytest.mark.usefixtures("any_umask")
@pytest.mark.parametrize("mode", MODES)
def test_folders_are_0755_and_files_0644_whatever_the_umask(home: Path, store: BucketStore, mode: Any) -> None:
    staged = stage(host(INPUT, MODEL), store, home, mode=mode)

    for mount in staged.mounts:
        assert mode_of(mount.source) == 0o755
        for path in mount.source.rglob("*"):
            assert mode_of(path) == (0o755 if path.is_dir() else 0o644), path


def test_an_overlay_has_inputs_below_and_two_empty_folders_beside(home: Path, store: BucketStore) -> None:
    (mount,) = stage(host(INPUT), store, home, mode="overlay").mounts

    assert mount == Mount(
        target="/opt/ml/input", kind="overlay", source=home / "opt-ml-input/lower", upper=home / "opt-ml-input/upper",
        work=home / "opt-ml-input/work",
    )  # fmt: skip
    assert shape(home / "opt-ml-input/upper") == shape(home / "opt-ml-input/work") == []


def test_a_bind_mount_is_the_folder_itself_and_read_there_afterwards(home: Path, store: BucketStore) -> None:
    read, model = stage(host(INPUT, MODEL), store, home, mode="bind").mounts

    assert read == Mount(target="/opt/ml/input", kind="bind", source=home / "opt-ml-input")
    assert model == Mount(
        target="/opt/ml/model", kind="bind", source=home / "opt-ml-model", collected=home / "opt-ml-model"
    )


def test_an_archive_is_sent_from_one_folder_and_fetched_into_another(home: Path, store: BucketStore) -> None:
    read, model = stage(host(INPUT, MODEL), store, home, mode="archive").mounts

    assert read == Mount(target="/opt/ml/input", kind="archive", source=home / "opt-ml-input/sent")
    assert model == Mount(
        target="/opt/ml/model", kind="archive", source=home / "opt-ml-model/sent",
        collected=home / "opt-ml-model/fetched",
    )  # fmt: skip


@pytest.mark.parametrize(
    "tree",
    [
        MODEL,
        Tree(path="/opt/ml/config", files={"a.json": "{}"}),
        Tree(path="/opt/ml/input", placements=(Placement(folder="data/train", objects=()),)),
        Tree(path="/state", placements=(placement("", a="train/a"),), collected=True),
    ],
    ids=["output", "files of ours only", "no objects", "objects that are read again"],
)
def test_an_overlay_is_made_only_for_objects_that_are_not_read_again(
    home: Path, store: BucketStore, tree: Tree
) -> None:
    (mount,) = stage(host(tree), store, home, mode="overlay").mounts

    assert mount.kind == "bind"


@pytest.mark.parametrize("name", ["run,1", "run:1", 'run"1', "run\\1"])
def test_a_path_that_mount_options_cannot_hold_falls_back_to_bind(home: Path, store: BucketStore, name: str) -> None:
    (mount,) = stage(host(INPUT), store, home / name, mode="overlay").mounts

    assert mount.kind == "bind"


# the store is not at risk


@pytest.mark.parametrize("mode", ["overlay", "archive"])
def test_where_the_container_cannot_write_to_them_inputs_are_links(home: Path, store: BucketStore, mode: Any) -> None:
    (mount,) = stage(host(INPUT), store, home, mode=mode).mounts

    inode = (mount.source / "data/train/a").stat().st_ino
    assert inode == store.path("s3://bucket/train/a").stat().st_ino


def test_under_bind_mounts_inputs_are_copies(home: Path, store: BucketStore) -> None:
    (mount,) = stage(host(INPUT), store, home, mode="bind").mounts

    (mount.source / "data/train/a").write_text("changed by the container")

    assert store.path("s3://bucket/train/a").read_text() == "aaaa"


def test_an_in_place_tree_is_a_copy_even_where_overlays_work(home: Path, store: BucketStore) -> None:
    tree = Tree(path="/opt/ml/processing/data", placements=(placement("", a="train/a"),), collected=True)

    (mount,) = stage(host(tree), store, home, mode="overlay").mounts
    (mount.source / "a").write_text("changed by the container")

    assert store.path("s3://bucket/train/a").read_text() == "aaaa"


def test_where_the_file_system_has_no_links_an_overlay_gets_copies(
    home: Path, store: BucketStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    (mount,) = stage(host(INPUT), store, home, mode="overlay").mounts

    assert (mount.source / "data/train/a").read_text() == "aaaa"


def test_a_link_of_the_user_in_the_store_is_staged_as_the_file_it_leads_to(
    home: Path, store: BucketStore, tmp_path: Path
) -> None:
    (tmp_path / "big").write_text("big")
    store.path("s3://bucket/linked").symlink_to(tmp_path / "big")
    tree = Tree(path="/in", placements=(placement("", x="linked"),))

    (mount,) = stage(host(tree), store, home, mode="overlay").mounts

    assert not (mount.source / "x").is_symlink()
    assert (mount.source / "x").read_text() == "big"


# several placements


@pytest.mark.parametrize("mode", MODES)
def test_of_two_inputs_at_one_path_the_later_one_wins(home: Path, store: BucketStore, mode: Any) -> None:
    tree = Tree(path="/in", placements=(placement("", x="train/a"), placement("", x="train/b")))

    (mount,) = stage(host(tree), store, home, mode=mode).mounts

    assert (mount.source / "x").read_text() == "bb"
    assert store.path("s3://bucket/train/a").read_text() == "aaaa"


def test_an_object_that_vanished_is_an_error(home: Path, store: BucketStore) -> None:
    store.path("s3://bucket/train/b").unlink()

    with pytest.raises(FileNotFoundError):
        stage(host(INPUT), store, home, mode="bind")


# finding things afterwards


def staged(*mounts: Mount) -> StagedHost:
    return StagedHost(mounts=mounts, input_bytes=0)


def collected(target: str, folder: Path) -> Mount:
    folder.mkdir(parents=True)
    return Mount(target=target, kind="bind", source=folder, collected=folder)


def test_a_path_is_found_below_its_mount(tmp_path: Path) -> None:
    mount = collected("/opt/ml/output", tmp_path / "output")
    (tmp_path / "output" / "data").mkdir()

    assert locate(staged(mount), "/opt/ml/output/data") == tmp_path / "output" / "data"
    assert locate(staged(mount), "/opt/ml/output") == tmp_path / "output"


def test_of_nested_mounts_the_deepest_is_meant(tmp_path: Path) -> None:
    outer, inner = collected("/p", tmp_path / "outer"), collected("/p/in", tmp_path / "inner")
    (tmp_path / "outer" / "in").mkdir()

    assert locate(staged(outer, inner), "/p/in") == tmp_path / "inner"
    assert locate(staged(outer, inner), "/p") == tmp_path / "outer"


def test_a_mount_with_a_similar_name_is_not_meant(tmp_path: Path) -> None:
    assert locate(staged(collected("/p/out", tmp_path / "out")), "/p/out2") is None


def test_what_is_absent_not_collected_or_behind_a_link_is_not_found(tmp_path: Path) -> None:
    mount = collected("/p", tmp_path / "out")
    (tmp_path / "out" / "door").symlink_to("/etc")
    read_only = Mount(target="/in", kind="bind", source=tmp_path)

    assert locate(staged(mount), "/p/missing") is None
    assert locate(staged(mount), "/p/door") is None
    assert locate(staged(mount, read_only), "/in") is None


def test_what_an_overlay_took_up_is_named_as_the_container_knows_it(home: Path, store: BucketStore) -> None:
    done = stage(host(INPUT, MODEL), store, home, mode="overlay")
    upper = done.mounts[0].upper
    assert upper is not None
    files.make_folders(upper / "data/train")
    (upper / "data/train/new").write_text("x")

    assert changed_inputs(done) == ("/opt/ml/input/data/train/new",)


def test_without_an_overlay_nothing_can_be_told(home: Path, store: BucketStore) -> None:
    done = stage(host(INPUT, MODEL), store, home, mode="bind")
    (done.mounts[0].source / "data/train/new").write_text("x")

    assert changed_inputs(done) == ()


def test_a_name_that_is_no_utf8_can_be_told_all_the_same(home: Path, store: BucketStore) -> None:
    done = stage(host(INPUT), store, home, mode="overlay")
    assert done.mounts[0].upper is not None
    with open(os.fsencode(done.mounts[0].upper) + b"/caf\xe9", "wb"):  # noqa: PTH123 – no str has this name
        pass

    (told,) = changed_inputs(done)

    assert told.encode() == b"/opt/ml/input/caf\\xe9"
