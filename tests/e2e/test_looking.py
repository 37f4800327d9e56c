"""``harness plan``, ``logs``, ``runs``, ``clean``, ``images``: looking at things, and tidying up."""

from __future__ import annotations

import os
import re
import signal
from typing import TYPE_CHECKING, Any

import pytest
from support import definitions as d
from support.cli import Cli, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.cli import Outcome
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

SKLEARN = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"


def two_steps(images: ProbeImages) -> dict[str, Any]:
    first = d.script("First", images.plain, "first.py")
    made = d.processing_input("made", d.output_uri("First"), "/opt/ml/processing/made")
    second = d.script("Second", images.plain, "second.py", inputs=[made], outputs=())
    untaken = d.script("Untaken", images.plain, "first.py")
    return d.pipeline(first, second, d.condition("Maybe", 1, 2, then=[untaken], DependsOn=["First"]))


SCRIPTS = {
    "first.py": "import sys\nprint('one')\nprint('two', file=sys.stderr)\nprint('tab\\there \\u2603')\n"
    "open('/opt/ml/processing/out/x', 'w').write('x')",
    "second.py": "print('second')",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers) -> Iterator[Cli]:
    """Give the command line for runs that several tests look at."""
    found = Cli(tmp_path_factory.mktemp("shared"))
    yield found
    found.end()
    leftovers.processes |= found.processes


@pytest.fixture(scope="module")
def done(shared: Cli, images: ProbeImages) -> Outcome:
    """Run a pipeline to look at."""
    return shared.run(two_steps(images), scripts=SCRIPTS).expect(0)


def look(cli: Cli, *words: str, **options: Any) -> Outcome:
    """Call a verb on the workspace."""
    return cli.call(*words, "--workspace", str(cli.workspace), **options)


# plan


def test_a_plan_shows_steps_images_and_inputs_and_changes_nothing(
    cli: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    words = cli.words(two_steps(images), scripts=SCRIPTS)
    outcome = cli.call("plan", *words).expect(0)

    assert re.search(r"1 +First +Processing", outcome.stdout)
    assert re.search(r"2 +Second +Processing +First", outcome.stdout)
    assert "Maybe is true" in outcome.stdout
    assert images.plain in outcome.stdout
    assert "produced by First" in outcome.stdout or "s3://bucket/code/first.py" in outcome.stdout
    assert outcome.stderr == ""
    assert not cli.workspace.exists()
    assert leftovers.all() == []


def test_a_plan_for_machines_is_one_document(cli: Cli, images: ProbeImages) -> None:
    outcome = cli.call("plan", *cli.words(two_steps(images), scripts=SCRIPTS), "--json").expect(0)

    steps = {step["name"]: step for step in outcome.document["steps"]}
    assert next(iter(steps)) == "First"
    assert steps["Second"]["needs"] == ["First"]
    assert steps["Untaken"]["parent"] == "Maybe"
    assert outcome.document["missing"] == {"inputs": [], "images": []}
    assert not cli.workspace.exists()


@pytest.mark.parametrize("how", [[], ["--json"]])
def test_a_plan_of_what_cannot_run_says_so_with_the_code_of_the_run(
    cli: Cli, images: ProbeImages, how: list[str]
) -> None:
    outcome = cli.call("plan", *cli.words(two_steps(images)), *how).expect(2)

    assert "s3://bucket/code/first.py" in outcome.stdout
    assert "s3://bucket/code/second.py" in outcome.stderr
    assert not cli.workspace.exists()


def test_a_plan_can_be_made_without_an_engine(cli: Cli, images: ProbeImages) -> None:
    dead = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}

    outcome = cli.call("plan", *cli.words(two_steps(images), scripts=SCRIPTS), env=dead).expect(7)

    assert "First" in outcome.stdout
    assert "/nowhere/docker.sock" in outcome.stdout


# logs


def test_the_log_of_a_step_is_what_its_container_wrote(shared: Cli, done: Outcome) -> None:
    outcome = look(shared, "logs", done.document["run_id"], "First").expect(0)

    assert sorted(outcome.stdout.splitlines()) == sorted(["one", "two", "tab\there ☃"])
    assert outcome.stderr == ""


