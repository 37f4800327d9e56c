"""What image builds are made of, each part by itself and without an engine."""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import sys
import tarfile
import threading
import zipfile
from typing import TYPE_CHECKING

import pytest

from harness.engine.images import _bases, _debian, _indexes, _scratch, _sdists
from harness.engine.images._interpreters import find_interpreter
from harness.engine.images._layers import EPOCH, Tree
from harness.engine.images._recipes import Patch, SourceDistribution
from harness.engine.images._trees import place_packages, versions
from harness.engine.images.standins import catalog
from harness.errors import ImageBuildError, ImageError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _own_caches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def pip_conf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which nothing but this file configures pip and uv."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name in {"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"}:
            monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", str(tmp_path / "pip.conf"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(_indexes, "_pip_files", lambda: [tmp_path / "pip.conf"])
    return tmp_path / "pip.conf"


def test_uv_is_told_what_pip_is_told(pip_conf: Path):
    pip_conf.write_text(
        "[global]\nindex-url = https://pip.company/simple\nextra-index-url =\n    https://a/simple\n    https://b/simple\n"
        "trusted_host = pip.company\ncert = /etc/company.pem\n[install]\nfind-links = /wheels\n",
        encoding="utf-8",
    )

    settings = _indexes.pip_settings()
    arguments = _indexes.uv_arguments(settings)

    assert settings.urls == ("https://pip.company/simple", "https://a/simple", "https://b/simple")
    assert arguments == [
        "--index-strategy", "unsafe-best-match", "--index-url", "https://pip.company/simple",
        "--extra-index-url", "https://a/simple", "--extra-index-url", "https://b/simple",
        "--find-links", "/wheels", "--allow-insecure-host", "pip.company",
    ]  # fmt: skip
    assert _indexes.uv_environment(settings) == {"SSL_CERT_FILE": "/etc/company.pem"}


def test_variables_win_over_files_as_with_pip(pip_conf: Path, monkeypatch: pytest.MonkeyPatch):
    pip_conf.write_text("[global]\nindex-url = https://file/simple\n", encoding="utf-8")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable/simple")

    assert _indexes.pip_settings().index_url == "https://variable/simple"


def test_uvs_own_settings_win_over_pips(pip_conf: Path, monkeypatch: pytest.MonkeyPatch):
    pip_conf.write_text("[global]\nindex-url = https://pip/simple\n", encoding="utf-8")
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://uv/simple")

    settings = _indexes.pip_settings()

    assert settings.urls == ("https://uv/simple",)
    assert "--index-url" not in _indexes.uv_arguments(settings)


def test_without_settings_packages_come_from_pypi(pip_conf: Path):
    assert not pip_conf.exists()
    assert _indexes.pip_settings().urls == (_indexes._pips_own_index(),)
    assert "pypi" in _indexes.pip_settings().urls[0]
    assert _indexes.uv_environment(_indexes.pip_settings()) == {}


CONTENT = b"an archive"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


def test_a_file_is_taken_from_a_folder_that_find_links_names(tmp_path: Path):
    (tmp_path / "a-1.tar.gz").write_bytes(CONTENT)
    indexes = _indexes.Indexes(find_links=(str(tmp_path),), no_index=True)

    assert _indexes.fetch(indexes, "a", "a-1.tar.gz", SHA256) == CONTENT


def test_a_file_is_taken_from_an_index_of_files(tmp_path: Path):
    page = tmp_path / "simple" / "a"
    page.mkdir(parents=True)
    (tmp_path / "files").mkdir()
    (tmp_path / "files" / "a-1.tar.gz").write_bytes(CONTENT)
    (page / "index.html").write_text('<a href="../../files/a-1.tar.gz#sha256=1">a-1.tar.gz</a>', encoding="utf-8")
    indexes = _indexes.Indexes(index_url=(tmp_path / "simple").as_uri())

    assert _indexes.fetch(indexes, "a", "a-1.tar.gz", SHA256) == CONTENT


def test_another_file_of_the_same_name_is_refused(tmp_path: Path):
    (tmp_path / "a-1.tar.gz").write_bytes(b"something else")
    indexes = _indexes.Indexes(find_links=(str(tmp_path),), no_index=True)

    with pytest.raises(ImageBuildError, match="is not the file that the recipe names"):
        _indexes.fetch(indexes, "a", "a-1.tar.gz", SHA256)


def test_a_missing_file_names_the_places_without_their_passwords(tmp_path: Path):
    indexes = _indexes.Indexes(index_url="http://me:secret@127.0.0.1:9/simple", find_links=(str(tmp_path),))

    with pytest.raises(ImageBuildError, match="not to be had") as caught:
        _indexes.fetch(indexes, "a", "a-1.tar.gz", SHA256)

    assert "127.0.0.1:9/simple/a/" in str(caught.value)
    assert "secret" not in str(caught.value)


