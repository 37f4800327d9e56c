"""Which errors can a person meet, and with which exit code does each end?

The whole tree::

    HarnessError                    1   base; never raised itself
    ├── UsageError                  2   the call is wrong: options, names, paths
    ├── ConfigurationError          2   harness.yaml, [tool.harness] or an environment variable is wrong
    ├── DefinitionError             2   the pipeline definition has mistakes (all of them, each with its place)
    ├── ParameterError              2   parameter values are missing, unknown or of the wrong type
    ├── InputError                  2   an input that no step produces has no data
    ├── PreflightError            2/7   inputs without data, images nobody has: all of them, before anything runs
    ├── KeyLayoutError              5   an S3 key cannot be a file here (object and prefix at once, `..`, too long)
    ├── StorageError                5   the workspace cannot be written or read (disk full, permissions)
    ├── ArchiveError                5   an archive is hostile or broken
    ├── EngineError                 5   the container engine failed while a run was on
    │   └── EngineUnavailableError  7   no container engine answers
    ├── ImageError                  7   an image is not to be had
    │   └── ImageBuildError         7   a stand-in image could not be built
    ├── NothingToDoError            3   there is nothing to do
    ├── RunNotFoundError            2   no such run, step or log
    ├── ExpressionError             1   an expression cannot be evaluated when its step starts
    ├── RequestError                1   a job's request is refused when its step starts, in the service's words
    ├── NotEmulatedError            8   a request uses a feature that is not emulated yet
    └── InterruptedRunError       130   the caller stopped the run

An error says what happened, where, why, and what to do. Exit codes are stable.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = [
    "ArchiveError",
    "ConfigurationError",
    "DefinitionError",
    "EngineError",
    "EngineUnavailableError",
    "ExpressionError",
    "HarnessError",
    "ImageBuildError",
    "ImageError",
    "InputError",
    "InterruptedRunError",
    "KeyLayoutError",
    "Mistake",
    "MistakesError",
    "NotEmulatedError",
    "NothingToDoError",
    "ParameterError",
    "PreflightError",
    "RequestError",
    "RunNotFoundError",
    "StorageError",
    "UsageError",
]


@dataclass(frozen=True)
class Mistake:
    """One thing that is wrong, with its place and, where there is one, its remedy."""

    place: str
    """Where: a JSON path such as ``Steps[1].DependsOn[0]``, a parameter, a file."""
    what: str
    remedy: str = ""

    def __str__(self) -> str:
        """Write it as one line of an error text."""
        line = f"{self.place}: {self.what}" if self.place else self.what
        return f"{line} – {self.remedy}" if self.remedy else line


class HarnessError(Exception):
    """Something a person has to know, said in their words.

    Args:
        message: What happened and where, one sentence or a few lines.
        remedy: What to do about it, if that is known.

    """

    code: ClassVar[str] = "SMH-ERROR"
    exit_code: ClassVar[int] = 1

    def __init__(self, message: str, *, remedy: str = "") -> None:
        """Take the message first, the remedy by keyword."""
        super().__init__(message)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        """Give the message and, on a line of its own, the remedy."""
        return f"{self.message}\n  → {self.remedy}" if self.remedy else self.message


class MistakesError(HarnessError):
    """Several mistakes that were found in one go."""

    exit_code = 2

    def __init__(self, subject: str, mistakes: Iterable[Mistake], *, remedy: str = "") -> None:
        """Take what the mistakes are in (a file), and the mistakes."""
        self.subject = subject
        self.mistakes = tuple(mistakes)
        head = f"{subject}: {self.counted(len(self.mistakes))}"
        super().__init__("\n".join([head, *(f"  {mistake}" for mistake in self.mistakes)]), remedy=remedy)

    @staticmethod
    def counted(count: int) -> str:
        """Say how many there are."""
        return f"{count} mistake{'' if count == 1 else 's'}"


class UsageError(HarnessError):
    """The call is wrong."""

    code = "SMH-USAGE"
    exit_code = 2


class ConfigurationError(HarnessError):
    """A configuration file or variable is wrong."""

    code = "SMH-CONFIG"
    exit_code = 2


class DefinitionError(MistakesError):
    """The pipeline definition has mistakes."""

    code = "SMH-DEFINITION"


class ParameterError(MistakesError):
    """Parameter values are missing, unknown or of the wrong type."""

    code = "SMH-PARAMETER"


class InputError(MistakesError):
    """Inputs that no step produces have no data."""

    code = "SMH-INPUT"


class PreflightError(MistakesError):
    """What a run needs is not there: inputs (exit code 2), images or an engine (7; 2 where inputs are missing too)."""

    code = "SMH-PREFLIGHT"

    def __init__(self, subject: str, inputs: Iterable[Mistake], images: Iterable[Mistake]) -> None:
        """Take both kinds apart: they decide the exit code."""
        missing_inputs, missing_images = tuple(inputs), tuple(images)
        super().__init__(subject, [*missing_inputs, *missing_images])
        self.exit_code = 2 if missing_inputs else 7  # type: ignore[misc]

    @staticmethod
    def counted(count: int) -> str:
        """Say how many there are."""
        return "one thing is missing" if count == 1 else f"{count} things are missing"


class KeyLayoutError(HarnessError):
    """An S3 key cannot be a file of the workspace."""

    code = "SMH-S3-KEY"
    exit_code = 5


class StorageError(HarnessError):
    """The workspace cannot be read or written."""

    code = "SMH-STORAGE"
    exit_code = 5


class ArchiveError(HarnessError):
    """An archive is hostile or broken."""

    code = "SMH-ARCHIVE"
    exit_code = 5


class EngineError(HarnessError):
    """The container engine failed."""

    code = "SMH-ENGINE"
    exit_code = 5


class EngineUnavailableError(EngineError):
    """No container engine answers."""

    code = "SMH-ENGINE-UNAVAILABLE"
    exit_code = 7


class ImageError(HarnessError):
    """An image is not to be had."""

    code = "SMH-IMAGE"
    exit_code = 7


class ImageBuildError(ImageError):
    """A stand-in image could not be built."""

    code = "SMH-IMAGE-BUILD"


class NothingToDoError(HarnessError):
    """There is nothing to do."""

    code = "SMH-NOTHING"
    exit_code = 3


class RunNotFoundError(HarnessError):
    """No such run, step or log."""

    code = "SMH-RUN-UNKNOWN"
    exit_code = 2


class ExpressionError(HarnessError):
    """An expression of the definition cannot be evaluated."""

    code = "SMH-EXPRESSION"
    exit_code = 1


class RequestError(HarnessError):
    """A job's request is refused when its step starts, in the service's words."""

    code = "SMH-REQUEST"
    exit_code = 1


class NotEmulatedError(HarnessError):
    """A request uses a feature of the service that is not emulated yet."""

    code = "SMH-NOT-EMULATED"
    exit_code = 8


class InterruptedRunError(HarnessError):
    """The caller stopped the run."""

    code = "SMH-INTERRUPTED"
    exit_code = 130
