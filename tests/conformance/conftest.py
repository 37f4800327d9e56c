"""What the conformance tests share: objects that jobs read, and a command line that several tests look at."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.cli import Cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.engine import Leftovers

OBJECTS = {
    "data/one.csv": "one",
    "data/train-a.csv": "a",
    "data/train/b.csv": "b",
    "data/train/sub/c.csv": "c",
    "folder/x.txt": "x",
    "folder/sub/y.txt": "y",
    "folder/packed.csv.gz": "not really gzip",
    "checkpoints/old-1.txt": "one step",
    "checkpoints/deep/old-2.txt": "two steps",
}


@pytest.fixture(scope="module")
def module_cli(
    tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers, request: pytest.FixtureRequest
) -> Iterator[Callable[[str], Cli]]:
    """Give the command line with stored objects, for a run that several tests of a module look at."""
    made: list[Cli] = []

    def make(name: str) -> Cli:
        found = Cli(tmp_path_factory.mktemp(f"{request.path.stem}-{name}"))
        for key, text in OBJECTS.items():
            path = found.workspace / "s3" / "bucket" / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        made.append(found)
        return found

    yield make
    for one in made:
        one.end()
        leftovers.processes |= one.processes
