"""What counts as an expression, and what does it refer to?

Expressions are objects with one member (``Get``, ``Std:Join``, ``Std:JsonGet``) that may stand wherever a value may
stand (SDK 2.257 ``workflow/functions.py``, ``workflow/parameters.py``; only these functions exist). Walking is done
with an explicit stack, so no nesting is too deep for it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from harness.definition import paths
from harness.definition._wording import did_you_mean, kind_of, listed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = [
    "EXECUTION_VARIABLES",
    "Expression",
    "Reference",
    "expression_text",
    "is_expression",
    "is_of_an_iteration",
    "parse_get",
    "walk",
]

EXECUTION_VARIABLES = (
    "StartDateTime", "CurrentDateTime", "PipelineName", "PipelineArn", "PipelineExecutionId", "PipelineExecutionArn",
    "TrainingJobName", "ProcessingJobName",
)  # fmt: skip

_EXPERIMENT = ("PipelineExperimentConfig.ExperimentName", "PipelineExperimentConfig.TrialName")
_SIMPLE = re.compile(r"(Parameters|Execution)\.([A-Za-z0-9_\-]+)")
_OF_A_STEP = re.compile(r"Steps\.([A-Za-z0-9_\-]+)\.(.+)", re.DOTALL)
_PROPERTY_FILES = "PropertyFiles."
# Only the steps inside of a ForEach step (SDK v3, workflow/for_each_step.py) know what these stand for.
_OF_AN_ITERATION = re.compile(r"(?:ForEach\.CurrentItem|IterationOutput)(?:[.\[].*)?", re.DOTALL)


@dataclass(frozen=True)
class Reference:
    """What one ``Get`` points at, and where it stands."""

    kind: Literal["parameter", "execution", "property", "property_file"]
    step: str | None
    """The step that is read from; None for parameters and execution variables."""
    name: str
    """The parameter, the execution variable, the property file, or the property path.

    ``PipelineExperimentConfig.ExperimentName`` and ``….TrialName`` count as execution variables of that whole name.
    """
    place: str
    """The JSON path of the ``Get`` object."""

    @property
    def text(self) -> str:
        """The text of the ``Get``, e.g. ``Steps.Prep.ProcessingJobName``."""
        if self.kind == "parameter":
            return f"Parameters.{self.name}"
        if self.kind == "execution":
            return self.name if self.name in _EXPERIMENT else f"Execution.{self.name}"
        files = _PROPERTY_FILES if self.kind == "property_file" else ""
        return f"Steps.{self.step}.{files}{self.name}"


class Expression(NamedTuple):
    """One expression found in a value."""

    place: str
    function: str
    """``Get``, ``Std:Join``, or whatever follows ``Std:``."""
    body: Any


def is_expression(value: Any) -> bool:
    """Tell whether a value is an object of one member that names a function."""
    if not isinstance(value, dict) or len(value) != 1:
        return False
    key = next(iter(value))
    return isinstance(key, str) and (key == "Get" or key.startswith("Std:"))


def walk(value: Any, place: str, *, skip: Sequence[str] = ()) -> Iterator[Expression]:
    """Yield every expression in a value, in document order, outer before inner.

    The ``Get`` of a ``Std:JsonGet``'s ``PropertyFile`` belongs to the JsonGet and is not yielded by itself. Members
    of the outermost object that are named in ``skip`` are left out.
    """
    waiting: list[tuple[str, Any]] = [(place, value)]
    if skip and isinstance(value, dict):
        kept = [(paths.extend(place, key), inner) for key, inner in value.items() if key not in skip]
        waiting = kept[::-1]
    while waiting:
        here, current = waiting.pop()
        if is_expression(current):
            ((function, body),) = current.items()
            yield Expression(here, function, body)
            waiting.extend(reversed(_operands(here, function, body)))
        elif isinstance(current, dict):
            waiting.extend([(paths.extend(here, key), inner) for key, inner in current.items()][::-1])
        elif isinstance(current, list | tuple):
            waiting.extend([(f"{here}[{index}]", inner) for index, inner in enumerate(current)][::-1])


def _operands(place: str, function: str, body: Any) -> list[tuple[str, Any]]:
    """Give the values inside an expression that may hold expressions themselves."""
    if not isinstance(body, dict):
        return []
    member = {"Std:Join": "Values", "Std:JsonGet": "S3Uri"}.get(function)
    return [(f"{place}.{function}.{member}", body[member])] if member in body else []


def parse_get(text: Any, place: str) -> Reference:
    """Read the text of a ``Get``.

    Raises:
        ValueError: The text is no reference; the message says why.

    """
    if not isinstance(text, str):
        raise ValueError(f"Get takes a string such as Parameters.Name, not {kind_of(text)}")  # noqa: TRY004
    if simple := _SIMPLE.fullmatch(text):
        root, name = simple.groups()
        if root == "Execution" and name not in EXECUTION_VARIABLES:
            raise ValueError(_unknown_variable(text, name))
        return Reference("parameter" if root == "Parameters" else "execution", None, name, place)
    if text in _EXPERIMENT:
        return Reference("execution", None, text, place)
    if of_a_step := _OF_A_STEP.fullmatch(text):
        return _of_a_step(text, of_a_step[1], of_a_step[2], place)
    if is_of_an_iteration(text):
        raise ValueError(f"{shown(text)} has a value only inside of a ForEach step, which is not emulated")
    raise ValueError(f"{shown(text)} is no reference; there are Parameters.<x>, Execution.<x> and Steps.<x>.<path>")


def _of_a_step(text: str, step: str, path: str, place: str) -> Reference:
    """Read what follows the step's name."""
    if path.startswith(_PROPERTY_FILES) and path != _PROPERTY_FILES:
        return Reference("property_file", step, path.removeprefix(_PROPERTY_FILES), place)
    if path.startswith("$"):
        raise ValueError(f"{shown(text)}: a property path does not begin with '$'")
    try:
        paths.parse(path)
    except ValueError as error:
        raise ValueError(f"{shown(text)}: the path {shown(path)} cannot be read: {error}") from None
    return Reference("property", step, path, place)


def is_of_an_iteration(text: Any) -> bool:
    """Tell whether the text of a ``Get`` is one that only a ForEach step can give a value to."""
    return isinstance(text, str) and _OF_AN_ITERATION.fullmatch(text) is not None


def _unknown_variable(text: str, name: str) -> str:
    hint = did_you_mean(name, EXECUTION_VARIABLES)
    return f"{text} is no execution variable; {hint or f'there are {listed(EXECUTION_VARIABLES)}'}"


def expression_text(value: Any) -> str:
    """Name a value in a sentence: the reference of a Get, the function of others, the JSON of a literal."""
    if not is_expression(value):
        return shown(value)
    ((function, body),) = value.items()
    if function == "Get" and isinstance(body, str):
        return body
    if function == "Std:JsonGet" and isinstance(body, dict):
        source = body.get("PropertyFile", body.get("S3Uri"))
        inner = source.get("Get") if isinstance(source, dict) else source
        whence = inner if isinstance(inner, str) else "an S3 object"
        return f"Std:JsonGet of {whence}, path {body.get('Path')}"
    return str(function)
