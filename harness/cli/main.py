"""What does ``harness`` do with its words? Parse them, call one function, map errors to exit codes."""

from __future__ import annotations

import contextlib
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
    from harness.errors import HarnessError  # noqa: PLC0415 – cheap, and only needed here

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal without UTF-8 shows a ? where it has no letter
            stream.reconfigure(errors="replace")
    parser = make_parser()
    options = parser.parse_args(arguments)
    if not hasattr(options, "call"):
        parser.print_help()
        return 2
    _heed_signals()
    try:
        return int(options.call(options))
    except HarnessError as error:
        _tell(f"harness: {error}\n")
        return error.exit_code
    except KeyboardInterrupt:
        _tell("harness: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if os.environ.get("HARNESS_DEBUG"):
            raise
        place = _keep_traceback()
        _tell(f"harness: a bug of the harness itself: {type(error).__name__}: {error}\n")
        _tell(f"  → please report it, with {place}\n")
        return BUG


def _tell(text: str) -> None:
    """Write to standard error; the exit code stands, whether somebody reads it or not."""
    with contextlib.suppress(OSError):
        sys.stderr.write(text)


def _keep_traceback() -> str:
    import tempfile  # noqa: PLC0415 – only for a bug
    import traceback  # noqa: PLC0415

    with tempfile.NamedTemporaryFile("w", prefix="harness-error-", suffix=".txt", delete=False) as handle:
        handle.write(traceback.format_exc())
    return handle.name


def _heed_signals() -> None:
    """Take SIGTERM, and SIGHUP of a terminal that was closed, as Ctrl-C; what is ignored (nohup) stays so."""
    import signal  # noqa: PLC0415 – cheap, and only needed here

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _as_interrupt)


def _as_interrupt(_number: int, _frame: object) -> None:
    raise KeyboardInterrupt


def entry() -> None:
    """Run the command line as a program."""
    sys.exit(main())
