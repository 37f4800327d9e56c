"""What lies in a folder or an archive, in a form that can be compared?"""

from __future__ import annotations

import hashlib
import re
import stat
import tarfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["archive", "contents", "masked", "store"]

_JOB = re.compile(r"pipelines-[a-z0-9]{12}-([A-Za-z0-9-]+?)-[A-Za-z0-9]{10}(?![A-Za-z0-9])")
_JOB_IN_ARN = re.compile(r"-job/pipelines-[a-z0-9]{12}-([a-z0-9-]+?)-[a-z0-9]{10}(?![a-z0-9])")
_EXECUTION = re.compile(r"execution/[a-z0-9]{12}(?![a-z0-9])")
_HOSTNAME = re.compile(r"ip-10-0-\d+-\d+\.ec2\.internal")


def masked(text: str) -> str:
    """Replace what differs from run to run: job names, executions, host names."""
    text = _JOB_IN_ARN.sub(r"-job/<job \1>", text)
    text = _JOB.sub(r"<job \1>", text)
    text = _EXECUTION.sub("execution/<id>", text)
    return _HOSTNAME.sub("<hostname>", text)


def contents(folder: Path) -> dict[str, str]:
    """Give every file below a folder: masked path → digest; links are named as such and not followed."""
    found = {}
    for path in sorted(folder.rglob("*")):
        info = path.lstat()
        name = masked(path.relative_to(folder).as_posix())
        if stat.S_ISREG(info.st_mode):
            found[name] = hashlib.sha256(path.read_bytes()).hexdigest()
        elif not stat.S_ISDIR(info.st_mode):
            found[name] = f"special: {stat.filemode(info.st_mode)}"
    return found


def archive(path: Path) -> dict[str, tuple[str, str]]:
    """Give an archive's entries: name → mode, and digest for files."""
    found = {}
    with tarfile.open(path) as tar:
        for member in tar:
            handle = tar.extractfile(member) if member.isreg() else None
            digest = hashlib.sha256(handle.read()).hexdigest() if handle else "folder"
            found[member.name] = (f"{member.mode:04o}", digest)
    return found


def store(folder: Path) -> dict[str, object]:
    """Give a store's objects; archives by what is in them, since the bytes of gzip say nothing."""
    found: dict[str, object] = dict(contents(folder))
    for path in folder.rglob("*.tar.gz"):
        found[masked(path.relative_to(folder).as_posix())] = archive(path)
    return found
