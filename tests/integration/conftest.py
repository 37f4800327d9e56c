"""What the tests of the engine room share: an engine that runs jobs directly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.jobs import Bench

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from support.engine import Leftovers
    from support.images import ProbeImages


@pytest.fixture
def bench(tmp_path: Path, client: docker.DockerClient, images: ProbeImages, leftovers: Leftovers) -> Iterator[Bench]:
    """Give an engine with a scratch folder, for jobs without a pipeline around them."""
    assert leftovers is not None
    found = Bench(client, tmp_path, images.plain)
    yield found
    found.close()
