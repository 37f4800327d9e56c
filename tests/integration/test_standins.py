"""Stand-in images, built for real and used as the service would use the images that they stand for."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tarfile
import threading
import time
import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

import pytest

from harness.engine.images import _assembly, _bases, _scratch, standins
from harness.engine.images._interpreters import find_interpreter
from harness.engine.images._recipes import read_recipe
from harness.errors import ImageBuildError
from harness.service.image_uris import parse_image_uri

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import docker
    from docker.models.containers import Container

pytestmark = [pytest.mark.docker, pytest.mark.timeout(900)]

BY_NAME = {standin.name: standin for standin in standins.catalog()}
SCRIPT_MODE = ["sklearn:1.2-1", "xgboost:3.0-5"]
SLOW = [pytest.param(name, marks=pytest.mark.long) for name in ("sklearn:1.4-2", "xgboost:1.7-1", "pytorch:2.13")]
TRAINING = [*SCRIPT_MODE, *SLOW]
SERVING = [*SCRIPT_MODE, *SLOW[:2]]
ALL = ["processing-base:py310", *TRAINING]
IMPORTS = {
    "processing-base": "pandas numpy boto3 pyarrow requests",
    "sklearn": "sklearn pandas numpy scipy pyarrow boto3 requests flask gevent sagemaker_training sagemaker_containers",
    "xgboost": "xgboost sklearn pandas numpy scipy pyarrow boto3 matplotlib numba dask PIL sagemaker_containers",
    "pytorch": "torch sklearn pandas numpy scipy boto3 requests h5py sagemaker_training sagemaker_pytorch_container",
}


@dataclass
class Outcome:
    """How a container ended."""

    code: int
    log: str
    files: dict[str, str] = field(default_factory=dict)


@pytest.fixture(scope="module")
def image(client: docker.DockerClient) -> Callable[[str], str]:
    """Build a stand-in, once, and give its name."""
    return lambda name: standins.build(client, BY_NAME[name])


@pytest.fixture
def run(client: docker.DockerClient) -> Iterator[Callable[..., Outcome]]:
    """Run something in an image, without a network, and take it away afterwards."""
    started: list[Container] = []

    def execute(
        name: str, command: list[str], *, files: dict[str, bytes] | None = None, collect: str = "", **options: Any
    ) -> Outcome:
        given = {"network_mode": "none", "hostname": "algo-1", "extra_hosts": {"algo-1": "127.0.0.1"}, **options}
        container = client.containers.create(name, command, **given)
        started.append(container)
        container.put_archive("/", archive(files or {}))
        container.start()
        code = container.wait(timeout=200)["StatusCode"]
        log = container.logs().decode("utf-8", "replace")
        return Outcome(code, log, collected(container, collect) if collect else {})

    yield execute
    for container in started:
        container.remove(force=True)


def archive(files: dict[str, bytes], mode: Literal["w", "w:gz"] = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as tar:
        for name, content in files.items():
            info = tarfile.TarInfo(name)
            if name.endswith("/"):
                info.type, info.mode = tarfile.DIRTYPE, 0o755
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def collected(container: Container, folder: str) -> dict[str, str]:
    chunks, _ = container.get_archive(folder)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as tar:
        return {
            m.name.partition("/")[2]: tar.extractfile(m).read().decode("utf-8", "replace") for m in tar if m.isfile()
        }


def job(script: str, **hyperparameters: str) -> dict[str, bytes]:
    """Lay out /opt/ml as the service does for a training job in script mode."""
    given = {
        "sagemaker_program": "train.py",
        "sagemaker_submit_directory": "/opt/ml/input/data/code/sourcedir.tar.gz",
        **hyperparameters,
    }
    hosts = {
        "current_host": "algo-1", "current_instance_type": "ml.m5.large", "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"], "network_interface_name": "eth0",
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
        ],
    }  # fmt: skip
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    config = "opt/ml/input/config"
    return {
        f"{config}/hyperparameters.json": json.dumps({k: json.dumps(v) for k, v in given.items()}).encode(),
        f"{config}/resourceconfig.json": json.dumps(hosts).encode(),
        f"{config}/inputdataconfig.json": json.dumps({"code": channel, "train": channel}).encode(),
        "opt/ml/input/data/code/sourcedir.tar.gz": archive({"train.py": script.encode()}, "w:gz"),
        "opt/ml/input/data/train/data.csv": b"1,0\n2,1\n",
        "opt/ml/model/": b"",
        "opt/ml/output/data/": b"",
    }


GOOD = """
import argparse, json, os
parser = argparse.ArgumentParser()
parser.add_argument("--depth", type=int)
print("depth is", parser.parse_args().depth + 1)
data = open(os.path.join(os.environ["SM_CHANNEL_TRAIN"], "data.csv")).read()
with open(os.path.join(os.environ["SM_MODEL_DIR"], "model.json"), "w") as out:
    json.dump({"rows": len(data.splitlines())}, out)
