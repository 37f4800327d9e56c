"""How is the exact container written down, as data and as a script that starts it again without the harness?"""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.service.spec import HostSpec, Tree
    from harness.storage.staging import Mount, StagedHost

__all__ = ["container_record", "run_again_script", "write_records"]


def container_record(
    host: HostSpec,
    staged: StagedHost,
    *,
    image: str,
    network: str,
    addresses: Mapping[str, str],
) -> dict[str, Any]:
    """Describe a container as data."""
    return {
        "image": image,
        "entrypoint": None if host.entrypoint is None else list(host.entrypoint),
        "command": None if host.arguments is None else list(host.arguments),
        "environment": host.environment,
        "hostname": host.hostname,
        "network": network,
        "extra_hosts": dict(addresses),
        "limits": host.limits.model_dump(),
        "mounts": [mount.model_dump(mode="json", exclude_none=True) for mount in staged.mounts],
    }


def run_again_script(
    host: HostSpec,
    staged: StagedHost,
    *,
    title: str,
    image: str,
    network: str,
    addresses: Mapping[str, str],
) -> str:
    """Write a shell script that starts the same container again and ends with its exit code.

    It works on copies: what this attempt left behind stays as evidence, and the store is not reached.
    """
    create = ["--hostname", host.hostname, "--network", network]
    for name, address in addresses.items():
        create += ["--add-host", f"{name}:{address}"]
    if host.limits.cpus:
        create += ["--cpus", f"{host.limits.cpus:g}"]
    if host.limits.memory_mib:
        create += ["--memory", f"{host.limits.memory_mib}m", "--memory-swap", f"{host.limits.memory_mib}m"]
    create += ["--shm-size", f"{host.limits.shm_mib}m"]
    for name, value in host.environment.items():
        create += ["--env", f"{name}={value}"]
    if host.entrypoint:
        create += ["--entrypoint", host.entrypoint[0]]
    words = [*(host.entrypoint or ())[1:], *(host.arguments or ())]
    trees = {tree.path: tree for tree in host.trees}
    mounts = "".join(_mount_line(number, mount) for number, mount in enumerate(staged.mounts))
    copies = "".join(_copy_lines(number, mount, trees[mount.target]) for number, mount in enumerate(staged.mounts))
    return f"""#!/bin/sh
# {title}
# Starts the same container again, on copies of its files; ends with its exit code.
# The copies stay in the folder that is named at the end. Set KEEP=1 to keep the container too.
set -eu
docker=${{DOCKER:-docker}}
scratch=$(mktemp -d "${{TMPDIR:-/tmp}}/run-again.XXXXXX")
chmod 755 "$scratch"
copy() {{ mkdir -p "$scratch/$2" && cp -a "$1/." "$scratch/$2/"; }}
{copies}
set --{mounts}
id=$("$docker" create{_lines(create)} "$@" \\
  {shlex.quote(image)}{"".join(" " + _quote(word) for word in words)})
[ -n "${{KEEP:-}}" ] || trap '"$docker" rm -f -v "$id" >/dev/null' EXIT
echo "container $id, its files below $scratch" >&2
code=0
"$docker" start -a "$id" || code=$?
# A program that could not be started has an exit code too, which "start" does not tell.
[ "$code" = 0 ] || told=$("$docker" inspect --format '{{{{.State.ExitCode}}}}' "$id")
[ "${{told:-0}}" = 0 ] || code=$told
exit "$code"
"""


def _copy_lines(number: int, mount: Mount, tree: Tree) -> str:
    """Begin where the container began: result folders empty, inputs as they were staged."""
    if tree.collected and not tree.placements:
        folders = [f'"$scratch/{number}"', *(f'"$scratch/{number}"/{shlex.quote(folder)}' for folder in tree.folders)]
        return f"mkdir -p {' '.join(folders)}\n"
    return f"copy {shlex.quote(str(mount.source))} {number}\n"


def _mount_line(number: int, mount: Mount) -> str:
    return f' \\\n  --mount "type=bind,source=$scratch/{number},target={mount.target}"'


def _lines(words: Sequence[str]) -> str:
    """Write a command with one option a line."""
    text = ""
    for word in words:
        text += f" \\\n  {_quote(word)}" if word.startswith("--") else f" {_quote(word)}"
    return text


def _quote(word: str) -> str:
    return shlex.quote(word)


def write_records(folder: Path, record: Mapping[str, Any], script: str) -> None:
    """Put both into an attempt's folder, for the caller's eyes only: environments may hold secrets."""
    files.write_text(folder / "container.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n", mode=0o600)
    files.write_text(folder / "run-again.sh", script, mode=0o700)