def archive(files: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, text in files.items():
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            tar.addfile(info, io.BytesIO(text.encode()))
    return buffer.getvalue()


SDIST = archive(
    {
        "Thing-1.0/PKG-INFO": "Metadata-Version: 2.1\nName: Thing\nVersion: 1.0\nSummary: does things\n",
        "Thing-1.0/src/Thing.egg-info/requires.txt": "six\nnumpy>=1\n\n[test]\npytest\n",
        "Thing-1.0/src/Thing.egg-info/entry_points.txt": "[console_scripts]\nthing = thing:main\n",
        "Thing-1.0/src/thing/__init__.py": "import collections\nprint(collections.Mapping)\n",
        "Thing-1.0/src/thing/fast.c": "int main() {}",
        "Thing-1.0/setup.py": "raise SystemExit('never run')",
        "Thing-1.0/../../evil": "no",
    }
)


def source(**changes: object) -> SourceDistribution:
    fields: dict[str, object] = {
        "project": "Thing", "version": "1.0", "file": "Thing-1.0.tar.gz", "contents": {"src/thing": "thing"},
        "sha256": hashlib.sha256(SDIST).hexdigest(),
    }  # fmt: skip
    return SourceDistribution.model_validate({**fields, **changes})


def test_a_source_distribution_becomes_a_wheel_without_running_it():
    patch = Patch(file="thing/__init__.py", old="collections.Mapping", new="collections.abc.Mapping")
    wheel = _sdists.make_wheel(source(replace=(patch,), add={"extra.py": "pass\n"}), SDIST)

    with zipfile.ZipFile(io.BytesIO(wheel)) as content:
        names = set(content.namelist())
        metadata = content.read("thing-1.0.dist-info/METADATA").decode()
        code = content.read("thing/__init__.py").decode()
    info = "thing-1.0.dist-info"
    assert names == {
        "thing/__init__.py", "extra.py",
        f"{info}/METADATA", f"{info}/WHEEL", f"{info}/RECORD", f"{info}/entry_points.txt",
    }  # fmt: skip
    assert "collections.abc.Mapping" in code
    assert "Requires-Dist: six\nRequires-Dist: numpy>=1\n" in metadata
    assert "pytest" not in metadata


def test_a_wheel_is_the_same_every_time():
    assert _sdists.make_wheel(source(), SDIST) == _sdists.make_wheel(source(), SDIST)


def test_a_patch_that_no_longer_fits_is_an_error():
    patch = Patch(file="thing/__init__.py", old="not there", new="x")

    with pytest.raises(ImageBuildError, match="does not hold 'not there'"):
        _sdists.make_wheel(source(replace=(patch,)), SDIST)


def test_a_wheel_is_made_once(tmp_path: Path):
    (tmp_path / "Thing-1.0.tar.gz").write_bytes(SDIST)
    indexes = _indexes.Indexes(find_links=(str(tmp_path),), no_index=True)

    folder = _sdists.wheel_folder(indexes, [source()])
    (tmp_path / "Thing-1.0.tar.gz").unlink()

    assert _sdists.wheel_folder(indexes, [source()]) == folder
    assert [path.name for path in folder.iterdir()] == ["thing-1.0-py3-none-any.whl"]


def members(layer: Path) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(layer) as tar:
        return {member.name: member for member in tar}


def test_a_layer_has_the_same_bytes_whenever_it_is_written(tmp_path: Path):
    (tmp_path / "in" / "bin").mkdir(parents=True)
    (tmp_path / "in" / "bin" / "tool").write_text("#!/bin/sh\n", encoding="utf-8")
    (tmp_path / "in" / "bin" / "tool").chmod(0o700)
    (tmp_path / "in" / ("long" * 60)).write_text("a name longer than old archives know", encoding="utf-8")
    tree = Tree()
    tree.copy(tmp_path / "in", "usr/local")
    tree.link("link", "usr/local")
    tree.file("tmp/x", b"hello")
    first = tree.write(tmp_path / "1.tar")
    (tmp_path / "in" / "bin" / "tool").touch()

    assert tree.write(tmp_path / "2.tar").diff_id == first.diff_id
    assert first.diff_id == f"sha256:{hashlib.sha256((tmp_path / '1.tar').read_bytes()).hexdigest()}"
    found = members(tmp_path / "1.tar")
    assert found["usr/local/bin/tool"].mode == 0o755
    assert found["tmp"].mode == 0o1777
    assert found["link"].linkname == "usr/local"
    assert f"usr/local/{'long' * 60}" in found
    assert {(m.mtime, m.uid, m.gid) for m in found.values()} == {(EPOCH, 0, 0)}


def test_folders_come_before_what_is_in_them(tmp_path: Path):
    tree = Tree()
    tree.file("a/b/c", b"")
    tree.hide_below("a/b/d")
    tree.write(tmp_path / "layer.tar")

    assert list(members(tmp_path / "layer.tar")) == ["a", "a/b", "a/b/c", "a/b/d", "a/b/d/.wh..wh..opq"]


def test_programs_start_with_the_python_of_the_image(tmp_path: Path):
    installed = tmp_path / "installed"
    (installed / "thing").mkdir(parents=True)
    (installed / "thing" / "__init__.py").touch()
    (installed / "bin").mkdir()
    (installed / "bin" / "script").write_text("#!/home/me/python3.11\nprint()\n", encoding="utf-8")
    (installed / "bin" / "binary").write_bytes(b"\x7fELF")
    (installed / "thing-1.0.dist-info").mkdir()
    (installed / "thing-1.0.dist-info" / "entry_points.txt").write_text(
        "[console_scripts]\nthing = thing.cli:main\ntrain = thing:train [extra]\n", encoding="utf-8"
    )
    recipe = next(s.recipe for s in catalog() if s.name == "sklearn:1.2-1")
    tree = Tree()

    place_packages(recipe, installed, tree, site="usr/lib/py", python="/miniconda3/bin/python")

    text = {name: entry.source for name, entry in tree.entries.items() if isinstance(entry.source, bytes)}
    assert text["usr/local/bin/script"] == b"#!/miniconda3/bin/python\nprint()\n"
    assert b"from thing.cli import main" in text["usr/local/bin/thing"]
    assert b"from sagemaker_training.cli.train import main" in text["usr/local/bin/train"]  # the recipe's choice wins
    assert tree.entries["usr/local/bin/binary"].source == installed / "bin" / "binary"
    assert "usr/lib/py/thing/__init__.py" in tree.entries
    assert "usr/lib/py/bin" not in tree.entries
    assert versions(installed) == {"thing": "1.0"}


def test_a_failing_tools_last_lines_are_in_the_error():
    code = "import sys; [print(n, file=sys.stderr) for n in range(99)]; sys.exit(3)"

    with pytest.raises(ImageBuildError) as caught:
        _scratch.run_tool([sys.executable, "-c", code], doing="counting", remedy="count less")

    text = str(caught.value)
    assert "counting" in text
    assert "ended with 3" in text
    assert "    98" in text
    assert "    50\n" not in text
    assert "count less" in text


def test_a_missing_tool_is_named():
    with pytest.raises(ImageBuildError, match="cannot run /no/such/tool"):
        _scratch.run_tool(["/no/such/tool"], doing="trying")


def test_without_uv_a_person_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "uv", None)
    monkeypatch.setenv("PATH", "")

    with pytest.raises(ImageError, match=r"pip install 'sagemaker-harness\[images\]'"):
        _scratch.find_uv()


