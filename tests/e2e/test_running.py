"""``harness run``: what it takes, what it says, and with which exit code it ends."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from support import definitions as d
from support.cli import Cli

from harness.execution.events import read_events

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from support.cli import Outcome
    from support.engine import Leftovers
    from support.images import ProbeImages

pytestmark = pytest.mark.docker

HELLO = "print('hello from the container')\nopen('/opt/ml/processing/out/x.txt', 'w').write('x')"
PARAMETERS = [{"Name": "Text", "Type": "String", "DefaultValue": "default"}]
SHOW = "import os; print('region', os.environ['AWS_REGION'], 'text', os.environ['TEXT'])"


def show(images: ProbeImages) -> dict[str, Any]:
    """Write a pipeline that shows a parameter and its region."""
    step = d.script("Show", images.plain, "x.py", environment={"TEXT": d.get("Parameters.Text")}, outputs=())
    return d.pipeline(step, parameters=PARAMETERS)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory, leftovers: Leftovers) -> Iterator[Cli]:
    """Give the command line for runs that several tests look at."""
    found = Cli(tmp_path_factory.mktemp("shared"))
    yield found
    found.end()
    leftovers.processes |= found.processes


@pytest.fixture(scope="module")
def mixed(shared: Cli, images: ProbeImages) -> Outcome:
    """Run good, bad and waiting steps."""
    steps = [
        d.script("Good", images.plain, "good.py"),
        d.script("Bad", images.plain, "bad.py"),
        d.script("AfterBad", images.plain, "good.py", DependsOn=["Bad"]),
        d.script("AfterGood", images.plain, "good.py", DependsOn=["Good"]),
    ]
    bad = "print('before the end')\nraise ValueError('broken on purpose')"
    return shared.run(d.pipeline(*steps), scripts={"good.py": HELLO, "bad.py": bad}).expect(1)


# the document


def test_standard_output_is_one_json_document_and_nothing_else(mixed: Outcome) -> None:
    document = mixed.document

    assert set(document) >= {"run_id", "status", "exit_code", "run_dir", "steps", "failure_reason", "duration_s"}
    assert document["status"] == "Failed"
    assert document["exit_code"] == 1
    assert mixed.run_dir.samefile(document["run_dir"])
    assert mixed.stdout.isascii()


def test_a_step_of_the_document_says_all_about_it(mixed: Outcome) -> None:
    step = mixed.steps["Good"]

    assert step["type"] == "Processing"
    assert step["status"] == "Succeeded"
    assert step["exit_code"] == 0
    assert step["attempts"] == 1
    assert step["outputs"] == {"out": "s3://bucket/Good/out"}
    assert step["duration_s"] > 0
    assert step["started_at"].endswith("Z")
    assert step["image_source"] == "engine"
    assert step["hosts"][0]["host"] == "algo-1"
    assert (mixed.run_dir / step["hosts"][0]["log"]).is_file()


def test_the_record_of_the_run_is_the_same_document(mixed: Outcome) -> None:
    assert json.loads((mixed.run_dir / "run.json").read_text()) == mixed.document


def test_the_events_are_numbered_and_end_with_the_result(mixed: Outcome) -> None:
    events = list(read_events(mixed.run_dir / "events.jsonl"))

    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert {event["v"] for event in events} == {1}
    assert events[-1]["event"] == "run.finished"
    assert events[-1]["result"] == mixed.document
    assert [e["step"] for e in events if e["event"] == "step.finished"].count("Good") == 1


def test_a_failure_is_explained_with_cause_lines_folder_and_next_command(mixed: Outcome) -> None:
    said = mixed.stderr

    assert "ValueError: broken on purpose" in said
    assert "before the end" in said
    assert "ClientError: AlgorithmError: , exit code: 1" in said
    assert f"harness logs {mixed.document['run_id']} Bad" in said
    assert "run-again.sh" in said


def test_what_does_not_depend_on_a_failure_goes_on(mixed: Outcome) -> None:
    assert {name: step["status"] for name, step in mixed.steps.items()} == {
        "Good": "Succeeded",
        "Bad": "Failed",
        "AfterBad": "NotStarted",
        "AfterGood": "Succeeded",
    }


def test_containers_lines_are_shown_with_their_steps_name(mixed: Outcome) -> None:
    assert any(
        line.startswith("[Good]") and line.endswith("hello from the container") for line in mixed.stderr.splitlines()
    )


def test_no_colours_where_no_terminal_reads(mixed: Outcome) -> None:
    assert "\x1b" not in mixed.stderr + mixed.stdout


# where a pipeline comes from


def test_a_folder_with_a_pipeline_and_its_settings_runs_from_anywhere(cli: Cli, images: ProbeImages) -> None:
    folder = cli.scratch / "my pipeline"
    folder.mkdir()
    (folder / "pipeline.json").write_text(json.dumps(show(images)))
    (folder / "x.py").write_text(SHOW)
    (folder / "harness.yaml").write_text(
        "inputs: {'s3://bucket/code/x.py': x.py}\nparameters: {Text: from the file}\nregion: eu-west-1\nworkspace: here"
    )

    outcome = cli.call("run", str(folder), "--json", cwd="/").expect(0)

    assert outcome.document["pipeline"] == "my pipeline"
    assert "region eu-west-1 text from the file" in outcome.stderr
    assert (folder / "here" / "runs" / outcome.document["run_id"] / "run.json").is_file()


def test_a_definition_may_come_by_standard_input(cli: Cli, images: ProbeImages) -> None:
    text = json.dumps(show(images)).encode()
    words = cli.words(cli.file("{}"), scripts={"x.py": SHOW})

    call = cli.start("run", "-", *words[1:], "--json", stdin=subprocess.PIPE)
    assert call.process.stdin is not None
    call.process.stdin.write(text)
    call.process.stdin.close()
    outcome = call.wait().expect(0)

    assert "text default" in outcome.stderr
    assert outcome.document["source"] == "standard input"


def test_without_json_standard_output_is_empty(cli: Cli, images: ProbeImages) -> None:
    outcome = cli.call("run", *cli.words(show(images), scripts={"x.py": SHOW})).expect(0)

    assert outcome.stdout == ""
    assert "Succeeded after" in outcome.stderr


def test_quiet_hides_the_containers_lines_but_not_the_verdict(cli: Cli, images: ProbeImages) -> None:
    outcome = cli.run(show(images), "--quiet", scripts={"x.py": SHOW}).expect(0)

    assert "text default" not in outcome.stderr
    assert "Succeeded" in outcome.stderr
    shown = cli.call("logs", "last", "Show", "--workspace", str(cli.workspace)).expect(0)
    assert shown.stdout == "region us-east-1 text default\n"


# settings: later ones win


def test_the_command_line_wins_over_variables_and_those_over_the_file(cli: Cli, images: ProbeImages) -> None:
    definition = cli.file(show(images))
    (cli.scratch / "harness.yaml").write_text("region: eu-west-1\njobs: 2\nparameters: {Text: from the file}")

    by_file = cli.run(definition, scripts={"x.py": SHOW}).expect(0)
    by_variable = cli.run(definition, scripts={"x.py": SHOW}, env={"HARNESS_REGION": "eu-west-2"}).expect(0)
    by_option = cli.run(
        definition,
        "--region",
        "eu-west-3",
        scripts={"x.py": SHOW},
        parameters={"Text": "from the option"},
        env={"HARNESS_REGION": "eu-west-2"},
    ).expect(0)

    assert "region eu-west-1 text from the file" in by_file.stderr
    assert "region eu-west-2 text from the file" in by_variable.stderr
    assert "region eu-west-3 text from the option" in by_option.stderr


def test_variables_name_workspace_and_staging(cli: Cli, images: ProbeImages) -> None:
    words = cli.words(show(images), scripts={"x.py": SHOW})
    at = words.index("--workspace")
    del words[at : at + 2]
    env = {"HARNESS_WORKSPACE": str(cli.scratch / "by variable"), "HARNESS_STAGING": "bind", "HARNESS_JOBS": "1"}

    outcome = cli.call("run", *words, "--json", env=env).expect(0)

    assert outcome.document["run_dir"].startswith(str(cli.scratch / "by variable"))
    assert "inputs by bind" in outcome.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("HARNESS_JOBS", "many"), ("HARNESS_JOBS", "0"), ("HARNESS_STAGING", "magic"), ("HARNESS_PULL", "sometimes")],
)
def test_a_variable_with_a_bad_value_is_named(cli: Cli, images: ProbeImages, name: str, value: str) -> None:
    outcome = cli.run(show(images), scripts={"x.py": SHOW}, env={name: value}).expect(2)

    assert name in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert not cli.workspace.exists()


@pytest.mark.parametrize("text", ["jobs: many", "unknown: 1", "- a list", "inputs: [", "workspace: {}"])
def test_a_bad_settings_file_is_named(cli: Cli, images: ProbeImages, text: str) -> None:
    definition = cli.file(show(images))
    (cli.scratch / "harness.yaml").write_text(text)

    outcome = cli.run(definition, scripts={"x.py": SHOW}).expect(2)

    assert "harness.yaml" in outcome.stderr
    assert not cli.workspace.exists()


def test_local_images_may_be_named_for_others(cli: Cli, images: ProbeImages) -> None:
    uri = "123456789012.dkr.ecr.eu-central-1.amazonaws.com/own:1"
    step = d.script("Show", uri, "x.py", environment={"TEXT": "t"}, outputs=())

    outcome = cli.run(d.pipeline(step), "--image", f"{uri}={images.plain}", scripts={"x.py": SHOW}).expect(0)

    assert outcome.steps["Show"]["image"] == uri
    assert outcome.steps["Show"]["image_source"].startswith("override")
    assert "region eu-central-1" in outcome.stderr  # the images' own


# what ends before the first container


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        pytest.param({"parameters": {"Unknown": "x"}}, 2, "Unknown", id="an unknown parameter"),
        pytest.param({"scripts": {}}, 2, "s3://bucket/code/x.py", id="an input without data"),
        pytest.param({"inputs": {"s3://bucket/more": "nowhere"}}, 2, "nowhere", id="an input that is not there"),
    ],
)
def test_what_is_missing_is_told_before_anything_runs(
    cli: Cli, images: ProbeImages, change: dict[str, Any], code: int, says: str
) -> None:
    options = {"scripts": {"x.py": SHOW}, **change}

    outcome = cli.run(show(images), **options).expect(code)

    assert says in outcome.stderr
    assert "Traceback" not in outcome.stderr
    assert outcome.stdout == ""
    assert not cli.workspace.exists()


def test_an_image_that_nobody_has_is_told_with_everything_else_that_is_missing(cli: Cli) -> None:
    step = d.script("Step", "123456789012.dkr.ecr.us-east-1.amazonaws.com/nobody-has-it:1", "x.py")

    both = cli.run(d.pipeline(step)).expect(2)
    image_only = cli.run(d.pipeline(step), scripts={"x.py": ""}).expect(7)

    for outcome in (both, image_only):
        assert "nobody-has-it:1" in outcome.stderr
    assert "s3://bucket/code/x.py" in both.stderr


@pytest.mark.parametrize(
    "text", ["", "no json", "[]", '{"Version":"2020-12-01"}', '{"Version":"1999-01-01","Steps":[]}']
)
def test_a_definition_that_is_none_ends_with_2_and_no_traceback(cli: Cli, text: str) -> None:
    outcome = cli.run(text).expect(2)

    assert outcome.stderr.startswith("harness: ")
    assert "Traceback" not in outcome.stderr


def test_mistakes_of_a_definition_are_told_all_at_once(cli: Cli, images: ProbeImages) -> None:
    first = d.script("First", images.plain, "x.py", DependsOn=["Second"])
    second = d.script("Second", images.plain, "x.py", DependsOn=["First", "Nobody"])

    outcome = cli.run(d.pipeline(first, second, second)).expect(2)

    assert "Nobody" in outcome.stderr
    assert "Second" in outcome.stderr


def test_a_step_kind_that_is_not_emulated_makes_the_run_inconclusive(cli: Cli, images: ProbeImages) -> None:
    lambda_step = {"Name": "Call", "Type": "Lambda", "Arguments": {}, "FunctionArn": "arn:aws:lambda:x"}
    after = d.script("After", images.plain, "x.py", DependsOn=["Call"])
    beside = d.script("Beside", images.plain, "x.py")

    outcome = cli.run(d.pipeline(lambda_step, after, beside), scripts={"x.py": HELLO}).expect(8)

    assert outcome.document["status"] == "Inconclusive"
    assert outcome.steps["Call"]["status"] == "NotEmulated"
    assert outcome.steps["After"]["status"] == "NotStarted"
    assert outcome.steps["Beside"]["status"] == "Succeeded"


# order


def test_independent_steps_run_at_the_same_time_as_many_as_allowed(cli: Cli, images: ProbeImages) -> None:
    steps = [d.script(f"Step{n}", images.plain, "x.py", outputs=()) for n in range(3)]
    scripts = {"x.py": "import time; print('at', time.time()); time.sleep(1.2); print('at', time.time())"}

    def most(outcome: Outcome) -> int:
        spans = []
        for step in outcome.steps:
            log = cli.call("logs", outcome.document["run_id"], step, "--workspace", str(cli.workspace)).stdout
            begin, end = (float(line.split()[1]) for line in log.splitlines())
            spans.append((begin, end))
        return max(sum(begin <= moment < end for begin, end in spans) for moment, _ in spans)

    together = cli.run(d.pipeline(*steps), "--jobs", "3", scripts=scripts).expect(0)
    one_by_one = cli.run(d.pipeline(*steps[:2]), "--jobs", "1", scripts=scripts).expect(0)

    assert most(together) == 3
    assert most(one_by_one) == 1


def test_fail_fast_starts_nothing_after_the_first_failure(cli: Cli, images: ProbeImages) -> None:
    steps = [d.script("Bad", images.plain, "bad.py"), d.script("Other", images.plain, "good.py")]

    outcome = cli.run(
        d.pipeline(*steps), "--fail-fast", "--jobs", "1", scripts={"bad.py": "raise SystemExit(1)", "good.py": HELLO}
    ).expect(1)

    assert outcome.steps["Other"]["status"] == "NotStarted"
    assert "--fail-fast" in outcome.steps["Other"]["cause"]


def test_no_verb_shows_the_help_and_ends_with_2(cli: Cli) -> None:
    outcome = cli.call()

    assert outcome.exit_code == 2
    assert "run a pipeline" in outcome.stdout


@pytest.mark.parametrize(
    "words", [["run"], ["run", "x.json", "--jobs", "0"], ["run", "x.json", "-p", "novalue"], ["walk"]]
)
def test_a_wrong_call_ends_with_2(cli: Cli, words: list[str]) -> None:
    assert cli.call(*words).exit_code == 2


def test_a_secret_of_the_caller_is_nowhere_in_the_workspace(cli: Cli, images: ProbeImages) -> None:
    secret = "a-secret-access-key-of-the-caller"  # noqa: S105 – what must not be found
    env = {
        "AWS_ACCESS_KEY_ID": secret,
        "AWS_SECRET_ACCESS_KEY": secret,
        "AWS_SESSION_TOKEN": secret,
        "MY_TOKEN": secret,
    }
    step = d.training("Step", images.plain)

    outcome = cli.run(d.pipeline(step), env=env).expect(0)

    assert secret not in outcome.stdout + outcome.stderr
    assert not [path for path in files_below(cli.workspace) if secret.encode() in path.read_bytes()]


def files_below(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]
