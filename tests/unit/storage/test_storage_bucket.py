"""Is a folder a bucket? Listings, atomic writes, and the keys that cannot be files."""

from __future__ import annotations

import errno
import stat
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.errors import KeyLayoutError
from harness.storage import files
from harness.storage.bucket import BucketStore

if TYPE_CHECKING:
    from collections.abc import Callable

    Put = Callable[..., None]

PARTS = st.text(st.sampled_from(["a", "b", "-", ".", "é", "\U0001f600"]), min_size=1, max_size=3).filter(
    lambda part: part not in {".", ".."}
)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def fits(key: str, others: set[str]) -> bool:
    """Whether a key is no object and prefix at once, which S3 allows and a folder does not."""
    return not any(key.startswith(f"{other}/") or other.startswith(f"{key}/") for other in others)


# where an object lies


def test_an_object_is_a_file_below_its_buckets_folder(store: BucketStore) -> None:
    assert store.path("s3://bucket/a/b.csv") == store.root / "bucket" / "a" / "b.csv"
    assert store.path("s3://bucket") == store.root / "bucket"


@pytest.mark.parametrize(
    ("key", "what"),
    [
        ("../etc/passwd", "has a part '..'"),
        ("a/../../b", "has a part '..'"),
        ("a/./b", "has a part '.'"),
        ("a//b", "has an empty part"),
        ("/a", "has an empty part"),
        ("a/", "has an empty part"),
        ("a\0b", "has a NUL character"),
        ("x" * 256, "has a part of 256 bytes (at most 255)"),
        ("é" * 128, "has a part of 256 bytes (at most 255)"),
        ("\udcff", "is no UTF-8"),
        ("/".join(["x" * 200] * 6), "has 1205 bytes: S3 allows 1024"),
    ],
)
def test_a_key_that_cannot_be_a_file_is_refused(store: BucketStore, key: str, what: str) -> None:
    with pytest.raises(KeyLayoutError) as caught:
        store.path(f"s3://bucket/{key}")

    assert what in caught.value.message
    str(caught.value).encode()


@pytest.mark.parametrize("uri", ["s3://..", "s3://../x", "s3://."])
def test_a_bucket_that_leads_out_of_the_store_is_refused(store: BucketStore, uri: str) -> None:
    with pytest.raises(KeyLayoutError):
        store.path(uri)


@pytest.mark.parametrize("key", ["x" * 255, "a..b", "...", "with space, comma:colon", "año/東京", "-rf", "%2e%2e"])
def test_odd_keys_that_are_files_are_taken(store: BucketStore, put: Put, key: str) -> None:
    put(f"s3://bucket/{key}")

    assert store.keys("s3://bucket") == [key]


# listing


@settings(deadline=None, max_examples=60)
@given(wanted=st.lists(KEYS, min_size=1, max_size=12), data=st.data())
def test_a_listing_is_what_a_string_prefix_selects(wanted: list[str], data: st.DataObject) -> None:
    keys: set[str] = set()
    for key in wanted:
        if fits(key, keys):
            keys.add(key)
    with tempfile.TemporaryDirectory() as folder:
        store = BucketStore(Path(folder) / "s3", Path(folder) / "tmp")
        for key in keys:
            path = store.path(f"s3://bucket/{key}")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        whole = data.draw(st.sampled_from(sorted(keys)))
        cut = whole[: data.draw(st.integers(0, len(whole)))]
        for prefix in (cut, f"{cut}/", f"/{cut}", data.draw(KEYS), ""):
            listed = store.keys(f"s3://bucket/{prefix}")

            assert listed == sorted((key for key in keys if key.startswith(prefix)), key=str.encode)


@pytest.mark.parametrize("prefix", ["a//", "a/../b", "../other", "/a", "//", "a/./b"])
def test_a_prefix_that_no_key_can_have_lists_nothing(store: BucketStore, put: Put, prefix: str) -> None:
    put("s3://bucket/a/b")
    put("s3://other/b")

    assert store.keys(f"s3://bucket/{prefix}") == []


