"""Which verbs and options are there? Only words: whatever is heavy is imported by the verb that needs it."""

from __future__ import annotations

import argparse
import importlib
from typing import TYPE_CHECKING

from harness._version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["make_parser"]

_PIPELINE = "a definition's JSON, a folder with pipeline.json, a folder's name under examples/, or - (standard input)"


def _lazily(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    def call(options: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(f"harness.cli.{module}"), function)(options))

    return call


def _pair(what: str) -> Callable[[str], tuple[str, str]]:
    def read(text: str) -> tuple[str, str]:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise argparse.ArgumentTypeError(f"{text!r} is not of the form {what}")
        return name, value

    return read


def _parameter(text: str) -> tuple[str, str]:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no text in UTF-8") from error
    return _pair("NAME=VALUE")(text)


def _at_least_one(text: str) -> int:
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 1 or more")
    return number


def _workspace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--workspace", metavar="DIR", help="where buckets and runs lie (default: .harness)")


def _pipeline_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("pipeline", metavar="PIPELINE", help=_PIPELINE)
    _workspace(parser)
    parser.add_argument(
        "-p",
        "--parameter",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        type=_parameter,
        help="a pipeline parameter; may be repeated",
    )
    parser.add_argument(
        "--input",
        metavar="s3://BUCKET/KEY=PATH",
        action="append",
        default=[],
        type=_input,
        help="a local file or folder for an S3 URI; a folder for a key ending in .tar.gz is packed",
    )
    parser.add_argument(
        "--image",
        metavar="URI=LOCAL",
        action="append",
        default=[],
        type=_pair("URI=LOCAL"),
        help="a local image in place of the one that the definition names",
    )
    parser.add_argument(
        "--pull",
        choices=("missing", "never", "always"),
        help="whether real images are pulled (default: missing, where the engine knows a login for the "
        "registry, else never)",
    )
    parser.add_argument(
        "--ecr-login",
        action="store_true",
        default=None,
        help="log in to ECR with your AWS session; containers see nothing of it",
    )
    parser.add_argument(
        "--region", metavar="NAME", help="the region to pretend (default: that of the images, us-east-1)"
    )
    parser.add_argument("--name", metavar="NAME", help="the pipeline's name (default: that of its folder or file)")
    parser.add_argument("--json", action="store_true", help="print one JSON document on standard output")


def _input(text: str) -> tuple[str, str]:
    uri, path = _pair("s3://BUCKET/KEY=PATH")(text)
    if not uri.startswith("s3://"):
        raise argparse.ArgumentTypeError(f"{text!r} does not begin with s3://")
    # A key may have a "=" of its own (year=2026/…): the last one that leaves an existing path counts.
    head, _, tail = text.rpartition("=")
    import os  # noqa: PLC0415

    return (head, tail) if "=" in path and os.path.exists(tail) else (uri, path)  # noqa: PTH110


def make_parser() -> argparse.ArgumentParser:
    """Make the parser; every verb has its own ``--help``."""
    parser = argparse.ArgumentParser(
        prog="harness",
        description="Run Amazon SageMaker pipelines on this machine, every step in its own container.",
        epilog="exit codes: 0 pass · 1 a step failed · 2 wrong call, definition, parameters, inputs · 3 nothing to do "
        "· 5 infrastructure broke · 7 no engine or image · 8 inconclusive · 130 interrupted",
    )
    parser.add_argument("--version", action="version", version=f"harness {__version__}")
    verbs = parser.add_subparsers(title="verbs", metavar="VERB")

    run = verbs.add_parser("run", help="run a pipeline", description="Run a pipeline, every step in its own container.")
    _pipeline_options(run)
    run.add_argument("--jobs", metavar="N", type=_at_least_one, help="how many steps run at the same time (default: 4)")
    run.add_argument("--keep", action="store_true", default=None, help="keep the stopped containers")
    failing = run.add_mutually_exclusive_group()
    failing.add_argument(
        "--fail-fast",
        action="store_true",
        default=None,
        help="start nothing after the first failure, as the service does",
    )
    failing.add_argument(
        "--continue-on-failure",
        dest="fail_fast",
        action="store_false",
        help="go on with what does not depend on a failed step (the default)",
    )
    run.add_argument(
        "--staging",
        choices=("auto", "overlay", "bind", "archive"),
        help="how data gets into containers (default: auto, the best that works)",
    )
    run.add_argument("--quiet", action="store_true", help="do not show the containers' lines (they are in the logs)")
    run.set_defaults(call=_lazily("run", "run"))

    plan = verbs.add_parser(
        "plan",
        help="say what a run would do, and what is missing; run nothing",
        description="Say what a run would do: order, images and their sources, inputs, what is missing.",
    )
    _pipeline_options(plan)
    plan.set_defaults(call=_lazily("run", "plan"))

    logs = verbs.add_parser(
        "logs", help="print the logs of a run", description="Print the logs of a run or of one step."
    )
    logs.add_argument("run", metavar="RUN", help="a run's id, the beginning of one, its folder, or: last")
    logs.add_argument("step", metavar="STEP", nargs="?", help="a step's name (default: all steps)")
    logs.add_argument("-f", "--follow", action="store_true", help="go on while the run goes on")
    logs.add_argument("--timestamps", action="store_true", help="print the time of every line")
    _workspace(logs)
    logs.set_defaults(call=_lazily("history", "logs"))

    runs = verbs.add_parser("runs", help="list the runs of a workspace", description="List the runs of a workspace.")
    _workspace(runs)
    runs.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    runs.set_defaults(call=_lazily("history", "runs"))

    clean = verbs.add_parser(
        "clean",
        help="remove what runs left behind",
        description="Remove kept containers of this workspace, and what runs that were killed left "
        "in the engine. With --runs also the runs' folders. Buckets are never touched.",
    )
    _workspace(clean)
    clean.add_argument("--runs", action="store_true", help="remove the folders of all runs that have ended too")
    clean.add_argument("--images", action="store_true", help="remove stand-in images of earlier recipes too")
    clean.set_defaults(call=_lazily("history", "clean"))

    images = verbs.add_parser(
        "images",
        help="list, build and look up images",
        description="Stand-ins for the SageMaker images: list them, build them, and tell which "
        "image a URI would run in.",
    )
    actions = images.add_subparsers(title="actions", metavar="ACTION", required=True)
    listing = actions.add_parser("list", help="list the stand-ins")
    listing.add_argument("--json", action="store_true", help="print one JSON document on standard output")
    listing.set_defaults(call=_lazily("images", "list_images"))
    build = actions.add_parser("build", help="build stand-ins ahead of time")
    build.add_argument(
        "names",
        metavar="NAME",
        nargs="*",
        help="a stand-in (sklearn:1.2-1) or a URI that it stands for; none: all but the large ones",
    )
    build.set_defaults(call=_lazily("images", "build_images"))
    which = actions.add_parser("which", help="tell which image a URI would run in")
    which.add_argument("uri", metavar="URI")
    which.add_argument("--pull", choices=("missing", "never", "always"))
    which.add_argument("--ecr-login", action="store_true")
    which.set_defaults(call=_lazily("images", "which_image"))
    return parser