def test_scratch_folders_are_gone_afterwards_and_dead_ones_are_swept():
    with _scratch.scratch() as folder:
        (folder / "file").touch()
        (folder.parent / "dead").mkdir()
        (folder.parent / "dead.lock").touch()
        with _scratch.scratch():
            assert folder.is_dir()  # its owner lives
            assert not (folder.parent / "dead").exists()
    assert list(folder.parent.iterdir()) == []


def test_one_at_a_time_gets_in():
    order: list[str] = []
    inside = threading.Event()

    def second() -> None:
        inside.wait()
        with _scratch.exclusively("x", waiting=lambda: order.append("waiting")):
            order.append("second")

    thread = threading.Thread(target=second)
    with _scratch.exclusively("x"):
        thread.start()
        inside.set()
        while "waiting" not in order:
            pass
        order.append("first")
    thread.join()

    assert order == ["waiting", "first", "second"]
    with (_scratch.cache_folder("locks") / "x.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_an_unwritable_cache_is_an_error_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))

    with pytest.raises(ImageBuildError, match="XDG_CACHE_HOME"):
        _scratch.cache_folder("wheels")


def test_this_python_can_be_found_and_one_that_nobody_has_cannot():
    assert find_interpreter("3.99") is None
    found = find_interpreter(f"{sys.version_info[0]}.{sys.version_info[1]}")
    assert found is None or found.short == f"{sys.version_info[0]}.{sys.version_info[1]}"


@pytest.mark.parametrize(
    ("python", "suite"), [("3.8", "bullseye"), ("3.10", "bookworm"), ("3.11", "bookworm"), ("3.12", "trixie")]
)
def test_of_debians_releases_the_one_with_the_nearest_python_is_taken(python: str, suite: str):
    assert _debian.suite_for(python).name == suite


def test_where_no_base_is_to_be_had_every_way_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_bases, "_architecture", lambda *_: None)
    monkeypatch.setattr(_bases, "find_interpreter", lambda _: None)
    monkeypatch.setattr(_debian, "why_not", lambda: "it needs root")

    with pytest.raises(ImageBuildError) as caught:
        _bases.find_base(None, "3.10", allow_pull=False, jobs=1, progress=lambda _: None)

    text = str(caught.value)
    assert "python:3.10-slim is not in the engine" in text
    assert "no Python 3.10" in text
    assert "it needs root" in text
    assert "docker pull --platform linux/amd64 python:3.10-slim" in text


def test_a_slim_image_for_another_processor_is_not_built_on(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(_bases, "_architecture", lambda *_: "arm64")
    monkeypatch.setattr(_bases, "find_interpreter", lambda _: None)
    monkeypatch.setattr(_debian, "why_not", lambda: "it needs root")

    with pytest.raises(ImageBuildError, match="is for arm64"):
        _bases.find_base(None, "3.10", allow_pull=False, jobs=1, progress=lambda _: None)
