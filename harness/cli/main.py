"""What does ``harness`` do with its words? Parse them, call one function, map errors to exit codes."""

from __future__ import annotations

import io
import os
import sys
from typing import TYPE_CHECKING

from harness.cli.parser import make_parser

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["entry", "main"]

INTERRUPTED = 130
BUG = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and give its exit code."""
    import signal  # noqa: PLC0415 – cheap, and only needed here

    from harness.errors import HarnessError  # noqa: PLC0415

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without UTF-8 shows a ? where it has no letter
            stream.reconfigure(errors="replace")
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "call"):
        parser.print_help()
        return 2
    signal.signal(signal.SIGTERM, _as_interrupt)
    try:
        return int(options.call(options))
    except HarnessError as error:
        sys.stderr.write(f"harness: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        sys.stderr.write("harness: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if os.environ.get("HARNESS_DEBUG"):
            raise
        place = _keep_traceback()
        sys.stderr.write(f"harness: a bug of the harness itself: {type(error).__name__}: {error}\n")
        sys.stderr.write(f"  → please report it, with {place}\n")
        return BUG


def _keep_traceback() -> str:
    import tempfile  # noqa: PLC0415 – only for a bug
    import traceback  # noqa: PLC0415

    with tempfile.NamedTemporaryFile("w", prefix="harness-error-", suffix=".txt", delete=False) as handle:
        handle.write(traceback.format_exc())
    return handle.name


def _as_interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def entry() -> None:
    """Run the command line as a program."""
    sys.exit(main())
