"""What can a container do to us with what it leaves in its output folders? Nothing, and the rest is published."""

from __future__ import annotations

import gzip
import tarfile
from typing import TYPE_CHECKING

import pytest
from support import definitions as d
from support.cli import Cli

if TYPE_CHECKING:
    from pathlib import Path

    from support.cli import Outcome
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

MODES = ("overlay", "archive")  # outputs are bind mounts in an overlay run too
TOKEN = "a-secret-of-this-machine"  # noqa: S105 – what must not be found
EVERYTHING = """
import os, socket, stat, sys
from pathlib import Path
secret, out = os.environ["SECRET"], Path(os.environ["OUT"])
(out / "good.txt").write_text("good")
(out / "link to a file").symlink_to(secret)
(out / "link to a folder").symlink_to(os.path.dirname(secret))
(out / "link to etc").symlink_to("/etc")
(out / "link upwards").symlink_to("../../../../../../../../" + secret)
(out / "link to itself").symlink_to("link to itself")
(out / "link to nothing").symlink_to("nothing")
(out / "link to good").symlink_to("good.txt")
os.mkfifo(out / "fifo")
socket.socket(socket.AF_UNIX).bind(str(out / "socket"))
os.mknod(out / "device", stat.S_IFCHR | 0o666, os.makedev(1, 5))
os.mknod(out / "disk", stat.S_IFBLK | 0o666, os.makedev(254, 0))
(out / "two\\nlines.txt").write_text("newline")
(out / "sn\\u00f6\\u2603.txt").write_text("unicode")
(out / "closed").mkdir()
(out / "closed" / "inner").mkdir()
(out / "closed" / "inner" / "file").write_text("closed")
(out / "closed" / "inner" / "file").chmod(0o000)
(out / "closed" / "inner").chmod(0o000)
(out / "closed").chmod(0o700)
(out / "setuid").write_text("setuid")
(out / "setuid").chmod(0o6755)
os.chown(out / "setuid", 12345, 12345)
"""
GOOD = {"good.txt", "two\nlines.txt", "snö☃.txt", "closed/inner/file", "setuid"}
FOLDER_BECOMES_LINK = """
import os
os.rmdir("/opt/ml/output/data")
os.symlink(os.path.dirname(os.environ["SECRET"]), "/opt/ml/output/data")
open("/opt/ml/model/good", "w").write("good")
"""
INNER_BECOMES_LINK = """
import os, shutil
shutil.rmtree("/opt/ml/processing/out/a")
os.symlink(os.path.dirname(os.environ["SECRET"]), "/opt/ml/processing/out/a")
open("/opt/ml/processing/out/good", "w").write("good")
"""
FAILURES = {
    "Link": "os.symlink(os.environ['SECRET'], '/opt/ml/output/failure')",
    "LinkToFolder": "os.symlink(os.path.dirname(os.environ['SECRET']), '/opt/ml/output/failure')",
    "Fifo": "os.mkfifo('/opt/ml/output/failure')",
    "Folder": "os.mkdir('/opt/ml/output/failure')",
    "Device": "os.mknod('/opt/ml/output/failure', 0o20666, os.makedev(1, 5))",
}
MESSAGES = {
    "MessageLink": "os.symlink(os.environ['SECRET'], '/opt/ml/output/message')",
    "MessageFifo": "os.mkfifo('/opt/ml/output/message')",
}
BAD_KEYS = {
    "NoText": ("open(out + b'/bad \\xff name', 'w')", "UTF-8"),
    "TooLong": ("deep = b'/'.join([out, *[b'x' * 200] * 6]); os.makedirs(deep); open(deep + b'/file', 'w')", "1024"),
}
MANY = """
import os
for n in range(3000):
  os.makedirs(f'/opt/ml/processing/out/{n % 50}', exist_ok=True)
  open(f'/opt/ml/processing/out/{n % 50}/{n}', 'w').write(str(n))
"""
BELOW = """
import os
os.mkdir('/opt/ml/processing/out/both')
open('/opt/ml/processing/out/both/inner', 'w').write('below')
"""


def run(scratch: Path, images: ProbeImages, mode: str) -> Outcome:
    """Run all the bad behaviour of this module in one pipeline."""
    secret = scratch / "machine" / "secret.txt"
    (secret.parent / "inner").mkdir(parents=True)
    for path in (secret, secret.parent / "inner" / "also secret"):
        path.write_text(TOKEN)
    variables = {"SECRET": str(secret)}
    shared = {"outputs": [d.processing_output("out", "s3://bucket/shared")]}
    nested = [
        d.processing_output("out", "s3://bucket/Nested/out"),
        d.processing_output("inner", "s3://bucket/Nested/inner", f"{d.OUT}/a/inner"),
    ]
    image = images.plain
    scripts = {"files": EVERYTHING, "folder": FOLDER_BECOMES_LINK, "nested": INNER_BECOMES_LINK, "many": MANY}
    steps = [
        d.script("Files", image, "files", environment={**variables, "OUT": d.OUT}),
        d.training("Model", image, file="files", environment={**variables, "OUT": "/opt/ml/model"}),
        d.training("FolderBecomesLink", image, file="folder", environment=variables),
        d.script("Nested", image, "nested", environment=variables, outputs=nested),
        d.script("Many", image, "many"),
        d.script("First", image, "first", **shared),
        d.script("Second", image, "second", DependsOn=["First"], **shared),
    ]
    scripts |= {"first": "open('/opt/ml/processing/out/both', 'w').write('object')", "second": BELOW}
    for name, what in FAILURES.items():
        scripts[name] = f"import os\n{what}\nraise SystemExit(3)"
        steps.append(d.training(name, image, file=name, environment=variables))
    for name, what in MESSAGES.items():
        scripts[name] = f"import os\n{what}"
        steps.append(d.script(name, image, name, environment=variables))
    for name, (what, _) in BAD_KEYS.items():
        scripts[name] = f"import os\nout = b'/opt/ml/processing/out'\n{what}"
        steps.append(d.script(name, image, name))
    cli = Cli(scratch)
    try:
        return cli.run(d.pipeline(*steps), "--staging", mode, scripts=scripts)
    finally:
        cli.end()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, images: ProbeImages, leftovers: Leftovers) -> dict[str, Outcome]:
    """Run the pipeline when its mode is asked for first."""
    assert leftovers is not None
    return {mode: run(tmp_path_factory.mktemp(mode), images, mode) for mode in MODES}


