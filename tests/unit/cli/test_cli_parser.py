"""Which words does the command line know, and which does it refuse?"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from harness import __version__
from harness.cli.parser import make_parser

if TYPE_CHECKING:
    from pathlib import Path

VERBS = [
    ["run"], ["plan"], ["logs"], ["runs"], ["clean"], ["images"], ["images", "list"], ["images", "build"],
    ["images", "which"],
]  # fmt: skip


def parse(*words: str) -> Any:
    return make_parser().parse_args(words)


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    with pytest.raises(SystemExit) as caught:
        parse(*words)
    assert caught.value.code == 2
    return capsys.readouterr().err


# help


@pytest.mark.parametrize("verb", [[], *VERBS], ids=" ".join)
def test_every_verb_explains_itself(verb: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse(*verb, "--help")

    out = capsys.readouterr().out
    assert caught.value.code == 0
    assert out.startswith(f"usage: {' '.join(['harness', *verb])}")


def test_the_exit_codes_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse("--help")

    out = " ".join(capsys.readouterr().out.split())
    for code in (
        "0 pass",
        "1 a step failed",
        "2 wrong call",
        "3 nothing to do",
        "5 infra",
        "7 no engine",
        "8 inconcl",
        "130 inter",
    ):
        assert code in out


def test_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parse("--version")

    assert (caught.value.code, capsys.readouterr().out) == (0, f"harness {__version__}\n")


# run and plan


def test_what_was_not_said_is_left_open() -> None:
    options = parse("run", "churn")

    assert (options.pipeline, options.parameter, options.input, options.image) == ("churn", [], [], [])
    for name in ("workspace", "pull", "ecr_login", "region", "name", "jobs", "keep", "fail_fast", "staging"):
        assert getattr(options, name) is None, name
    assert (options.json, options.quiet) == (False, False)


def test_everything_that_can_be_said_of_a_run() -> None:
    options = parse(
        "run", "churn", "--workspace", "w", "-p", "A=1", "--parameter", "B=2", "--input", "s3://b/k=data.csv",
        "--image", "uri=local", "--pull", "always", "--ecr-login", "--region", "eu-west-1", "--name", "n", "--json",
        "--jobs", "2", "--keep", "--fail-fast", "--staging", "bind", "--quiet",
    )  # fmt: skip

    assert options.parameter == [("A", "1"), ("B", "2")]
    assert options.input == [("s3://b/k", "data.csv")]
    assert options.image == [("uri", "local")]
    assert (options.workspace, options.pull, options.region, options.name) == ("w", "always", "eu-west-1", "n")
    assert (options.jobs, options.staging) == (2, "bind")
    assert options.ecr_login is options.keep is options.fail_fast is options.json is options.quiet is True


def test_two_calls_do_not_share_their_lists() -> None:
    parse("run", "churn", "-p", "A=1")

    assert parse("run", "churn").parameter == []


def test_going_on_after_a_failure_can_be_said_too() -> None:
    assert parse("run", "churn", "--continue-on-failure").fail_fast is False


def test_stopping_and_going_on_exclude_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    assert "not allowed with" in refused(capsys, "run", "churn", "--fail-fast", "--continue-on-failure")


@pytest.mark.parametrize(
    ("text", "pair"),
    [("A=1", ("A", "1")), ("A=", ("A", "")), ("A=b=c", ("A", "b=c")), ("A= b ", ("A", " b ")), ("A=ü", ("A", "ü"))],
)
def test_a_parameter_is_a_name_and_whatever_follows_the_first_equals_sign(text: str, pair: tuple[str, str]) -> None:
    assert parse("run", "churn", "-p", text).parameter == [pair]


@pytest.mark.parametrize("text", ["A", "", "=1", "="])
def test_a_parameter_without_a_name_or_a_value_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert f"{text!r} is not of the form NAME=VALUE" in refused(capsys, "run", "churn", "-p", text)


def test_a_parameter_that_is_no_text_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert "is no text in UTF-8" in refused(capsys, "run", "churn", "-p", os.fsdecode(b"A=caf\xe9"))


@pytest.mark.parametrize("text", ["0", "-1", "1.5", "many", ""])
def test_less_than_one_job_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "is not a number of 1 or more" in refused(capsys, "run", "churn", "--jobs", text)


@pytest.mark.parametrize(("option", "value"), [("--pull", "sometimes"), ("--staging", "magic")])
def test_a_word_that_is_none_of_the_choices_is_refused(
    option: str, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "invalid choice" in refused(capsys, "run", "churn", option, value)


@pytest.mark.parametrize(
    "words", [["run"], ["plan"], ["logs"], ["images"], ["images", "which"], ["fly"], ["run", "a", "b"]]
)
def test_words_that_are_missing_too_many_or_unknown_are_refused(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert "usage: harness" in refused(capsys, *words)


# inputs


def test_an_input_is_a_uri_and_a_path() -> None:
    assert parse("run", "churn", "--input", "s3://b/k=/data/x.csv").input == [("s3://b/k", "/data/x.csv")]


def test_a_path_may_have_an_equals_sign() -> None:
    assert parse("run", "churn", "--input", "s3://b/k=a=b.csv").input == [("s3://b/k", "a=b.csv")]


def test_a_key_may_have_an_equals_sign_if_the_path_behind_the_last_one_exists(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.touch()

    options = parse("run", "churn", "--input", f"s3://b/year=2026/month=1={path}")

    assert options.input == [("s3://b/year=2026/month=1", str(path))]


@pytest.mark.parametrize("text", ["data.csv", "https://b/k=x", "=x", "b/k=x"])
def test_an_input_that_is_none_is_refused(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--input" in refused(capsys, "run", "churn", "--input", text)


# the other verbs


def test_logs_take_a_run_and_perhaps_a_step() -> None:
    options = parse("logs", "last", "Train", "-f", "--timestamps")

    assert (options.run, options.step, options.follow, options.timestamps) == ("last", "Train", True, True)
    assert parse("logs", "last").step is None


def test_images_are_built_by_name_or_all_of_them() -> None:
    assert parse("images", "build").names == []
    assert parse("images", "build", "a", "b").names == ["a", "b"]


def test_a_verb_calls_one_function(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr("harness.cli.history.runs", lambda options: calls.append(options) or 3)
    options = parse("runs", "--json")

    assert options.call(options) == 3
    assert calls == [options]
