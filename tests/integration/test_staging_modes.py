"""Do the three ways of getting data into containers and out of them give the same, and do they spare the store?"""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING, Any

import pytest
from support import definitions as d
from support import trees
from support.cli import Cli

from harness.execution.events import read_events

if TYPE_CHECKING:
    from pathlib import Path

    from support.cli import Outcome
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

MODES = ("overlay", "bind", "archive")
DATA = "/opt/ml/processing/data"
MAKE = """
import os, json
from pathlib import Path

data = Path("/opt/ml/processing/data")
seen = {str(p.relative_to(data)): p.read_text() for p in sorted(data.rglob("*")) if p.is_file()}
(data / "overwritten.txt").write_text("by the container")
with open(data / "sub" / "appended.txt", "a") as handle:
    handle.write("more")
(data / "deleted.txt").unlink()
(data / "sub" / "renamed.txt").rename(data / "other name.txt")
(data / "new folder").mkdir()
(data / "new folder" / "new.txt").write_text("new")

out = Path("/opt/ml/processing/out")
(out / "seen.json").write_text(json.dumps(seen, sort_keys=True))
(out / "a" / "b" / "c").mkdir(parents=True)
(out / "a" / "b" / "c" / "deep.txt").write_text("deep")
(out / "empty folder").mkdir()
(out / "empty file").touch()
(out / "n\\u00e4me \\u2603 \\U0001f600.txt").write_text("unicode")
(out / "two\\nlines").write_text("newline")
(out / "program").write_text("#!/bin/sh")
(out / "program").chmod(0o755)
(out / "private").mkdir(mode=0o700)
(out / "private" / "secret").write_text("private")
(out / "private" / "secret").chmod(0o600)
(out / "locked").write_text("locked")
(out / "locked").chmod(0)
os.link(out / "a" / "b" / "c" / "deep.txt", out / "a" / "hard link")
(out / "big").write_bytes(b"0123456789" * 300_000)
"""
USE = """
import os, json, pathlib
made = pathlib.Path("/opt/ml/input/data/made")
model = pathlib.Path("/opt/ml/model")
(model / "listing.json").write_text(json.dumps({str(p.relative_to(made)): p.read_bytes().hex()[:40]
                                                for p in sorted(made.rglob("*")) if p.is_file()}, indent=1))
(model / "sub" / "empty").mkdir(parents=True)
(model / "sub" / "run.sh").write_text("#!/bin/sh")
(model / "sub" / "run.sh").chmod(0o750)
os.link(model / "listing.json", model / "sub" / "same as the listing")
pathlib.Path("/opt/ml/output/data/metrics").write_text("1.0")
(made / "big").unlink()
"""
INPUTS = {
    "kept.txt": "kept",
    "overwritten.txt": "by the store",
    "deleted.txt": "deleted",
    "sub/appended.txt": "first, ",
    "sub/renamed.txt": "renamed",
}


def definition(images: ProbeImages) -> dict[str, Any]:
    data = d.processing_input("data", "s3://bucket/data/", DATA)
    make = d.script("Make", images.plain, "make.py", inputs=[data])
    use = d.training("Use", images.plain, file="use.py", channels=[d.channel("made", d.output_uri("Make"))])
    look = d.training("Look", images.plain, channels=[d.channel("data", "s3://bucket/data")])
    see = d.processing(
        "See",
        images.plain,
        entrypoint=["probe"],
        inputs=[data],
        outputs=[d.processing_output("out", "s3://bucket/See")],
    )
    return d.pipeline(make, use, look, see)


def run(scratch: Path, images: ProbeImages, mode: str) -> Outcome:
    """Run the pipeline in one mode."""
    cli = Cli(scratch)
    for name, text in INPUTS.items():
        path = cli.workspace / "s3" / "bucket" / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    try:
        return cli.run(definition(images), "--staging", mode, scripts={"make.py": MAKE, "use.py": USE})
    finally:
        cli.end()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory, images: ProbeImages, leftovers: Leftovers) -> dict[str, Outcome]:
    """Run the same pipeline in every mode."""
    assert leftovers is not None
    return {mode: run(tmp_path_factory.mktemp(mode), images, mode) for mode in MODES}


