"""How is the command line called as somebody who is not root, and with a Python that they can reach?"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import stat
import subprocess
import sys
import sysconfig
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
from support.cli import Cli
from support.images import UID

__all__ = ["User", "make"]

_SOCKET = Path("/var/run/docker.sock")
_NOT_NEEDED = (
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "lib2to3",
    "ensurepip",
    "__pycache__",
    "site-packages",
)
_TRY = "import harness.cli.run, harness.engine.docker, yaml, networkx"


@dataclass
class User:
    """Somebody who is not root but may use the engine."""

    uid: int
    home: Path
    """A folder of theirs, reachable for everybody."""
    popen: dict[str, Any] = field(default_factory=dict)
    """How a process becomes theirs."""
    python: str = sys.executable
    variables: dict[str, str] = field(default_factory=dict)

    def cli(self, name: str) -> Cli:
        """Give the command line with a scratch folder of theirs."""
        scratch = self.home / name
        scratch.mkdir()
        os.chown(scratch, self.uid, -1)
        popen = {**self.popen, "env": {**self.variables, "HOME": str(self.home)}}
        return Cli(scratch, command=(self.python, "-m", "harness"), **popen)

    def run(self, program: str, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a piece of Python as them."""
        env = {"PATH": os.environ["PATH"], "HOME": str(self.home), **self.variables}
        command = [self.python, "-c", program, *words]
        return subprocess.run(command, cwd="/", env=env, capture_output=True, text=True, check=False, **self.popen)


def make() -> User:
    """Make up a user; whoever runs the tests without being root is that user themselves."""
    home = Path(tempfile.mkdtemp(prefix="harness-tests-"))
    home.chmod(0o755)
    if os.getuid() != 0:
        return User(os.getuid(), home)
    groups = [_SOCKET.stat().st_gid] if _SOCKET.exists() else []
    os.chown(home, UID, UID)
    user = User(UID, home, {"user": UID, "group": UID, "extra_groups": groups})
    if not _reaches(user):
        user.python, user.variables = _copied_python(home / "python")
        tried = user.run(_TRY)
        assert tried.returncode == 0, f"the copied Python does not work: {tried.stderr}"
    return user


def _reaches(user: User) -> bool:
    try:
        return user.run(_TRY).returncode == 0
    except PermissionError:  # the interpreter itself lies in a folder of root's
        return False


def _copied_python(target: Path) -> tuple[str, dict[str, str]]:
    """Copy the running interpreter with what the harness needs: its own folders may be root's alone."""
    short = f"python{sys.version_info.major}.{sys.version_info.minor}"
    library = Path(sysconfig.get_path("stdlib"))
    ignore = shutil.ignore_patterns(*_NOT_NEEDED, "config-*", "*.a")
    shutil.copytree(library, target / "lib" / short, ignore=ignore)
    for shared in Path(sys.base_prefix, "lib").glob("libpython*.so*"):
        shutil.copy2(shared, target / "lib" / shared.name)
    (target / "bin").mkdir()
    python = target / "bin" / short
    shutil.copy2(Path(sys.executable).resolve(), python)
    packages = target / "packages"
    shutil.copytree(Path(harness.__file__).parent, packages / "harness")
    _copy_requirements(packages)
    for path in target.rglob("*"):
        if not path.is_symlink():
            path.chmod(stat.S_IMODE(path.stat().st_mode) | (0o555 if path.is_dir() else 0o444))
    variables = {
        "PYTHONHOME": str(target),
        "PYTHONPATH": str(packages),
        "LD_LIBRARY_PATH": str(target / "lib"),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return str(python), variables


def _copy_requirements(target: Path) -> None:
    """Copy the distributions that the harness needs, and those that they need."""
    pending, done = ["sagemaker-harness"], set[str]()
    while pending:
        name = pending.pop()
        if name in done:
            continue
        done.add(name)
        try:
            distribution = importlib.metadata.distribution(name)
        except importlib.metadata.PackageNotFoundError:
            continue  # for other platforms
        pending += [
            re.split(r"[^A-Za-z0-9._-]", line, maxsplit=1)[0]
            for line in distribution.requires or []
            if "extra ==" not in line
        ]
        for file in distribution.files or []:
            source = Path(str(file.locate()))
            if ".." in file.parts or not source.is_file():
                continue
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target / file)
