"""Which engine is found, and what is said where none answers?"""

from __future__ import annotations

import hashlib
import json
import os
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.proxy import Proxy

from harness.engine import connection
from harness.errors import EngineUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import docker

pytestmark = pytest.mark.docker


@pytest.fixture(autouse=True)
def _nobody_names_an_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Begin without variables, and without the caller's own docker configuration."""
    for name in ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_TLS_VERIFY", "DOCKER_CERT_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker"))


@pytest.fixture
def silent_socket(tmp_path: Path) -> Iterator[Path]:
    """Give a socket that takes connections and never answers."""
    path = tmp_path / "silent.sock"
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()
    yield path
    server.close()


@pytest.fixture
def proxied(tmp_path: Path) -> Iterator[Path]:
    """Give another socket of the same engine."""
    found = Proxy(tmp_path / "proxy.sock")
    yield found.path
    found.lose()


def answers(client: docker.DockerClient) -> bool:
    found = client.ping()
    client.close()
    return bool(found)


def use_context(name: str, host: str) -> None:
    """Write a docker context down, as ``docker context create`` does, and make it the current one."""
    home = Path(os.environ["DOCKER_CONFIG"])
    folder = home / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": host, "SkipTLSVerify": False}}}
    (folder / "meta.json").write_text(json.dumps(meta))
    (home / "config.json").write_text(json.dumps({"currentContext": name}))


def test_the_usual_socket_is_found_without_any_variable() -> None:
    if not Path("/var/run/docker.sock").is_socket():
        pytest.skip("the engine here listens elsewhere")

    client = connection.connect()

    assert client.api.base_url.startswith("http+docker")
    assert answers(client)


def test_a_socket_that_somebody_names_is_used(proxied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{proxied}")

    assert [address for address, _ in connection.addresses()] == [f"unix://{proxied}"]
    assert answers(connection.connect())


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("unix:///nowhere/docker.sock", "No such file"),
        ("tcp://127.0.0.1:9", "refused"),
        ("tcp://engine.invalid:2375", ""),
        ("nonsense", ""),
    ],
)
def test_a_named_engine_that_does_not_answer_is_not_replaced_by_another(
    address: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", address)

    with pytest.raises(EngineUnavailableError) as caught:
        connection.connect()

    assert address in str(caught.value)
    assert says in str(caught.value)
    assert "docker/engine.sh" in caught.value.remedy
    assert caught.value.exit_code == 7


def test_a_named_file_that_is_no_socket_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/file")

    with pytest.raises(EngineUnavailableError, match="file"):
        connection.connect()


def test_an_engine_that_never_answers_is_given_up(silent_socket: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "_ANSWER_S", 1)
    monkeypatch.setenv("DOCKER_HOST", f"unix://{silent_socket}")

    began = time.monotonic()
    with pytest.raises(EngineUnavailableError, match="silent"):
        connection.connect()

    assert time.monotonic() - began < 15


def test_the_current_docker_context_is_used(proxied: Path) -> None:
    use_context("elsewhere", f"unix://{proxied}")

    found = [address for address, _ in connection.addresses()]

    assert found[0] == f"unix://{proxied}"
    assert answers(connection.connect())


def test_the_context_of_the_environment_is_used(proxied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_context("elsewhere", f"unix://{proxied}")
    Path(os.environ["DOCKER_CONFIG"], "config.json").write_text("{}")
    monkeypatch.setenv("DOCKER_CONTEXT", "elsewhere")

    assert next(connection.addresses())[0] == f"unix://{proxied}"


def test_a_context_of_the_environment_that_does_not_exist_is_not_replaced_by_another_engine(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("DOCKER_CONTEXT", "nobody-made-it")

    with pytest.raises(EngineUnavailableError, match="nobody-made-it"):
        connection.connect()


def test_the_default_context_is_the_usual_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    use_context("elsewhere", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("DOCKER_CONTEXT", "default")

    assert "unix:///nowhere/docker.sock" not in [address for address, _ in connection.addresses()]


def test_a_named_engine_wins_over_the_context(proxied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_context("elsewhere", "unix:///nowhere/docker.sock")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{proxied}")

    assert answers(connection.connect())


def test_a_broken_docker_configuration_does_not_hide_the_usual_socket() -> None:
    home = Path(os.environ["DOCKER_CONFIG"])
    home.mkdir()
    (home / "config.json").write_text("{ no json")

    assert any(address.startswith("unix://") for address, _ in connection.addresses())


def test_where_nobody_answers_everything_that_was_tried_is_named(
    silent_socket: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = [("unix:///nowhere/a.sock", None), ("unix:///nowhere/b.sock", None)]
    monkeypatch.setattr(connection, "addresses", lambda: iter(dead))

    with pytest.raises(EngineUnavailableError) as caught:
        connection.connect()

    assert "unix:///nowhere/a.sock" in caught.value.message
    assert "unix:///nowhere/b.sock" in caught.value.message
    assert silent_socket.exists()


def test_the_answer_time_limit_is_not_that_of_later_calls() -> None:
    client = connection.connect()

    limit_s = client.api.timeout
    client.close()

    assert limit_s > connection._ANSWER_S
