"""Whose are the files of a workspace? The caller's, readable and removable, whatever containers did as root."""

from __future__ import annotations

import os
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from support import definitions as d
from support import user as users
from support.images import UID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from support.cli import Cli
    from support.engine import Leftovers
    from support.images import ProbeImages
    from support.user import User

pytestmark = pytest.mark.docker

MODES = ("overlay", "bind", "archive")
DATA = "/opt/ml/processing/data"
WRITE_AS_ROOT = """
import os
data, out = "/opt/ml/processing/data", "/opt/ml/processing/out"
for root in (data, out, "/opt/ml/output"):
    os.makedirs(root + "/private/deeper", mode=0o700)
    for name, mode in (("closed", 0), ("mine", 0o600), ("program", 0o755)):
        path = root + "/private/deeper/" + name
        open(path, "w").write("x")
        os.chmod(path, mode)
    os.chown(root + "/private/deeper/mine", 4711, 4711)
    os.chmod(root + "/private/deeper", 0)
open(data + "/a.csv", "a").write("more")
os.symlink("/etc/passwd", out + "/link")
os.mkfifo(out + "/fifo")
"""
READ_ALL = """
import os, stat, sys
root = sys.argv[1]
def fail(error): raise error
for folder, names, others in os.walk(root, onerror=fail):
    for path in [os.path.join(folder, name) for name in names + others]:
        info = os.lstat(path)
        assert info.st_uid == os.getuid(), f"{path} belongs to {info.st_uid}"
        if stat.S_ISREG(info.st_mode):
            open(path, "rb").close()
"""
REMOVE_ALL = "import shutil, sys; shutil.rmtree(sys.argv[1])"


@pytest.fixture(scope="module")
def user(leftovers: Leftovers) -> Iterator[User]:
    """Give somebody who is not root."""
    found = users.make()
    leftovers.folders.append(found.home)
    yield found
    shutil.rmtree(found.home)


@pytest.fixture
def their_cli(user: User, leftovers: Leftovers, request: pytest.FixtureRequest) -> Iterator[Cli]:
    """Give the command line as they call it, and one stored object."""
    found = user.cli(f"scratch-{abs(hash(request.node.name))}")
    stored = user.run(
        "import os, sys; os.makedirs(sys.argv[1]); open(sys.argv[1] + '/a.csv', 'w').write('1,2')",
        str(found.workspace / "s3" / "bucket" / "data"),
    )
    assert stored.returncode == 0, stored.stderr
    yield found
    found.end()
    leftovers.processes |= found.processes


def assert_all_theirs(user: User, cli: Cli) -> None:
    """Let them read everything, and remove it."""
    for program in (READ_ALL, REMOVE_ALL):
        done = user.run(program, str(cli.workspace))
        assert done.returncode == 0, done.stderr


def test_they_are_not_root(user: User) -> None:
    assert user.run("import os; raise SystemExit(os.getuid() == 0)").returncode == 0
    assert user.uid != 0


@pytest.mark.parametrize("mode", MODES)
def test_everything_belongs_to_the_caller_after_good_and_failed_steps(
    user: User, their_cli: Cli, images: ProbeImages, mode: str
) -> None:
    data = d.processing_input("data", "s3://bucket/data", DATA)
    good = d.script("Good", images.plain, "good.py", inputs=[data])
    bad = d.script("Bad", images.plain, "bad.py", inputs=[data])
    train = d.training("Train", images.plain, channels=[d.channel("data", "s3://bucket/data")])
    scripts = {"good.py": WRITE_AS_ROOT, "bad.py": f"{WRITE_AS_ROOT}\nraise SystemExit(3)"}

    outcome = their_cli.run(d.pipeline(good, bad, train), "--staging", mode, scripts=scripts).expect(1)

    assert {name: step["status"] for name, step in outcome.steps.items()} == {
        "Good": "Succeeded",
        "Bad": "Failed",
        "Train": "Succeeded",
    }
    assert outcome.stored("data/a.csv").read_text() == "1,2"
    assert outcome.stored("Good/out/private/deeper/closed").read_text() == "x"
    assert not outcome.stored("Bad").exists()
    assert_all_theirs(user, their_cli)


