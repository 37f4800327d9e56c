"""Are the forms between the rooms immutable, and does every tree have a name of its own?"""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from harness.service.spec import PlacedObject, Tree

PATHS = st.lists(st.text(st.sampled_from("ab-_.%~2D"), min_size=1, max_size=4), min_size=1, max_size=4).map(
    lambda parts: "/" + "/".join(part if part.strip(".") else f"x{part}" for part in parts),
)


@pytest.mark.parametrize(
    ("path", "slug"),
    [
        ("/opt/ml/input", "opt-ml-input"),
        ("/opt/ml/processing/train", "opt-ml-processing-train"),
        ("/state", "state"),
        ("/", "root"),
    ],
)
def test_a_trees_slug_is_readable(path: str, slug: str) -> None:
    assert Tree(path=path).slug == slug


@given(one=PATHS, other=PATHS)
@example(one="/in/a-b", other="/in/a/b")
@example(one="/in/a-b", other="/in/a%2Db")
def test_two_trees_never_share_a_slug(one: str, other: str) -> None:
    assert (Tree(path=one).slug == Tree(path=other).slug) == (one == other)


@given(PATHS)
def test_a_slug_is_a_file_name(path: str) -> None:
    slug = Tree(path=path).slug

    assert "/" not in slug
    assert slug not in {"", ".", ".."}


def test_a_form_cannot_be_changed() -> None:
    placed = PlacedObject(uri="s3://bucket/key", name="key")

    with pytest.raises(ValidationError):
        placed.name = "other"  # type: ignore[misc]


def test_a_form_refuses_members_that_it_does_not_have() -> None:
    with pytest.raises(ValidationError):
        PlacedObject(uri="s3://bucket/key", name="key", size=1)  # type: ignore[call-arg]