@pytest.fixture(params=MODES)
def outcome(request: pytest.FixtureRequest, runs: dict[str, Outcome]) -> Outcome:
    """Give the run of one mode after the other."""
    return runs[request.param]


def events(outcome: Outcome, name: str) -> list[dict[str, Any]]:
    return [event for event in read_events(outcome.run_dir / "events.jsonl") if event["event"] == name]


def test_every_mode_ends_well_and_says_which_it_was(runs: dict[str, Outcome]) -> None:
    assert {mode: outcome.exit_code for mode, outcome in runs.items()} == dict.fromkeys(MODES, 0), str(runs)
    assert {mode: events(outcome, "run.started")[0]["staging"] for mode, outcome in runs.items()} == {
        mode: mode for mode in MODES
    }


def test_the_inputs_of_the_store_are_as_they_were(outcome: Outcome) -> None:
    stored = outcome.stored("data")

    found = {path.relative_to(stored).as_posix(): path.read_text() for path in stored.rglob("*") if path.is_file()}

    assert found == INPUTS


def test_a_container_sees_what_is_stored(outcome: Outcome) -> None:
    assert json.loads(outcome.stored("Make/out/seen.json").read_text()) == INPUTS


def test_everything_that_a_container_wrote_is_published(outcome: Outcome) -> None:
    stored = outcome.stored("Make/out")

    found = {path.relative_to(stored).as_posix() for path in stored.rglob("*") if path.is_file()}

    assert found == {
        "a/b/c/deep.txt",
        "a/hard link",
        "big",
        "empty file",
        "locked",
        "näme ☃ 😀.txt",
        "private/secret",
        "program",
        "seen.json",
        "two\nlines",
    }
    assert (stored / "a/hard link").read_text() == "deep"
    assert (stored / "big").stat().st_size == 3_000_000


@pytest.mark.parametrize("mode", MODES[1:])
def test_the_store_is_the_same_afterwards(runs: dict[str, Outcome], mode: str) -> None:
    expected, found = (trees.store(runs[one].workspace / "s3") for one in (MODES[0], mode))
    for one in (expected, found):
        for name in [name for name in one if "/report-algo-1.json" in name or name.startswith("bucket/Look")]:
            del one[name]  # compared below: mounts differ

    assert found == expected


@pytest.mark.parametrize("mode", MODES[1:])
def test_what_a_training_container_sees_is_the_same(runs: dict[str, Outcome], mode: str) -> None:
    expected, found = (report_of_training(runs[one]) for one in (MODES[0], mode))

    assert found["tree"] == expected["tree"]
    assert found["texts"] == expected["texts"]
    assert found["writable"] == expected["writable"]
    assert found["environment"].keys() == expected["environment"].keys()


@pytest.mark.parametrize("mode", MODES[1:])
def test_what_a_processing_container_sees_is_the_same(runs: dict[str, Outcome], mode: str) -> None:
    expected, found = (
        json.loads(trees.masked(runs[one].stored("See/report-algo-1.json").read_text())) for one in (MODES[0], mode)
    )

    assert found["tree"] == expected["tree"]
    assert found["texts"] == expected["texts"]
    assert found["writable"] == expected["writable"]


def report_of_training(outcome: Outcome) -> dict[str, Any]:
    """Read the report out of the archive of the step's output."""
    import tarfile  # noqa: PLC0415

    (packed,) = outcome.stored("Look").glob("*/output/output.tar.gz")
    with tarfile.open(packed) as tar:
        handle = tar.extractfile("report-algo-1.json")
        assert handle is not None
        found: dict[str, Any] = json.loads(trees.masked(handle.read().decode()))
    return found


def test_an_overlay_tells_what_the_container_changed_in_its_inputs(runs: dict[str, Outcome]) -> None:
    found = runs["overlay"].steps["Make"]["changed_inputs"]

    assert sorted(found) == [
        f"{DATA}/deleted.txt (deleted)",
        f"{DATA}/new folder/new.txt",
        f"{DATA}/other name.txt",
        f"{DATA}/overwritten.txt",
        f"{DATA}/sub/appended.txt",
        f"{DATA}/sub/renamed.txt (deleted)",
    ]
    assert "the step changed its own input" in runs["overlay"].stderr
    assert runs["overlay"].steps["Use"]["changed_inputs"] == ["/opt/ml/input/data/made/big (deleted)"]