def test_all_logs_are_shown_with_their_steps_names(shared: Cli, done: Outcome) -> None:
    outcome = look(shared, "logs", "last").expect(0)

    assert done.exit_code == 0
    assert "[First] one" in outcome.stdout
    assert outcome.stdout.splitlines()[-1] == "[Second] second"


@pytest.mark.parametrize("name", ["id", "beginning", "last", "folder"])
def test_a_run_may_be_named_in_several_ways(shared: Cli, done: Outcome, name: str) -> None:
    run_id = done.document["run_id"]
    names = {"id": run_id, "beginning": run_id[:6], "last": "last", "folder": str(done.run_dir)}

    assert look(shared, "logs", names[name], "Second").expect(0).stdout == "second\n"


def test_timestamps_are_those_of_the_lines(shared: Cli, done: Outcome) -> None:
    outcome = look(shared, "logs", done.document["run_id"], "Second", "--timestamps").expect(0)

    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z second\n", outcome.stdout)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["last", "Nobody"], "First, Second"),
        (["last", "Untaken"], "Untaken"),
        (["nosuchrun"], "nosuchrun"),
        (["last", "Nobody", "-f"], "Nobody"),
    ],
)
def test_a_log_that_does_not_exist_ends_with_2(shared: Cli, done: Outcome, words: list[str], says: str) -> None:
    outcome = look(shared, "logs", *words, limit_s=30).expect(2)

    assert done.exit_code == 0
    assert says in outcome.stderr


def test_a_running_log_is_followed_to_its_end(cli: Cli, images: ProbeImages) -> None:
    text = "import time\nprint('begun')\ntime.sleep(1)\nfor n in range(30000):\n  print(n, '.' * 60)\nprint('the end')"
    run = cli.start_run(d.pipeline(d.script("Step", images.plain, "x.py")), "--quiet", scripts={"x.py": text})
    logs = cli.workspace / "runs"
    wait_until("the log is there", lambda: any(logs.glob("*/steps/Step/1/algo-1/log.txt")))

    follower = cli.start("logs", "last", "Step", "-f", "--workspace", str(cli.workspace))
    follower.says("begun")
    followed = follower.wait().expect(0)
    run.wait().expect(0)

    expected = ["begun", *(f"{n} {'.' * 60}" for n in range(30000)), "the end"]
    assert followed.stdout.splitlines() == expected


def test_following_can_be_interrupted(cli: Cli, images: ProbeImages) -> None:
    text = "import time\nprint('begun')\ntime.sleep(3)"
    run = cli.start_run(d.pipeline(d.script("Step", images.plain, "x.py")), scripts={"x.py": text})
    run.says("begun")
    follower = cli.start("logs", "last", "-f", "--workspace", str(cli.workspace))
    follower.says("begun")

    follower.signal(signal.SIGINT)
    followed = follower.wait()
    run.wait().expect(0)

    assert followed.exit_code == 130
    assert "Traceback" not in followed.stderr


# runs


def test_runs_are_listed(shared: Cli, done: Outcome) -> None:
    lines = look(shared, "runs").expect(0).stdout.splitlines()

    assert lines[0].split()[:3] == ["run", "pipeline", "status"]
    assert any(line.startswith(done.document["run_id"]) and "Succeeded" in line for line in lines[1:])


def test_runs_for_machines_are_the_documents(shared: Cli, done: Outcome) -> None:
    assert done.document in look(shared, "runs", "--json").expect(0).document


@pytest.mark.parametrize(("how", "said"), [([], "no run yet\n"), (["--json"], "[]\n")])
def test_a_workspace_without_runs_has_none(cli: Cli, how: list[str], said: str) -> None:
    assert look(cli, "runs", *how).expect(0).stdout == said
    assert not cli.workspace.exists()


def test_a_running_run_is_listed_as_such(cli: Cli, images: ProbeImages) -> None:
    text = "import time\nprint('begun')\ntime.sleep(2)"
    run = cli.start_run(d.pipeline(d.script("Step", images.plain, "x.py")), scripts={"x.py": text})
    run.says("begun")

    during = look(cli, "runs").expect(0).stdout
    run.wait().expect(0)

    assert "Executing" in during


# clean


