"""How is a verb's answer written when somebody may have stopped reading?"""

from __future__ import annotations

import os
import sys

__all__ = ["answer"]


def answer(text: str) -> None:
    """Write a line or more to standard output; a reader that is gone does not change the exit code."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        # What is left in the buffer would be tried once more at the end of the process, which then ends with 120.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