def test_a_bucket_that_does_not_exist_lists_nothing(store: BucketStore) -> None:
    assert store.keys("s3://nobody/x") == []
    assert store.keys("s3://nobody") == []


def test_a_prefix_below_an_object_lists_nothing(store: BucketStore, put: Put) -> None:
    put("s3://bucket/a")

    assert store.keys("s3://bucket/a/") == []


def test_one_bucket_does_not_list_another(store: BucketStore, put: Put) -> None:
    put("s3://bucket/a")
    put("s3://bucket2/a")

    assert store.keys("s3://bucket") == ["a"]


def test_keys_come_in_the_order_of_their_bytes(store: BucketStore, put: Put) -> None:
    keys = ["a/b", "a-b", "a.b", "Z", "é", "\U0001f600", "\uffee"]
    for key in keys:
        put(f"s3://bucket/{key}")

    assert store.keys("s3://bucket") == ["Z", "a-b", "a.b", "a/b", "é", "\uffee", "\U0001f600"]


def test_empty_folders_are_no_objects(store: BucketStore) -> None:
    files.make_folders(store.root / "bucket" / "empty" / "deeper")

    assert store.keys("s3://bucket") == []


def test_the_users_own_links_in_the_store_are_followed(store: BucketStore, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "big.csv").write_text("1,2")
    files.make_folders(store.root / "bucket")
    (store.root / "bucket" / "data").symlink_to(tmp_path / "disk")

    assert store.keys("s3://bucket/data") == ["data/big.csv"]


# writing


@pytest.mark.usefixtures("any_umask")
def test_an_object_is_moved_in_and_readable_for_everybody(store: BucketStore) -> None:
    source = store.scratch / "source"
    source.write_text("new")
    source.chmod(0o700)

    store.put(source, "s3://bucket/a/b.csv", writer="step A")

    path = store.path("s3://bucket/a/b.csv")
    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o755
    assert not source.exists()


def test_an_object_is_replaced_and_its_neighbours_stay(store: BucketStore, put: Put) -> None:
    put("s3://bucket/a", "old")
    put("s3://bucket/b", "other")

    put("s3://bucket/a", "new")

    assert store.path("s3://bucket/a").read_text() == "new"
    assert store.path("s3://bucket/b").read_text() == "other"


def test_who_holds_the_old_object_open_still_reads_it(store: BucketStore, put: Put) -> None:
    put("s3://bucket/a", "old")

    with store.path("s3://bucket/a").open() as handle:
        put("s3://bucket/a", "new")

        assert handle.read() == "old"


def test_a_write_that_fails_leaves_the_old_object(
    store: BucketStore, put: Put, monkeypatch: pytest.MonkeyPatch
) -> None:
    put("s3://bucket/a", "old")

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(files, "move", full)
    with pytest.raises(OSError, match="No space left"):
        put("s3://bucket/a", "new")

    assert store.path("s3://bucket/a").read_text() == "old"


def test_a_reader_sees_one_whole_object_or_the_other(store: BucketStore) -> None:
    ended = threading.Event()
    path = store.path("s3://bucket/a")
    size = 200_000

    def write() -> None:
        for turn in range(60):
            source = store.scratch / f"source-{turn}"
            source.write_bytes(bytes([turn]) * size)
            store.put(source, "s3://bucket/a", writer="step A")
        ended.set()

    thread = threading.Thread(target=write)
    thread.start()
    seen = []
    while not ended.is_set():
        if path.exists():
            data = path.read_bytes()
            seen.append((len(data), len(set(data))))
    thread.join()

    assert set(seen) <= {(size, 1)}


