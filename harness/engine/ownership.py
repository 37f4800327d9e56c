"""Whose are the files that a container made? The caller's, before anything reads them."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

from docker.errors import APIError
from docker.types import Mount as DockerMount
from requests.exceptions import RequestException

from harness.errors import EngineError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.storage.staging import Mount

__all__ = ["foreign_folders", "give_to_caller"]

_HOME = "/harness-chown"
_PYTHON = """
import os, sys
uid, gid, root = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
for folder, names, others in os.walk(root):
    for path in [folder] + [os.path.join(folder, name) for name in names + others]:
        os.lchown(path, uid, gid)
        if not os.path.islink(path):
            os.chmod(path, os.stat(path).st_mode | (0o700 if os.path.isdir(path) else 0o600))
"""


def foreign_folders(mounts: Sequence[Mount]) -> list[Path]:
    """Find the folders in which a container made files that are not the caller's.

    Root reads and removes everything, so there are none for root.
    """
    uid = os.getuid() if hasattr(os, "getuid") else 0
    if uid == 0:
        return []
    folders = [
        folder
        for mount in mounts
        for folder in (mount.upper, mount.work, mount.collected or mount.source)
        if folder and mount.kind != "archive"
    ]
    return [folder for folder in dict.fromkeys(folders) if _has_foreign(folder, uid)]


def _has_foreign(root: Path, uid: int) -> bool:
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            if folder.lstat().st_uid != uid:
                return True
            with os.scandir(folder) as entries:
                for entry in entries:
                    if entry.stat(follow_symlinks=False).st_uid != uid:
                        return True
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(folder / entry.name)
        except PermissionError:
            return True
        except FileNotFoundError:
            continue
    return False


def give_to_caller(api: Any, image: str, folders: Sequence[Path], labels: Mapping[str, str]) -> None:
    """Change owner and access with a helper container of the same image, which runs as root.

    Raises:
        EngineError: The image has neither a shell nor Python for it.

    """
    uid, gid = os.getuid(), os.getgid()
    places = {str(folder): f"{_HOME}/{number}" for number, folder in enumerate(folders)}
    mounts = [DockerMount(target, source, type="bind") for source, target in places.items()]
    shell = f"chown -R {uid}:{gid} {_HOME} && chmod -R u+rwX {_HOME}"
    problems = []
    for words in (
        ["/bin/sh", "-c", shell],
        ["python3", "-c", _PYTHON, str(uid), str(gid), _HOME],
        ["python", "-c", _PYTHON, str(uid), str(gid), _HOME],
    ):
        problem = _run(api, image, words, mounts, labels)
        if not problem:
            return
        problems.append(problem)
    raise EngineError(
        f"the files that the container made as root could not be given to user {uid}: {problems[0]}",
        remedy=f"run as root once: chown -R {uid}:{gid} {' '.join(places)}",
    )


def _run(api: Any, image: str, words: Sequence[str], mounts: Sequence[DockerMount], labels: Mapping[str, str]) -> str:
    """Run a helper container to its end; give what went wrong, if anything did."""
    made = api.create_container(
        image,
        entrypoint=[words[0]],
        command=list(words[1:]),
        user="0:0",
        labels=dict(labels),
        host_config=api.create_host_config(mounts=list(mounts), network_mode="none"),
    )["Id"]
    try:
        api.start(made)
        code = api.wait(made)["StatusCode"]
        return (
            ""
            if code == 0
            else f"{words[0]} ended with {code}: {api.logs(made, tail=3).decode(errors='replace').strip()}"
        )
    except APIError as error:
        return str(error.explanation)
    finally:
        with contextlib.suppress(APIError, RequestException):
            api.remove_container(made, force=True, v=True)