@pytest.fixture(params=MODES)
def outcome(request: pytest.FixtureRequest, runs: dict[str, Outcome]) -> Outcome:
    """Give the run of one mode after the other."""
    return runs[request.param]


def test_the_run_ends_by_itself_with_the_code_of_what_broke(outcome: Outcome) -> None:
    outcome.expect(5)  # keys that cannot be stored; failed algorithms alone would make 1


def test_nothing_that_a_link_points_to_gets_anywhere(outcome: Outcome) -> None:
    for path in outcome.workspace.rglob("*"):
        if path.is_symlink() or not path.is_file():
            continue
        data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
        assert TOKEN.encode() not in data, f"{path} has the secret"
    assert TOKEN not in outcome.stdout + outcome.stderr


def test_the_files_of_this_machine_are_as_they_were(outcome: Outcome) -> None:
    machine = outcome.workspace.parent / "machine"

    assert {path.name: path.read_text() for path in machine.rglob("*") if path.is_file()} == {
        "secret.txt": TOKEN,
        "also secret": TOKEN,
    }


def test_links_and_special_files_are_left_out_and_the_rest_is_published(outcome: Outcome) -> None:
    stored = outcome.stored("Files/out")

    published = {path.relative_to(stored).as_posix() for path in stored.rglob("*") if not path.is_dir()}

    assert outcome.steps["Files"]["status"] == "Succeeded"
    assert published == GOOD
    assert (stored / "closed/inner/file").read_text() == "closed"


def test_what_is_published_has_plain_modes(outcome: Outcome) -> None:
    files = [path for path in outcome.stored("Files/out").rglob("*") if path.is_file()]

    assert {oct(path.lstat().st_mode & 0o7777) for path in files} == {"0o644"}


def test_what_is_left_out_is_told(outcome: Outcome) -> None:
    assert any("link(s) or special file(s)" in note for note in outcome.steps["Files"]["notes"])
    assert any("link(s) or special file(s)" in note for note in outcome.steps["Model"]["notes"])


def test_links_and_special_files_do_not_get_into_archives(outcome: Outcome) -> None:
    (packed,) = outcome.stored("Model").glob("*/output/model.tar.gz")
    with tarfile.open(packed) as tar:
        members = tar.getmembers()

    assert {member.name for member in members if member.isreg()} == GOOD
    assert all(member.isreg() or member.isdir() for member in members)
    assert all((member.uid, member.gid, member.uname) == (0, 0, "") for member in members)


def test_a_folder_that_becomes_a_link_is_not_followed(outcome: Outcome) -> None:
    published = sorted(path.name for path in outcome.stored("FolderBecomesLink").rglob("*.tar.gz"))

    assert outcome.steps["FolderBecomesLink"]["status"] == "Succeeded"
    assert published == ["model.tar.gz"]


def test_an_output_inside_of_an_output_that_becomes_a_link_is_not_followed(outcome: Outcome) -> None:
    assert outcome.stored("Nested/out/good").read_text() == "good"
    assert not outcome.stored("Nested/inner").exists()


@pytest.mark.parametrize("name", FAILURES)
def test_a_failure_file_that_is_none_is_not_read(outcome: Outcome, name: str) -> None:
    assert outcome.steps[name]["failure_reason"] == "ClientError: AlgorithmError: , exit code: 3"


@pytest.mark.parametrize("name", MESSAGES)
def test_an_exit_message_that_is_no_file_is_not_read(outcome: Outcome, name: str) -> None:
    assert outcome.steps[name]["status"] == "Succeeded"
    assert outcome.steps[name]["exit_message"] is None


@pytest.mark.parametrize("name", BAD_KEYS)
def test_what_cannot_be_an_object_fails_the_step_with_a_clear_text(outcome: Outcome, name: str) -> None:
    assert outcome.steps[name]["status"] == "Failed"
    assert outcome.steps[name]["cause_kind"] == "infrastructure"
    assert BAD_KEYS[name][1] in outcome.steps[name]["failure_reason"]


def test_a_key_that_is_object_and_prefix_at_once_names_both_writers(outcome: Outcome) -> None:
    reason = outcome.steps["Second"]["failure_reason"]

    assert "s3://bucket/shared/both" in reason
    assert "step First" in reason
    assert "step Second" in reason
    assert outcome.stored("shared/both").read_text() == "object"


def test_several_thousand_files_are_published(outcome: Outcome) -> None:
    stored = sorted(int(path.read_text()) for path in outcome.stored("Many/out").rglob("*") if path.is_file())

    assert stored == list(range(3000))