def test_many_threads_may_write_below_one_new_prefix(store: BucketStore) -> None:
    def write(number: int) -> None:
        source = store.scratch / f"source-{number}"
        source.write_text(str(number))
        store.put(source, f"s3://bucket/new/deep/{number:02}", writer=f"step {number}")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert store.keys("s3://bucket/new/") == [f"new/deep/{number:02}" for number in range(16)]


# object and prefix at once


def test_an_object_below_an_object_names_both_writers(put: Put) -> None:
    put("s3://bucket/model", writer="step Train")

    with pytest.raises(KeyLayoutError) as caught:
        put("s3://bucket/model/deep/weights", writer="step Package")

    assert "s3://bucket/model/deep/weights (written by step Package)" in caught.value.message
    assert "s3://bucket/model (written by step Train)" in caught.value.message
    assert "another key" in caught.value.remedy


def test_an_object_above_objects_names_both_writers(put: Put) -> None:
    put("s3://bucket/model/deep/weights", writer="step Package")

    with pytest.raises(KeyLayoutError) as caught:
        put("s3://bucket/model", writer="step Train")

    assert "s3://bucket/model (written by step Train)" in caught.value.message
    assert "s3://bucket/model/deep/weights (written by step Package)" in caught.value.message


def test_a_writer_of_an_earlier_run_has_no_name(store: BucketStore, put: Put) -> None:
    put("s3://bucket/model")

    with pytest.raises(KeyLayoutError, match="something before this run"):
        BucketStore(store.root, store.scratch).put(_source(store), "s3://bucket/model/weights", writer="step Package")


def _source(store: BucketStore) -> Path:
    source = store.scratch / "other-source"
    source.write_text("x")
    return source


def test_a_collision_leaves_what_was_there(store: BucketStore, put: Put) -> None:
    put("s3://bucket/model/weights", "kept")

    with pytest.raises(KeyLayoutError):
        put("s3://bucket/model")

    assert store.keys("s3://bucket") == ["model/weights"]
    assert store.path("s3://bucket/model/weights").read_text() == "kept"


def test_empty_folders_are_not_in_an_objects_way(store: BucketStore, put: Put) -> None:
    files.make_folders(store.root / "bucket" / "model" / "once" / "deep")

    put("s3://bucket/model", "now an object")

    assert store.path("s3://bucket/model").read_text() == "now an object"


@pytest.mark.parametrize("existing_first", [True, False])
@given(below=KEYS, above=KEYS)
@settings(deadline=None, max_examples=15)
def test_a_collision_is_told_in_both_directions(*, existing_first: bool, below: str, above: str) -> None:
    first, second = (above, f"{above}/{below}") if existing_first else (f"{above}/{below}", above)
    with tempfile.TemporaryDirectory() as folder:
        store = BucketStore(Path(folder), Path(folder))
        store.put(_source(store), f"s3://bucket/{first}", writer="step First")

        with pytest.raises(KeyLayoutError) as caught:
            store.put(_source(store), f"s3://bucket/{second}", writer="step Second")

    assert f"s3://bucket/{first} (written by step First)" in caught.value.message
    assert f"s3://bucket/{second} (written by step Second)" in caught.value.message


# reading


def test_json_is_read_and_errors_are_pythons_own(store: BucketStore, put: Put) -> None:
    put("s3://bucket/good.json", '{"rmse": 1.5}')
    put("s3://bucket/bad.json", "rmse = 1.5")

    assert store.read_json("s3://bucket/good.json") == {"rmse": 1.5}
    with pytest.raises(ValueError, match="Expecting value"):
        store.read_json("s3://bucket/bad.json")
    with pytest.raises(FileNotFoundError):
        store.read_json("s3://bucket/missing.json")


def test_an_objects_size(store: BucketStore, put: Put) -> None:
    put("s3://bucket/a", "12345")

    assert store.size("s3://bucket/a") == 5


def test_nothing_is_left_in_the_scratch_folder(store: BucketStore, put: Put) -> None:
    put("s3://bucket/a")

    assert list(store.scratch.iterdir()) == []
