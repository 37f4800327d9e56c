"""Which Pythons does this machine have, and can one of them serve an image?"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from harness.engine.images._scratch import find_uv

__all__ = ["Interpreter", "find_interpreter"]

_ANSWER_S = 20
_NEEDED = ("bz2", "ctypes", "hashlib", "lzma", "sqlite3", "ssl", "zlib")
_PROBE = f"""
import importlib, json, os, platform, site, ssl, sys, sysconfig
for name in {_NEEDED!r}:
    importlib.import_module(name)
print(json.dumps({{
    "version": platform.python_version(), "executable": os.path.realpath(sys.executable),
    "library": sysconfig.get_path("stdlib"), "platform_library": sysconfig.get_path("platstdlib"),
    "prefix": sys.base_prefix, "machine": sys.platform + "-" + platform.machine(), "libc": platform.libc_ver()[0],
    "packages": os.path.basename((site.getsitepackages() or ["site-packages"])[0]),
    "certificates": ssl.get_default_verify_paths().openssl_cafile, "venv": sys.prefix != sys.base_prefix,
    "implementation": sys.implementation.name,
}}))
"""


class Interpreter(BaseModel):
    """A Python of this machine."""

    model_config = ConfigDict(frozen=True)

    version: str
    executable: Path
    library: Path
    platform_library: Path
    prefix: Path
    machine: str
    libc: str
    packages: str
    """``site-packages``, or Debian's ``dist-packages``."""
    certificates: str
    """Where its OpenSSL looks for certificates."""
    venv: bool
    implementation: str

    @property
    def short(self) -> str:
        """Give the version without its last part."""
        return ".".join(self.version.split(".")[:2])

    @property
    def can_serve_images(self) -> bool:
        """Say whether its files run in a container of Linux on x86-64."""
        return self.machine == "linux-x86_64" and self.libc == "glibc" and self.implementation == "cpython"

    @property
    def identity(self) -> str:
        """Give something that changes when the interpreter does."""
        digest = hashlib.sha256(self.executable.read_bytes()).hexdigest()
        return f"{self.version} {digest} {self.packages} {self.certificates}"


def find_interpreter(version: str) -> Interpreter | None:
    """Find a Python of a version: on PATH, of pyenv, of uv."""
    seen: set[Path] = set()
    for candidate in _candidates(version):
        path = candidate.resolve()
        if path in seen:
            continue
        seen.add(path)
        found = _probe(path)  # the real one: a virtual environment's looks for packages in another place
        if found and found.short == version and found.can_serve_images and not found.venv:
            return found
    return None


def _candidates(version: str) -> list[Path]:
    names = [Path(sys.executable)] if f"{sys.version_info[0]}.{sys.version_info[1]}" == version else []
    if on_path := shutil.which(f"python{version}"):
        names.append(Path(on_path))
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    names += sorted(pyenv.glob(f"{version}.*/bin/python{version}"), reverse=True)
    names += [Path(folder, f"python{version}") for folder in ("/usr/local/bin", "/usr/bin")]
    command = [find_uv(), "python", "find", "--no-python-downloads", "--managed-python", "--no-project", version]
    managed = subprocess.run(command, capture_output=True, text=True, check=False)
    if managed.returncode == 0:
        names.append(Path(managed.stdout.strip()))
    return [name for name in names if name.exists()]


def _probe(python: Path) -> Interpreter | None:
    """Ask a Python about itself; one that lacks a module, or does not start, is of no use."""
    try:
        done = subprocess.run(
            [python, "-I", "-c", _PROBE], capture_output=True, text=True, check=False, timeout=_ANSWER_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return Interpreter.model_validate(json.loads(done.stdout)) if done.returncode == 0 else None
