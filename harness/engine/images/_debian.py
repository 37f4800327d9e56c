"""How does Debian's own Python become a base, where no other is to be had?

Debian carries one Python version in each release. The nearest one is taken, and declared as a difference.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from harness.engine.images._layers import Layer
from harness.engine.images._scratch import run_tool
from harness.errors import ImageBuildError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["Suite", "identity", "make_layer", "suite_for", "why_not"]

_PACKAGES = ("ca-certificates", "python3", "procps", "hostname")
_EXCLUDED = (
    "/usr/share/doc/*",
    "/usr/share/info/*",
    "/usr/share/locale/*",
    "/usr/share/man/*",
    "/usr/lib/python3*/EXTERNALLY-MANAGED",
)
_QUIET = {"DEBIAN_FRONTEND": "noninteractive"}


@dataclass(frozen=True)
class Suite:
    """A release of Debian and its Python."""

    name: str
    python: str


_SUITES = (Suite("bullseye", "3.9"), Suite("bookworm", "3.11"), Suite("trixie", "3.13"))


def why_not() -> str:
    """Say what keeps this machine from making one; empty if nothing does."""
    if not Path("/etc/debian_version").is_file():
        return "this machine runs neither Debian nor Ubuntu"
    if os.geteuid() != 0:
        return "it needs root"
    if not (shutil.which("mmdebstrap") or shutil.which("apt-get")):
        return "there is neither mmdebstrap nor apt-get"
    return ""


def suite_for(python: str) -> Suite:
    """Give the release whose Python is nearest; of two, the newer one."""
    wanted = int(python.partition(".")[2])
    return min(_SUITES, key=lambda suite: (abs(int(suite.python[2:]) - wanted), -int(suite.python[2:])))


def identity(suite: Suite, packages: Sequence[str]) -> str:
    """Give something that changes when other packages are wanted."""
    return hashlib.sha256(" ".join([suite.name, *_PACKAGES, *packages]).encode()).hexdigest()[:12]


def make_layer(suite: Suite, packages: Sequence[str], folder: Path, *, progress: Callable[[str], None]) -> Layer:
    """Make a root file system of a release with its Python and some packages.

    Raises:
        ImageBuildError: A tool failed; its last lines are in the text.

    """
    remedy = "check that apt can reach a Debian mirror from here"
    if not shutil.which("mmdebstrap"):
        progress("installing mmdebstrap with apt")
        install = ["apt-get", "install", "--yes", "--no-install-recommends", "mmdebstrap", "debian-archive-keyring"]
        try:
            run_tool(install, doing="installing mmdebstrap", remedy=remedy, environment=_QUIET)
        except ImageBuildError:  # the lists of packages may be old, or not there
            run_tool(["apt-get", "update"], doing="updating apt's lists", remedy=remedy, environment=_QUIET)
            run_tool(install, doing="installing mmdebstrap", remedy=remedy, environment=_QUIET)
    target = folder / "debian.tar"
    command: list[str | Path] = [
        "mmdebstrap", "--quiet", "--variant=minbase", "--include", ",".join([*_PACKAGES, *packages]),
        '--aptopt=Apt::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED), suite.name, target,
    ]  # fmt: skip
    run_tool(command, doing=f"making a root file system of Debian {suite.name}", remedy=remedy, environment=_QUIET)
    digest = hashlib.sha256()
    with target.open("rb") as content:
        while block := content.read(1 << 20):
            digest.update(block)
    return Layer(target, f"sha256:{digest.hexdigest()}")
