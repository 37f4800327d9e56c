"""What all tests share: an engine that answers where one is needed, probe images, an eye on what is left behind."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from support import engine as engines
from support import images as probe_images
from support.cli import Cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import docker
    from support.engine import Leftovers
    from support.images import ProbeImages


def pytest_configure(config: pytest.Config) -> None:
    """Know the marker of the conformance tests."""
    config.addinivalue_line("markers", "contract(section): holds a section of the container contract")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the contract's section in the machine-readable report too."""
    for item in items:
        if marker := item.get_closest_marker("contract"):
            item.user_properties.append(("contract", marker.args[0]))


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Fail, not skip, what needs an engine where none answers: a green run without containers would say nothing."""
    if item.get_closest_marker("docker") and (problem := engines.problem()):
        pytest.fail(problem, pytrace=False)


@pytest.fixture(scope="session")
def client() -> Iterator[docker.DockerClient]:
    """Give the engine that the harness finds too."""
    from harness.engine.connection import connect  # noqa: PLC0415 – unit tests do not pay for it

    found = connect()
    yield found
    found.close()


@pytest.fixture(scope="session")
def leftovers(client: docker.DockerClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Leftovers]:
    """Give an eye on what this session leaves in the engine; at its end there must be nothing."""
    found = engines.Leftovers(client, [tmp_path_factory.getbasetemp()], {os.getpid()})
    yield found
    left = found.all()
    found.remove()
    assert not left, f"the tests left behind: {', '.join(left)}"


@pytest.fixture(scope="session")
def images(client: docker.DockerClient, leftovers: Leftovers) -> Iterator[ProbeImages]:
    """Give the probe images, made once."""
    built = probe_images.build(client)
    leftovers.images.update(client.images.get(tag).id for tag in built.all())
    yield built
    leftovers.remove()
    probe_images.remove(client, built)


@pytest.fixture(scope="module", autouse=True)
def _nothing_is_left_by_a_module(request: pytest.FixtureRequest) -> Iterator[None]:
    """Tell which module left something."""
    wanted = any(
        "leftovers" in getattr(item, "fixturenames", ()) for item in request.session.items if item.path == request.path
    )
    if not wanted:
        yield
        return
    left: Leftovers = request.getfixturevalue("leftovers")
    yield
    found = left.all()
    left.remove()
    assert not found, f"{request.path.name} left behind: {', '.join(found)}"


@pytest.fixture
def cli(tmp_path: Path, leftovers: Leftovers) -> Iterator[Cli]:
    """Give the command line with a scratch folder and a workspace of its own."""
    found = Cli(tmp_path)
    yield found
    found.end()
    leftovers.processes |= found.processes
