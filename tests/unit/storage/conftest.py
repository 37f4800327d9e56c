"""A store on disk, and the means to fill it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness.storage.bucket import BucketStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def store(tmp_path: Path) -> BucketStore:
    (tmp_path / "s3").mkdir()
    (tmp_path / "tmp").mkdir()
    return BucketStore(tmp_path / "s3", tmp_path / "tmp")


@pytest.fixture
def put(store: BucketStore) -> Callable[..., None]:
    """Put a text under a URI, as a step would."""

    def put_text(uri: str, text: str = "content", *, writer: str = "step Test") -> None:
        source = store.scratch / "source"
        source.write_text(text, encoding="utf-8")
        store.put(source, uri, writer=writer)

    return put_text


@pytest.fixture(params=[0o022, 0o077, 0o000], ids=["umask 022", "umask 077", "umask 000"])
def any_umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)