def test_a_step_that_leaves_its_inputs_alone_is_not_accused(outcome: Outcome) -> None:
    assert outcome.steps["Look"]["changed_inputs"] == []


def test_the_figures_of_a_step_are_the_same(runs: dict[str, Outcome]) -> None:
    figures = [
        {name: (step["input_bytes"], step["output_bytes"], step["exit_code"]) for name, step in outcome.steps.items()}
        for outcome in runs.values()
    ]

    for other in figures[1:]:
        assert {name: row for name, row in other.items() if name in {"Make", "Use"}} == {
            name: row for name, row in figures[0].items() if name in {"Make", "Use"}
        }


def test_nothing_half_made_stays_in_the_workspace(outcome: Outcome) -> None:
    assert list((outcome.workspace / "tmp").iterdir()) == []
    assert [path for path in outcome.workspace.rglob(".*") if path.name != ".gitignore"] == []


@pytest.mark.parametrize(
    ("name", "mode"), [("plain", "overlay"), ("with space 'q' $HOME", "overlay"), ('comma, colon: "q"', "bind")]
)
def test_the_best_way_that_works_for_a_folder_is_found_by_trying(
    cli: Cli, images: ProbeImages, tmp_path: Path, name: str, mode: str
) -> None:
    cli.workspace = tmp_path / name

    outcome = cli.run(
        d.pipeline(d.script("Step", images.plain, "x.py")),
        scripts={"x.py": "open('/opt/ml/processing/out/x', 'w').write('written')"},
    ).expect(0)

    assert events(outcome, "run.started")[0]["staging"] == mode
    assert outcome.stored("Step/out/x").read_text() == "written"


def test_a_workspace_behind_a_link_works(cli: Cli, images: ProbeImages, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "workspace").symlink_to("real")

    outcome = cli.run(
        d.pipeline(d.script("Step", images.plain, "x.py")),
        scripts={"x.py": "open('/opt/ml/processing/out/x', 'w').write('written')"},
    ).expect(0)

    assert outcome.stored("Step/out/x").read_text() == "written"
    assert (tmp_path / "real" / "runs").is_dir()


def test_objects_that_are_links_of_the_user_are_staged_as_what_they_point_to(
    cli: Cli, images: ProbeImages, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere.csv"
    elsewhere.write_text("from elsewhere")
    home = cli.workspace / "s3" / "bucket" / "data"
    home.mkdir(parents=True)
    (home / "linked.csv").symlink_to(elsewhere)
    write = "p = '/opt/ml/processing/data/linked.csv'; print(open(p).read()); open(p, 'w').write('x')"
    data = d.processing_input("data", "s3://bucket/data", DATA)

    outcome = cli.run(
        d.pipeline(d.script("Step", images.plain, "x.py", inputs=[data])), scripts={"x.py": write}
    ).expect(0)

    assert "from elsewhere" in outcome.stderr
    assert elsewhere.read_text() == "from elsewhere"


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", MODES)
def test_a_gibibyte_gets_in_and_out(cli: Cli, images: ProbeImages, mode: str) -> None:
    size = 1024**3
    home = cli.workspace / "s3" / "bucket" / "data"
    home.mkdir(parents=True)
    with (home / "big").open("wb") as handle:
        for number in range(256):
            handle.write(bytes([number]) * (4 * 1024 * 1024))
    data = d.processing_input("data", "s3://bucket/data", DATA)
    copy = "import shutil; shutil.copyfile('/opt/ml/processing/data/big', '/opt/ml/processing/out/big')"
    free_before = shutil.disk_usage(cli.workspace).free

    began = time.monotonic()
    outcome = cli.run(
        d.pipeline(d.script("Step", images.plain, "x.py", inputs=[data])),
        "--staging",
        mode,
        scripts={"x.py": copy},
        limit_s=600,
    ).expect(0)
    took_s = time.monotonic() - began

    grown = free_before - shutil.disk_usage(cli.workspace).free
    assert outcome.stored("Step/out/big").stat().st_size == size
    assert outcome.steps["Step"]["input_bytes"] > size
    if mode == "overlay":  # the input is not copied: only the output takes room
        assert grown < 1.2 * size
    assert took_s < 300