"""


@pytest.mark.parametrize("name", ALL)
def test_an_image_has_what_scripts_rely_on(name: str, image: Callable[[str], str], run: Callable[..., Outcome]):
    imports = "".join(f"import {module}\n" for module in IMPORTS[name.partition(":")[0]].split())
    check = f"""{imports}
import importlib.metadata, json, os, pandas, sqlite3, ssl, sys, zoneinfo
assert os.path.exists(pandas.__cached__), "no byte code"
assert ssl.create_default_context().get_ca_certs(), "no certificates"
zoneinfo.ZoneInfo("Europe/Berlin")
found = {{d.metadata["Name"].lower().replace("_", "-").replace(".", "-"): d.version
          for d in importlib.metadata.distributions()}}
print(json.dumps([found, os.getuid(), sys.version_info[:2]]))
"""
    tools = "id -u && date && tar --version && gzip --version && chown 1:1 /tmp && bash -c : && pip -V"

    python = run(image(name), ["python3", "-W", "ignore", "/check.py"], files={"check.py": check.encode()},
                 entrypoint=[])  # fmt: skip
    shell = run(image(name), ["sh", "-c", tools], entrypoint=[])

    assert python.code == 0, python.log
    found, user, version = json.loads(python.log.splitlines()[-1])
    locked = BY_NAME[name].recipe.locked
    assert {package: found.get(package) for package in locked} == locked
    assert user == 0
    assert f"{version[0]}.{version[1]}" == BY_NAME[name].python
    assert shell.code == 0, shell.log


@pytest.mark.parametrize("name", ALL)
def test_an_image_says_what_it_is(name: str, image: Callable[[str], str], client: docker.DockerClient):
    attrs = client.images.get(image(name)).attrs
    labels, recipe = attrs["Config"]["Labels"], BY_NAME[name].recipe

    assert labels[standins.LABEL] == name
    assert labels[f"{standins.LABEL}.recipe"] == recipe.hash
    assert json.loads(labels[f"{standins.LABEL}.differences"]) == list(recipe.differences)
    assert json.loads(labels[f"{standins.LABEL}.stands-for"])["repositories"] == list(recipe.stands_for.repositories)
    assert "Python" in labels[f"{standins.LABEL}.base"] or "python" in labels[f"{standins.LABEL}.base"]
    assert (attrs["Config"]["Entrypoint"] or []) == list(recipe.entrypoint)
    assert (attrs["Config"]["Cmd"] or []) == list(recipe.command)
    assert not attrs["Config"]["User"]
    assert {f"{key}={value}" for key, value in recipe.environment.items()} <= set(attrs["Config"]["Env"])


@pytest.mark.parametrize("name", ALL)
def test_a_second_build_is_one_look(name: str, image: Callable[[str], str], client: docker.DockerClient):
    tag = image(name)
    said: list[str] = []
    before = time.monotonic()

    assert standins.build(client, BY_NAME[name], progress=said.append) == tag
    assert time.monotonic() - before < 1
    assert said == []
    assert standins.is_built(client, BY_NAME[name])
    assert tag not in standins.superseded(client)


def without_blanks(log: str) -> str:
    """The toolkit that captures errors (PyTorch's) breaks lines where it happens to read."""
    return "".join(log.split())


@pytest.mark.parametrize("name", TRAINING)
def test_a_script_is_trained_without_a_network(name: str, image: Callable[[str], str], run: Callable[..., Outcome]):
    done = run(image(name), ["train"], files=job(GOOD, depth="3"), collect="/opt/ml")

    assert done.code == 0, done.log
    assert "depthis4" in without_blanks(done.log)
    assert "Reporting training SUCCESS" in done.log
    assert json.loads(done.files["model/model.json"]) == {"rows": 2}
    assert done.files["output/success"] == ""
    assert "output/failure" not in done.files


@pytest.mark.parametrize("name", TRAINING)
def test_a_scripts_exception_ends_the_job_with_1(name: str, image: Callable[[str], str], run: Callable[..., Outcome]):
    done = run(image(name), ["train"], files=job("raise ValueError('no such column')"), collect="/opt/ml/output")

    assert done.code == 1
    assert "ValueError:nosuchcolumn" in without_blanks(done.log)
    assert done.files["failure"].startswith("ExecuteUserScriptError:")
    assert "train.py" in done.files["failure"]


@pytest.mark.parametrize("name", TRAINING)
def test_the_toolkit_hides_a_scripts_exit_code(name: str, image: Callable[[str], str], run: Callable[..., Outcome]):
    done = run(image(name), ["train"], files=job("import sys; sys.exit(7)"), collect="/opt/ml/output")

    assert done.code == 1
    assert done.files["failure"].startswith("ExecuteUserScriptError:")


def test_xgboost_without_a_script_says_that_it_needs_one(image: Callable[[str], str], run: Callable[..., Outcome]):
    files = {**job(""), "opt/ml/input/config/hyperparameters.json": b'{"num_round": "5"}'}

    done = run(image("xgboost:3.0-5"), ["train"], files=files, collect="/opt/ml/output")

    assert done.code == 1
    assert "script mode only" in done.files["failure"]
    assert "script mode only" in done.log


def test_a_script_with_a_setup_py_is_installed_without_a_network(
    image: Callable[[str], str], run: Callable[..., Outcome]
):
    setup = b"from setuptools import setup\nsetup(name='train', version='1', py_modules=['train'])\n"
    code = archive({"setup.py": setup, "train.py": b"print('ran as a module')\n"}, "w:gz")
    files = {**job(""), "opt/ml/input/data/code/sourcedir.tar.gz": code}

    done = run(image("sklearn:1.2-1"), ["train"], files=files)

    assert done.code == 0, done.log
    assert "ran as a module" in done.log


def test_a_processing_script_runs(image: Callable[[str], str], run: Callable[..., Outcome]):
    script = b"import pandas; pandas.DataFrame({'a': [1]}).to_csv('/opt/ml/processing/output/a.csv', index=False)"
    files = {"opt/ml/processing/input/code/p.py": script, "opt/ml/processing/output/": b""}

    done = run(image("processing-base:py310"), ["python3", "/opt/ml/processing/input/code/p.py"], files=files,
               collect="/opt/ml/processing/output")  # fmt: skip

    assert (done.code, done.files) == (0, {"a.csv": "a\n1\n"}), done.log


SERVE = {
    "sklearn": b"""
from sklearn.linear_model import LinearRegression
def model_fn(folder):
    return LinearRegression().fit([[0, 0], [1, 1], [2, 0]], [0, 1, 2])
""",
    "xgboost": b"""
import numpy, xgboost
def model_fn(folder):
    x = numpy.arange(100.0).reshape(50, 2)
    return xgboost.train({}, xgboost.DMatrix(x, label=x[:, 0]), 20)
""",
}


@dataclass
class Server:
    """A container that serves."""

    container: Container
    port: int

    def call(self, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, bytes]:
        address = self.container.attrs["NetworkSettings"]["Networks"]["bridge"]["IPAddress"]
        request = Request(
            f"http://{address}:{self.port}{path}", body, {k.replace("_", "-"): v for k, v in headers.items()}
        )
        try:
            with urlopen(request, timeout=10) as response:  # noqa: S310
                return response.status, response.headers["Content-Type"], response.read()
        except HTTPError as error:
            return error.code, error.headers["Content-Type"], error.read()


@pytest.fixture
def serve(client: docker.DockerClient, image: Callable[[str], str]) -> Iterator[Callable[..., Server]]:
    started: list[Container] = []

    def start(name: str, script: bytes, port: int = 8080) -> Server:
        environment = {"SAGEMAKER_PROGRAM": "inference.py", "SAGEMAKER_SUBMIT_DIRECTORY": "/opt/ml/model/code"}
        if port != 8080:
            environment["SAGEMAKER_BIND_TO_PORT"] = str(port)
        container = client.containers.create(image(name), ["serve"], environment=environment)
        started.append(container)
        container.put_archive("/", archive({"opt/ml/model/code/inference.py": script}))
        container.start()
        server = Server(container, port)
        deadline = time.monotonic() + 60
        while True:
            container.reload()
            assert container.status == "running", container.logs().decode()
            try:
                if server.call("/ping")[0] == 200:
                    return server
            except (URLError, OSError):
                assert time.monotonic() < deadline, container.logs().decode()
            time.sleep(0.1)

    yield start
    for container in started:
        container.remove(force=True)


@pytest.mark.parametrize("name", SERVING)
def test_a_model_is_served_with_the_frameworks_defaults(name: str, serve: Callable[..., Server]):
    server = serve(name, SERVE[name.partition(":")[0]])
    rows = b"0,1\n80,81"

    assert server.call("/ping") == (200, "application/json", b"")
    status, kind, body = server.call("/invocations", rows, Content_Type="text/csv")
    assert (status, kind) == (200, "application/json")
    first, second = json.loads(body)
    assert first < second
    status, kind, body = server.call("/invocations", rows, Content_Type="text/csv", Accept="text/csv")
    assert (status, kind) == (200, "text/csv")
    assert len(body.decode().splitlines()) == 2
    assert server.call("/invocations", rows, Content_Type="text/strange")[0] == 415
    assert server.call("/invocations", rows, Content_Type="text/csv", Accept="text/strange")[0] == 406
    assert server.call("/elsewhere")[0] == 404
    server.container.stop(timeout=10)
    assert server.container.wait()["StatusCode"] == 0


def test_sklearn_takes_json(serve: Callable[..., Server]):
    server = serve("sklearn:1.2-1", SERVE["sklearn"])

    status, _, body = server.call("/invocations", b"[[2, 0]]", Content_Type="application/json")

    assert (status, [round(x, 3) for x in json.loads(body)]) == (200, [2.0])


def test_xgboost_takes_libsvm(serve: Callable[..., Server]):
    server = serve("xgboost:3.0-5", SERVE["xgboost"])

    status, _, body = server.call("/invocations", b"0 0:0 1:1\n0 0:80 1:81\n", Content_Type="text/libsvm")

    assert status == 200
    assert len(json.loads(body)) == 2


def test_a_scripts_own_functions_are_used_on_the_port_that_is_asked_for(serve: Callable[..., Server]):
    script = b"""
import json
from sagemaker_containers.beta.framework import worker
def model_fn(folder):
    return 3
def input_fn(content, content_type):
    if content_type != "application/json":
        raise ValueError("what is this?")
    return json.loads(content)
def predict_fn(data, model):
    return data * model
def output_fn(prediction, accept):
    return worker.Response(json.dumps({"is": prediction}), mimetype=accept)
"""
    server = serve("sklearn:1.2-1", script, port=8123)

    assert server.call("/invocations", b"5", Content_Type="application/json") == (
        200,
        "application/json",
        b'{"is": 15}',
    )
    assert server.call("/invocations", b"5", Content_Type="text/csv")[0] == 500
    assert "what is this?" in server.container.logs().decode()


# What follows is about building, with a recipe that takes a second.


@pytest.fixture
def tiny(tmp_path: Path, client: docker.DockerClient) -> Iterator[standins.StandIn]:
    """A stand-in with one small package that nobody has built before."""
    folder = tmp_path / "tiny" / "1"
    folder.mkdir(parents=True)
    (folder / "requirements.txt").write_text("six==1.17.0\n", encoding="utf-8")
    (folder / "image.yaml").write_text(
        f"summary: {uuid.uuid4()}\npython: '3.10'\npins: [{{source: this test, packages: [six]}}]\n"
        "known_differences: [it is tiny]\nhints: {size_mib: 90, seconds: 2}\n",
        encoding="utf-8",
    )
    standin = standins.StandIn.of(read_recipe(folder))
    yield standin
    if standins.is_built(client, standin):
        client.images.remove(standin.local_tag, force=True)


def scratch_folders() -> set[str]:
    return {path.name for path in _scratch.cache_folder("scratch").iterdir()}


def test_threads_that_want_the_same_image_build_it_once(client: docker.DockerClient, tiny: standins.StandIn):
    said: list[str] = []
    threads = [
        threading.Thread(target=standins.build, args=(client, tiny), kwargs={"progress": said.append}) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert standins.is_built(client, tiny)
    assert len([line for line in said if line.startswith("building")]) == 1
    assert len([line for line in said if line.startswith("waiting")]) == 2


def test_processes_that_want_the_same_image_build_it_once(client: docker.DockerClient, tiny: standins.StandIn):
    code = (
        "import sys, pathlib\n"
        "from harness.engine import connection\n"
        "from harness.engine.images import standins\n"
        "from harness.engine.images._recipes import read_recipe\n"
        "standin = standins.StandIn.of(read_recipe(pathlib.Path(sys.argv[1])))\n"
        "standins.build(connection.connect(), standin, progress=print)\n"
    )
    command = [sys.executable, "-c", code, str(tiny.recipe.folder)]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = "".join(process.communicate(timeout=300)[0] for process in running)

    assert [process.returncode for process in running] == [0, 0]
    assert standins.is_built(client, tiny)
    assert said.count("building the stand-in") == 1


def test_the_same_recipe_makes_the_same_image(client: docker.DockerClient, tiny: standins.StandIn):
    first = client.images.get(standins.build(client, tiny)).id
    client.images.remove(tiny.local_tag)

    assert client.images.get(standins.build(client, tiny)).id == first


def test_a_package_that_is_not_to_be_had_is_said_and_leaves_nothing(
    client: docker.DockerClient, tiny: standins.StandIn
):
    (tiny.recipe.folder / "requirements.txt").write_text("six==0.0.0.1\n", encoding="utf-8")
    broken = standins.StandIn.of(read_recipe(tiny.recipe.folder))
    before = scratch_folders()

    with pytest.raises(ImageBuildError, match=r"installing the packages of tiny:1(.|\n)*six"):
        standins.build(client, broken)

    assert not standins.is_built(client, broken)
    assert scratch_folders() <= before


def test_an_interrupted_build_leaves_nothing(
    client: docker.DockerClient, tiny: standins.StandIn, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    before = scratch_folders()
    monkeypatch.setattr(_assembly, "load_image", interrupted)
    with pytest.raises(KeyboardInterrupt):
        standins.build(client, tiny)

    assert not standins.is_built(client, tiny)
    assert scratch_folders() <= before
    monkeypatch.undo()
    assert standins.is_built(client, tiny) or standins.build(client, tiny)


def test_a_slim_image_in_the_engine_is_built_on(
    client: docker.DockerClient, tiny: standins.StandIn, run: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
):
    """The real image is not to be had everywhere; one that looks like it, under its name, takes the same way."""
    slim = "python:3.10-slim"
    if _bases._architecture(client, slim) is None:
        made = _bases._of_this_machine(client, find_interpreter("3.10"), jobs=2, progress=lambda _: None)
        client.images.get(made.image).tag(slim)
        request_removal = True
    else:
        request_removal = False
    monkeypatch.setattr(_bases, "find_interpreter", lambda _: None)  # then the byte code comes from a container
    try:
        tag = standins.build(client, tiny)
    finally:
        if request_removal:
            client.images.remove(slim)

    code = "import six, os; print(os.path.exists(six.__cached__), six.__version__)"
    assert client.images.get(tag).labels[f"{standins.LABEL}.base"] == f"from {slim}"
    assert run(tag, ["python", "-c", code]).log == "True 1.17.0\n"
    assert client.containers.list(all=True, filters={"ancestor": slim}) == []


def test_a_registry_that_does_not_answer_costs_seconds(client: docker.DockerClient):
    before = time.monotonic()

    assert not _bases._registry_answers(client, "127.0.0.1:9/python:3.10-slim")
    assert time.monotonic() - before < 8


def test_images_of_older_recipes_are_superseded(client: docker.DockerClient, tiny: standins.StandIn):
    tag = standins.build(client, tiny)

    assert tag in standins.superseded(client)


def test_a_built_image_is_found_by_its_uri(image: Callable[[str], str]):
    uri = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:3.0-5"

    assert standins.find(parse_image_uri(uri)).local_tag == image("xgboost:3.0-5")
