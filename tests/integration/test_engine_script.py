"""Does docker/engine.sh see the engine that is there, and leave it as it is?"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    import docker

pytestmark = pytest.mark.docker

SCRIPT = Path(__file__).parents[2] / "docker" / "engine.sh"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Give an empty folder for what the script remembers: nothing was started by it, so it stops nothing."""
    return tmp_path / "state"


def call(state: Path, *words: str, env: dict[str, str] | None = None, **popen: Any) -> subprocess.CompletedProcess[str]:
    """Call the script; its own memory is never the real one, or ``stop`` would end the engine of everybody here."""
    variables = {**os.environ, "HARNESS_ENGINE_STATE": str(state), **(env or {})}
    return subprocess.run(
        ["sh", str(SCRIPT), *words],
        env=variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        **popen,
    )


def test_status_names_the_engine_that_answers(state: Path) -> None:
    done = call(state, "status")

    assert done.returncode == 0
    assert "answers at " in done.stderr


def test_starting_where_an_engine_answers_changes_nothing(state: Path, client: docker.DockerClient) -> None:
    before = client.info()["ID"], client.info()["SystemTime"][:10]

    done = call(state, "start")

    assert done.returncode == 0
    assert "answers at " in done.stderr
    assert not state.exists()
    assert (client.info()["ID"], client.info()["SystemTime"][:10]) == before


def test_no_word_means_start(state: Path) -> None:
    assert call(state).returncode == 0


def test_stopping_an_engine_that_the_script_did_not_start_leaves_it(state: Path, client: docker.DockerClient) -> None:
    done = call(state, "stop")

    assert done.returncode == 0
    assert "left as it is" in done.stderr
    assert client.ping()


def test_a_named_engine_that_does_not_answer_is_not_replaced(state: Path) -> None:
    dead = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}

    status, start = call(state, "status", env=dead), call(state, "start", env=dead)

    assert status.returncode == 1
    assert "none answers" in status.stderr
    assert start.returncode == 7
    assert "DOCKER_HOST=unix:///nowhere/docker.sock does not answer" in start.stderr
    assert "unset DOCKER_HOST" in start.stderr
    assert not state.exists()


def test_an_unknown_word_is_refused(state: Path) -> None:
    done = call(state, "restart")

    assert done.returncode == 2
    assert "usage" in done.stderr


@pytest.mark.parametrize("tool", ["curl", "python3"])
def test_the_engine_is_seen_without_a_docker_client(state: Path, tmp_path: Path, tool: str) -> None:
    if not Path("/var/run/docker.sock").is_socket() or not shutil.which(tool, path="/usr/bin:/bin"):
        pytest.skip(f"needs the usual socket and {tool}")
    (tmp_path / "bin").mkdir()
    for name in ("sh", "id", "uname", "cat", "printf", tool):
        if found := shutil.which(name, path="/usr/bin:/bin"):
            (tmp_path / "bin" / name).symlink_to(found)

    done = call(state, "status", env={"PATH": str(tmp_path / "bin"), "DOCKER_HOST": ""})

    assert done.returncode == 0, done.stderr
    assert "answers at unix:///var/run/docker.sock" in done.stderr


def test_somebody_who_can_neither_use_nor_start_an_engine_is_told_what_to_do(state: Path) -> None:
    if os.getuid() != 0 or os.environ.get("DOCKER_HOST"):
        pytest.skip("needs root to become somebody else, and the usual socket")

    done = call(state, "start", user=54321, group=54321, extra_groups=[], cwd="/")

    assert done.returncode == 7
    assert "no container engine answers" in done.stderr
    assert "docker" in done.stderr.splitlines()[1]
