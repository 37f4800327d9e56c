"""Which images do the probes run in? Small ones, made without any registry from this machine's own Python."""

from __future__ import annotations

import contextlib
import io
import json
import os
import tarfile
import uuid
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker

from harness.engine import labels
from harness.engine.images._bases import find_base

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["UID", "ProbeImages", "build", "remove"]

PYTHON = "3.10"  # the stand-ins' own: made once for both
REPOSITORY = "sagemaker-harness-tests/probe"
UID = 54321
_OWNER = "sagemaker-harness-tests.owner"
BAKED_ENVIRONMENT = {"BAKED": "in the image", "OVERRIDDEN": "by nobody"}
_SCRIPT = Path(__file__).with_name("probe.py")


@dataclass(frozen=True)
class ProbeImages:
    """The images of one session, by what is special about them."""

    plain: str
    """No ENTRYPOINT, no CMD; ``probe`` and ``train`` on PATH; variables; files baked under /opt/ml."""
    entry: str
    """ENTRYPOINT ["probe"], CMD ["of", "the", "image"]."""
    command: str
    """CMD ["probe", "of", "the", "image"], no ENTRYPOINT."""
    workdir: str
    """WORKDIR /srv/work."""
    user: str
    """USER 1234, with a script that needs no rights."""
    volume: str
    """VOLUME /scratch."""
    callers: str
    """USER 54321, which is who calls the command line where somebody who is not root does."""

    def all(self) -> tuple[str, ...]:
        """Give every tag."""
        return tuple(getattr(self, entry.name) for entry in fields(self))


def build(client: docker.DockerClient) -> ProbeImages:
    """Make the images: a container of the base, some files put into it, committed in several ways."""
    api: Any = client.api
    base = find_base(client, PYTHON, allow_pull=False, jobs=os.cpu_count() or 1, progress=lambda _: None)
    mark = uuid.uuid4().hex[:12]
    variants = {
        "plain": (),
        "entry": ('ENTRYPOINT ["probe"]', 'CMD ["of", "the", "image"]'),
        "command": ('CMD ["probe", "of", "the", "image"]',),
        "workdir": ("WORKDIR /srv/work",),
        "user": ("USER 1234",),
        "volume": ('VOLUME ["/scratch"]',),
        "callers": (f"USER {UID}",),
    }
    _remove_those_of_dead_sessions(client)
    settings = [f"ENV {name}={json.dumps(value)}" for name, value in BAKED_ENVIRONMENT.items()]
    settings.append(f"LABEL {_OWNER}={json.dumps(json.dumps(labels.owner_labels()))}")
    made = api.create_container(base.image, command=["true"])["Id"]
    try:
        api.put_archive(made, "/", _files(base.executable))
        for variant, changes in variants.items():
            api.commit(made, repository=REPOSITORY, tag=f"{variant}-{mark}", changes=[*settings, *changes])
    finally:
        api.remove_container(made, force=True, v=True)
    return ProbeImages(**{variant: f"{REPOSITORY}:{variant}-{mark}" for variant in variants})


def remove(client: docker.DockerClient, images: ProbeImages) -> None:
    """Take the session's images away again; the base stays, since stand-ins use it too."""
    for tag in images.all():
        client.images.remove(tag, force=True)


def _remove_those_of_dead_sessions(client: docker.DockerClient) -> None:
    for image in client.images.list(filters={"label": _OWNER}):
        if labels.owner_is_dead(json.loads(image.labels[_OWNER])):
            with contextlib.suppress(docker.errors.APIError):  # another session was quicker
                client.images.remove(image.id, force=True)


def _files(python: str) -> bytes:
    script = f"#!{python}\n".encode() + _SCRIPT.read_bytes()
    programs = {"usr/local/bin/probe": script, "usr/local/bin/train": script}
    data = {
        "opt/ml/code/baked.py": b"# baked into the image\n",
        "opt/ml/baked.txt": b"baked into the image\n",
        "usr/local/share/not-executable": b"#!/bin/sh\n",
        "srv/work/here.txt": b"the image's working directory\n",
    }
    return _tar(programs, data, {"usr/local/bin/python3": python} if python != "/usr/local/bin/python3" else {})


def _tar(programs: Mapping[str, bytes], data: Mapping[str, bytes], links: Mapping[str, str]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for name, content in {**programs, **data}.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755 if name in programs else 0o644
            tar.addfile(entry, io.BytesIO(content))
        for name, target in links.items():
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, target
            tar.addfile(entry)
    return packed.getvalue()
