"""Is a pipeline definition, with these parameter values, fit to be run?"""

from __future__ import annotations

from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.definition import conditions, expressions, graph, load, parameters, paths
from harness.definition._wording import printable
from harness.errors import DefinitionError, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from harness.definition.graph import StepGraph
    from harness.definition.models import PipelineDefinition, Step
    from harness.definition.parameters import Scalar

__all__ = ["Examined", "examine"]

_NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Examined:
    """A definition without mistakes, its graph, and the value of every parameter by name."""

    definition: PipelineDefinition
    graph: StepGraph
    values: Mapping[str, Scalar]


def examine(text: str, *, source: str, given: Mapping[str, Any] = _NOTHING) -> Examined:
    """Read a definition and check all that can be checked before anything runs.

    Args:
        text: The definition's JSON.
        source: What the text came from, usually a file name; errors name it.
        given: Parameter values by name: strings as from a command line, or native JSON values.

    Raises:
        DefinitionError: All mistakes of the definition, of the graph and of the parameters together, in document
            order, each one once.

    """
    definition, mistakes = load.read(text, source=source)
    for step in definition.steps:
        mistakes += _malformed(step)
    mistakes += expressions.mistakes_of(definition.experiment_config, "PipelineExperimentConfig")
    step_graph, wrong = graph.build(definition)
    mistakes += wrong
    values, wrong = parameters.parse_values(definition.parameters, given)
    mistakes += wrong
    if mistakes or step_graph is None:
        raise DefinitionError(source, _in_document_order(mistakes, definition.raw))
    return Examined(definition, step_graph, values)


def _malformed(step: Step) -> Iterator[Mistake]:
    """Find the malformed expressions and conditions of one step, and say in which step they are."""
    beside = {member: value for member, value in step.raw.items() if member != "Arguments"}
    found = expressions.mistakes_of(beside, step.place)
    place = f"{step.place}.Arguments"
    if step.type == "Condition":
        found += expressions.mistakes_of(step.arguments, place, skip=("IfSteps", "ElseSteps"))
        if "Conditions" in step.arguments:
            found += conditions.mistakes_of(step.arguments["Conditions"], f"{place}.Conditions")
        else:
            found.append(Mistake(place, "the Condition step has no Conditions"))
    else:
        found += expressions.mistakes_of(step.arguments, place)
    for mistake in found:
        yield replace(mistake, what=f"step {step.name}: {mistake.what}")


def _in_document_order(mistakes: Iterable[Mistake], document: dict[str, Any]) -> list[Mistake]:
    ordered = sorted(dict.fromkeys(mistakes), key=lambda mistake: _position(mistake.place, document))
    return [Mistake(*map(printable, (mistake.place, mistake.what, mistake.remedy))) for mistake in ordered]


def _position(place: str, document: Any) -> tuple[int, ...]:
    """Give the position of a place in the document: the number of each part among its siblings."""
    position: list[int] = []
    here = document
    for part in paths.parse(place):
        if isinstance(here, dict):
            members = list(here)
            position.append(members.index(part) if part in here else len(members))
            here = here.get(part)
        elif isinstance(here, list):
            # A parameter that was given, or was not, is placed by its name.
            index = part if isinstance(part, int) else _index_of(part, here)
            position.append(index)
            here = here[index] if index < len(here) else None
        else:
            break
    return tuple(position)


def _index_of(name: str, entries: list[Any]) -> int:
    for index, entry in enumerate(entries):
        if isinstance(entry, dict) and entry.get("Name") == name:
            return index
    return len(entries)
