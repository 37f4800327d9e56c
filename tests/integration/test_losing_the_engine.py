"""What happens to a run when the engine goes away while it goes?"""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

import pytest
from support import definitions as d
from support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.cli import Cli
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

RUNNING = "import time\nprint('running')\ntime.sleep(60)"


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Proxy]:
    """Give an engine that can be lost."""
    found = Proxy(tmp_path / "engine.sock")
    yield found
    found.lose()


def test_a_lost_engine_is_told_from_a_failed_algorithm_and_at_once(
    cli: Cli, images: ProbeImages, proxy: Proxy, leftovers: Leftovers
) -> None:
    steps = [d.script("Lost", images.plain, "x.py"), d.script("After", images.plain, "x.py", DependsOn=["Lost"])]
    call = cli.start_run(d.pipeline(*steps), scripts={"x.py": RUNNING}, env={"DOCKER_HOST": proxy.address})
    call.says("running")

    proxy.lose()
    outcome = call.wait(30)
    left = leftovers.containers()
    cli.run(d.pipeline(d.script("Next", images.plain, "y.py")), scripts={"y.py": ""}).expect(0)

    outcome.expect(5)
    assert outcome.steps["Lost"]["status"] == "Failed"
    assert outcome.steps["Lost"]["cause_kind"] == "infrastructure"
    assert "AlgorithmError" not in outcome.steps["Lost"]["failure_reason"]
    assert outcome.steps["After"]["status"] == "NotStarted"
    assert "docker version" in outcome.stderr
    assert len(left) == 1  # nobody could remove it then
    assert leftovers.all() == []


def test_an_engine_that_is_gone_before_the_first_container_is_the_engine_that_is_not_available(
    cli: Cli, images: ProbeImages, proxy: Proxy
) -> None:
    proxy.lose()

    outcome = cli.run(
        d.pipeline(d.script("Step", images.plain, "x.py")),
        scripts={"x.py": ""},
        env={"DOCKER_HOST": proxy.address},
    )

    outcome.expect(7)
    assert proxy.address in outcome.stderr
    assert "docker/engine.sh" in outcome.stderr
    assert not (cli.workspace / "runs").exists()


def test_an_interruption_ends_a_run_whose_engine_is_lost(
    cli: Cli, images: ProbeImages, proxy: Proxy, leftovers: Leftovers
) -> None:
    call = cli.start_run(
        d.pipeline(d.script("Step", images.plain, "x.py")),
        scripts={"x.py": RUNNING},
        env={"DOCKER_HOST": proxy.address},
    )
    call.says("running")

    proxy.lose()
    call.signal(signal.SIGINT)
    outcome = call.wait(30)
    leftovers.remove()  # nobody else could

    assert outcome.exit_code in {5, 130}