def test_cleaning_removes_kept_containers_and_leaves_runs_and_buckets(
    cli: Cli, images: ProbeImages, leftovers: Leftovers
) -> None:
    run = cli.run(two_steps(images), "--keep", scripts=SCRIPTS).expect(0)
    kept = len(leftovers.containers())

    cleaned = look(cli, "clean").expect(0)

    assert kept == 2
    assert cleaned.stdout.count("removed container ") == 2
    assert leftovers.all() == []
    assert (run.run_dir / "run.json").is_file()
    assert run.stored("First/out/x").is_file()


def test_cleaning_runs_removes_their_folders_and_leaves_the_buckets(cli: Cli, images: ProbeImages) -> None:
    run = cli.run(two_steps(images), scripts=SCRIPTS).expect(0)

    cleaned = look(cli, "clean", "--runs").expect(0)

    assert cleaned.stdout == f"removed run {run.document['run_id']}\n"
    assert not run.run_dir.exists()
    assert run.stored("First/out/x").is_file()
    assert look(cli, "clean", "--runs").exit_code == 3


def test_cleaning_where_there_is_nothing_says_so(cli: Cli) -> None:
    outcome = look(cli, "clean").expect(3)

    assert "nothing to clean" in outcome.stderr
    assert not cli.workspace.exists()


# images


def test_stand_ins_are_listed(cli: Cli) -> None:
    lines = cli.call("images", "list").expect(0).stdout.splitlines()

    assert lines[0].split()[:2] == ["stand-in", "state"]
    assert any(line.startswith("sklearn:") for line in lines)
    assert any(line.startswith("xgboost:") for line in lines)


def test_stand_ins_for_machines_are_a_document(cli: Cli) -> None:
    rows = cli.call("images", "list", "--json").expect(0).document

    assert {"family", "version", "state", "differences"} <= set(rows[0])
    assert {row["state"] for row in rows} <= {"built", "not built"}


def test_stand_ins_are_listed_without_an_engine_too(cli: Cli) -> None:
    outcome = cli.call("images", "list", env={"DOCKER_HOST": "unix:///nowhere/docker.sock"}).expect(0)

    assert "unknown" in outcome.stdout


def test_the_image_for_a_uri_is_told_with_its_source(cli: Cli) -> None:
    outcome = cli.call("images", "which", SKLEARN).expect(0)

    assert SKLEARN in outcome.stdout
    assert re.search(r"^source +(stand-in \(sklearn:1\.2-1|engine|pulled)", outcome.stdout, re.MULTILINE)


def test_a_local_image_is_found_in_the_engine(cli: Cli, images: ProbeImages) -> None:
    outcome = cli.call("images", "which", images.plain).expect(0)

    assert re.search(r"^source +engine$", outcome.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["which", "123456789012.dkr.ecr.us-east-1.amazonaws.com/nobody-has-it:1"], 7),
        (["which", "Not An Image"], 7),
        (["build", "nothing-of-the-kind"], 2),
        ([], 2),
    ],
)
def test_an_image_that_nobody_has_is_told(cli: Cli, words: list[str], code: int) -> None:
    outcome = cli.call("images", *words)

    assert outcome.exit_code == code, outcome
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize("words", [["images", "which", SKLEARN], ["images", "build"]])
def test_without_an_engine_images_end_with_7(cli: Cli, words: list[str]) -> None:
    outcome = cli.call(*words, env={"DOCKER_HOST": "unix:///nowhere/docker.sock"}).expect(7)

    assert "/nowhere/docker.sock" in outcome.stderr


# readers that go away


def closed_pipe() -> int:
    """Give the writing end of a pipe that nobody reads."""
    reading, writing = os.pipe()
    os.close(reading)
    return writing


def test_a_reader_that_has_read_enough_is_no_error(shared: Cli, done: Outcome, tmp_path: Path) -> None:
    writing = closed_pipe()
    with (tmp_path / "stderr").open("wb") as errors:
        call = shared.start(
            "logs", done.document["run_id"], "--workspace", str(shared.workspace), stdout=writing, stderr=errors
        )
        os.close(writing)
        code = call.process.wait(30)

    assert code == 0
    assert (tmp_path / "stderr").read_text() == ""
