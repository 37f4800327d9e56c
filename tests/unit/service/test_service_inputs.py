"""Which objects does an input get, under which names, and on which host?"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.service.inputs import join_uri, no_objects_reason, place_prefix, shard, split_uri
from harness.service.spec import PlacedObject

PARTS = st.text(st.sampled_from("ab-"), min_size=1, max_size=3)
KEYS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


def placed(uri: str, *keys: str) -> dict[str, str]:
    """Give the names in the container by key."""
    return {split_uri(entry.uri)[1]: entry.name for entry in place_prefix(uri, keys)}


@pytest.mark.parametrize(
    ("uri", "bucket", "key"),
    [
        ("s3://bucket/a/b.csv", "bucket", "a/b.csv"),
        ("s3://bucket/a/", "bucket", "a/"),
        ("s3://bucket/", "bucket", ""),
        ("s3://bucket", "bucket", ""),
        ("s3://bucket/a://b", "bucket", "a://b"),
        ("s3://bucket//a", "bucket", "/a"),
    ],
)
def test_an_s3_uri_has_a_bucket_and_a_key(uri: str, bucket: str, key: str) -> None:
    assert split_uri(uri) == (bucket, key)


@pytest.mark.parametrize(
    "uri", ["", "bucket/key", "/a/b", "s3://", "s3:///key", "https://bucket/key", "S3://bucket/key"]
)
def test_anything_else_is_no_s3_uri(uri: str) -> None:
    with pytest.raises(ValueError, match="is no S3 URI"):
        split_uri(uri)


@pytest.mark.parametrize("prefix", ["s3://b/p", "s3://b/p/", "s3://b/p//"])
def test_joining_puts_exactly_one_slash_between(prefix: str) -> None:
    assert join_uri(prefix, "name") == "s3://b/p/name"


# contract a.7: the local name of an object


def test_a_folder_with_a_slash_gives_paths_relative_to_it() -> None:
    assert placed("s3://b/data/", "data/a.csv", "data/sub/b.csv") == {
        "data/a.csv": "a.csv",
        "data/sub/b.csv": "sub/b.csv",
    }


def test_a_folder_without_a_slash_gives_paths_relative_to_it() -> None:
    assert placed("s3://b/Task1/input", "Task1/input/test", "Task1/input/x/y") == {
        "Task1/input/test": "test",
        "Task1/input/x/y": "x/y",
    }


def test_a_prefix_that_cuts_a_name_keeps_whole_base_names() -> None:
    assert placed("s3://b/data/train", "data/train-1.csv", "data/train.csv") == {
        "data/train-1.csv": "train-1.csv",
        "data/train.csv": "train.csv",
    }


def test_a_prefix_that_is_a_key_gives_its_base_name() -> None:
    assert placed("s3://b/code/train.py", "code/train.py") == {"code/train.py": "train.py"}


def test_a_prefix_that_is_a_folder_and_cuts_a_name_too_keeps_the_folder() -> None:
    assert placed("s3://b/data/train", "data/train-x.csv", "data/train/a.csv") == {
        "data/train-x.csv": "train-x.csv",
        "data/train/a.csv": "train/a.csv",
    }


def test_a_prefix_that_is_a_key_and_begins_another_gives_both_base_names() -> None:
    assert placed("s3://b/data/train", "data/train", "data/train2") == {"data/train": "train", "data/train2": "train2"}


def test_a_prefix_that_cuts_a_name_at_the_top_of_the_bucket() -> None:
    assert placed("s3://b/tr", "train.csv", "trash/x") == {"train.csv": "train.csv", "trash/x": "trash/x"}


@pytest.mark.parametrize("uri", ["s3://b", "s3://b/"])
def test_a_whole_bucket_gives_whole_keys(uri: str) -> None:
    assert placed(uri, "a.csv", "sub/b.csv") == {"a.csv": "a.csv", "sub/b.csv": "sub/b.csv"}


def test_zero_byte_folder_keys_are_skipped() -> None:
    assert placed("s3://b/data", "data/", "data/sub/", "data/sub/a.csv") == {"data/sub/a.csv": "sub/a.csv"}


def test_a_folder_key_beside_a_cut_name_does_not_count() -> None:
    assert placed("s3://b/data/train", "data/train/", "data/train-1.csv") == {"data/train-1.csv": "train-1.csv"}


def test_no_keys_give_no_objects() -> None:
    assert place_prefix("s3://b/data", []) == ()


@given(keys=st.sets(KEYS, min_size=1, max_size=12), data=st.data())
def test_every_name_is_the_end_of_its_key_at_a_part_and_no_two_are_alike(keys: set[str], data: st.DataObject) -> None:
    whole = data.draw(st.sampled_from(sorted(keys)))
    prefix = whole[: data.draw(st.integers(0, len(whole)))]
    matching = sorted(key for key in keys if key.startswith(prefix))

    names = placed(f"s3://b/{prefix}", *matching)

    assert list(names) == matching
    assert len(set(names.values())) == len(names)
    for key, name in names.items():
        assert key == name or key.endswith(f"/{name}")


@given(keys=st.sets(KEYS, min_size=1, max_size=12), folder=KEYS)
def test_with_and_without_a_slash_a_folder_is_the_same(keys: set[str], folder: str) -> None:
    inside = sorted(f"{folder}/{key}" for key in keys)

    assert placed(f"s3://b/{folder}", *inside) == placed(f"s3://b/{folder}/", *inside)


# contract a.7: ShardedByS3Key


def objects(*keys: str) -> tuple[PlacedObject, ...]:
    return tuple(PlacedObject(uri=f"s3://b/{key}", name=key) for key in keys)


def test_sorted_keys_are_dealt_round_robin() -> None:
    whole = objects("test2", "test", "test3")

    assert shard(whole, 0, 2) == objects("test", "test3")
    assert shard(whole, 1, 2) == objects("test2")


def test_a_host_may_get_nothing() -> None:
    assert shard(objects("only"), 1, 2) == ()


@given(keys=st.sets(KEYS, max_size=20), count=st.integers(1, 8), seed=st.randoms())
def test_shards_are_a_partition_into_parts_of_equal_size(keys: set[str], count: int, seed: object) -> None:
    shuffled = list(keys)
    seed.shuffle(shuffled)  # type: ignore[attr-defined]

    parts = [shard(objects(*shuffled), index, count) for index in range(count)]

    dealt = [entry.name for part in parts for entry in part]
    assert sorted(dealt) == sorted(keys)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1
    assert all(list(part) == sorted(part, key=lambda entry: entry.uri) for part in parts)


def test_an_input_without_objects_is_refused_in_the_services_words() -> None:
    reason = no_objects_reason("s3://b/p", region="us-west-2", role="arn:aws:iam::1:role/r")

    assert reason == (
        'No S3 objects found under S3 URL "s3://b/p" given in input data source. Please ensure that the bucket exists '
        "in the selected region (us-west-2), that objects exist under that S3 prefix, and that the role "
        '"arn:aws:iam::1:role/r" has "s3:ListBucket" permissions on bucket "b".'
    )
