"""A full disk, a workspace that cannot be written: is it said clearly, and is nothing half-made left?"""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from support import definitions as d

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from support.cli import Cli
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = [
    pytest.mark.docker,
    pytest.mark.skipif(os.getuid() != 0, reason="only root can mount a small disk"),
]

MIB = 1024 * 1024


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Path]]:
    """Give a way to mount small disks."""
    mounted = []

    def mount(options: str) -> Path:
        place = tmp_path / f"disk-{len(mounted)}"
        place.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)], check=True)
        mounted.append(place)
        return place

    yield mount
    for place in mounted:
        subprocess.run(["umount", "--lazy", str(place)], check=True)


@pytest.fixture
def small(cli: Cli, disk: Callable[[str], Path]) -> Cli:
    """Give the command line with a workspace on a disk of 6 MiB."""
    cli.workspace = disk("size=6m") / "workspace"
    return cli


def fill(folder: Path, *, leave: int) -> None:
    """Fill a disk but for some bytes."""
    info = os.statvfs(folder)
    with (folder / "ballast").open("wb") as handle:
        handle.write(b"\0" * max(0, info.f_bavail * info.f_frsize - leave))


def assert_said(stderr: str) -> None:
    assert "No space left on device" in stderr
    assert "Traceback" not in stderr


def test_a_disk_that_is_full_from_the_start(small: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    fill(small.workspace.parent, leave=0)

    outcome = small.run(d.pipeline(d.training("Step", images.plain))).expect(5)

    assert_said(outcome.stderr)
    assert "--workspace" in outcome.stderr
    assert leftovers.all() == []


@pytest.mark.parametrize("leave", [4096, 16384, 32768, 65536])
def test_a_disk_that_fills_while_the_run_writes_its_own_files(
    small: Cli, images: ProbeImages, leftovers: Leftovers, leave: int
) -> None:
    fill(small.workspace.parent, leave=leave)

    outcome = small.run(d.pipeline(d.training("Step", images.plain)))

    assert outcome.exit_code in {0, 1, 5}, str(outcome)  # 1: the container itself found no room
    assert outcome.exit_code != 5 or "No space left on device" in outcome.stderr
    assert "Traceback (most recent call last):\n  File" not in outcome.stderr or outcome.exit_code == 1
    assert leftovers.all() == []


def test_an_input_that_does_not_fit(small: Cli, images: ProbeImages, tmp_path: Path, leftovers: Leftovers) -> None:
    big = tmp_path / "big.bin"
    big.write_bytes(b"\0" * (8 * MIB))
    step = d.training("Step", images.plain, channels=[d.channel("data", "s3://bucket/big.bin")])

    outcome = small.run(d.pipeline(step), inputs={"s3://bucket/big.bin": big}).expect(5)

    assert_said(outcome.stderr)
    assert not (small.workspace / "s3" / "bucket" / "big.bin").exists()
    assert list((small.workspace / "tmp").iterdir()) == []
    assert leftovers.all() == []


def test_an_archive_that_does_not_fit(small: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    text = f"import os\nopen('/opt/ml/model/m', 'wb').write(os.urandom({4 * MIB}))"

    outcome = small.run(d.pipeline(d.training("Step", images.plain, file="x.py")), scripts={"x.py": text}).expect(5)

    assert_said(outcome.stderr)
    assert outcome.steps["Step"]["cause_kind"] == "infrastructure"
    assert "publishing model" in outcome.steps["Step"]["failure_reason"]
    assert list(outcome.stored("Step").rglob("*.tar.gz")) == []
    assert [path for path in (small.workspace / "tmp").iterdir() if path.suffix == ".gz"] == []
    assert leftovers.all() == []


def test_a_container_that_fills_the_disk_fails_by_itself(small: Cli, images: ProbeImages, leftovers: Leftovers) -> None:
    text = f"import os\nopen('/opt/ml/processing/out/x', 'wb').write(os.urandom({20 * MIB}))"

    outcome = small.run(d.pipeline(d.script("Step", images.plain, "x.py")), scripts={"x.py": text})

    assert outcome.exit_code in {1, 5}, str(outcome)  # 5: no room was left for the records either
    assert "No space left on device" in outcome.stderr
    assert leftovers.all() == []


def test_a_log_that_does_not_fit_does_not_hang_the_container(
    small: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    text = "import sys\nfor n in range(200_000):\n  print(n, '.' * 80)"
    step = d.script("Step", images.plain, "x.py", outputs=())

    outcome = small.run(d.pipeline(step), "--quiet", scripts={"x.py": text}, limit_s=60).expect(5)

    assert_said(outcome.stderr)
    assert leftovers.all() == []


def test_the_store_outlives_a_full_disk(small: Cli, images: ProbeImages) -> None:
    good = "open('/opt/ml/processing/out/x', 'w').write('first')"
    small.run(d.pipeline(d.script("Step", images.plain, "x.py")), scripts={"x.py": good}).expect(0)
    ballast = small.workspace.parent / "ballast"
    fill(small.workspace.parent, leave=0)

    full = small.run(d.pipeline(d.script("Step", images.plain, "x.py")), scripts={"x.py": good})
    ballast.unlink()
    again = small.run(
        d.pipeline(d.script("Step", images.plain, "x.py")), scripts={"x.py": good.replace("first", "second")}
    ).expect(0)

    assert full.exit_code == 5
    assert again.stored("Step/out/x").read_text() == "second"


def test_a_workspace_that_cannot_be_written(cli: Cli, images: ProbeImages, disk: Callable[[str], Path]) -> None:
    cli.workspace = disk("size=6m,ro") / "workspace"

    outcome = cli.run(d.pipeline(d.training("Step", images.plain))).expect(5)

    assert "Read-only file system" in outcome.stderr
    assert "Traceback" not in outcome.stderr


def test_an_existing_workspace_that_cannot_be_written_any_more_can_still_be_looked_at(
    small: Cli, images: ProbeImages
) -> None:
    small.run(d.pipeline(d.training("Step", images.plain))).expect(0)
    subprocess.run(["mount", "-o", "remount,ro", str(small.workspace.parent)], check=True)

    again = small.run(d.pipeline(d.training("Step", images.plain))).expect(5)
    listed = small.call("runs", "--workspace", str(small.workspace)).expect(0)
    shown = small.call("logs", "last", "--workspace", str(small.workspace))
    planned = small.call("plan", *small.words(d.pipeline(d.training("Step", images.plain)))).expect(0)

    assert "Traceback" not in again.stderr
    assert "Succeeded" in listed.stdout
    assert shown.exit_code == 0
    assert "Step" in planned.stdout


def test_a_workspace_that_is_a_file_is_told(cli: Cli, images: ProbeImages) -> None:
    cli.workspace.write_text("a file")

    outcome = cli.run(d.pipeline(d.training("Step", images.plain))).expect(5)

    assert str(cli.workspace) in outcome.stderr
    assert "Traceback" not in outcome.stderr