@pytest.mark.parametrize("mode", MODES[:2])
def test_everything_belongs_to_the_caller_after_an_interruption(
    user: User, their_cli: Cli, images: ProbeImages, mode: str
) -> None:
    data = d.processing_input("data", "s3://bucket/data", DATA)
    call = their_cli.start_run(
        d.pipeline(d.script("Step", images.plain, "x.py", inputs=[data])),
        "--staging",
        mode,
        scripts={"x.py": f"{WRITE_AS_ROOT}\nimport time\nprint('running')\ntime.sleep(60)"},
    )
    call.says("running")

    call.signal(signal.SIGINT)
    call.says("once more ends them at once")
    call.signal(signal.SIGINT)
    call.wait().expect(130)

    assert_all_theirs(user, their_cli)


def test_everything_belongs_to_the_caller_when_a_container_is_kept(
    user: User, their_cli: Cli, images: ProbeImages
) -> None:
    data = d.processing_input("data", "s3://bucket/data", DATA)

    their_cli.run(
        d.pipeline(d.script("Step", images.plain, "x.py", inputs=[data])), "--keep", scripts={"x.py": WRITE_AS_ROOT}
    ).expect(0)
    read = user.run(READ_ALL, str(their_cli.workspace))
    their_cli.call("clean", "--workspace", str(their_cli.workspace)).expect(0)

    assert read.returncode == 0, read.stderr


def test_clean_removes_the_folders_of_their_runs(user: User, their_cli: Cli, images: ProbeImages) -> None:
    data = d.processing_input("data", "s3://bucket/data", DATA)
    run = their_cli.run(
        d.pipeline(d.script("Step", images.plain, "x.py", inputs=[data])), scripts={"x.py": WRITE_AS_ROOT}
    ).expect(0)
    assert "inputs by overlay" in run.stderr

    their_cli.call("clean", "--runs", "--workspace", str(their_cli.workspace)).expect(0)

    assert list((their_cli.workspace / "runs").iterdir()) == []
    assert user.uid == (their_cli.workspace / "s3" / "bucket" / "data" / "a.csv").stat().st_uid


def test_a_strict_umask_of_the_caller_does_not_keep_an_images_own_user_out(
    user: User, their_cli: Cli, images: ProbeImages
) -> None:
    data = d.processing_input("data", "s3://bucket/data", DATA)
    step = d.script("Step", images.user, "x.py", inputs=[data], outputs=())

    outcome = their_cli.start_run(
        d.pipeline(step),
        scripts={"x.py": f"import os; print(os.getuid(), open('{DATA}/a.csv').read())"},
        popen={"umask": 0o077},
    ).wait()

    outcome.expect(0)
    assert "1234 1,2" in outcome.stderr
    assert_all_theirs(user, their_cli)


@pytest.mark.xfail(strict=True, reason="staged folders belong to the caller: root's on the service")
def test_an_image_whose_user_has_the_callers_number_can_write_no_more_than_on_the_service(
    user: User, their_cli: Cli, images: ProbeImages
) -> None:
    assert user.uid == UID
    text = "open('/opt/ml/processing/out/x', 'w')"

    outcome = their_cli.run(d.pipeline(d.script("Step", images.callers, "x.py")), scripts={"x.py": text})

    assert outcome.exit_code == 1
    assert "Permission denied" in outcome.stderr


def test_a_user_who_may_not_use_the_engine_is_told_so(user: User, their_cli: Cli, images: ProbeImages) -> None:
    if os.getuid() != 0 or os.environ.get("DOCKER_HOST"):
        pytest.skip("needs root to become somebody else, and the usual socket")
    definition = d.pipeline(d.script("Step", images.plain, "x.py"))

    outcome = their_cli.start_run(definition, scripts={"x.py": ""}, popen={"extra_groups": []}).wait()

    outcome.expect(7)
    assert "Permission denied" in outcome.stderr
    assert user.uid != 0
