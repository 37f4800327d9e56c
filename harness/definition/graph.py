"""In which order can the steps run, and what keeps them from running?"""

from __future__ import annotations

import heapq
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.definition import expressions
from harness.definition._cycles import find_cycles
from harness.definition._wording import did_you_mean, listed
from harness.errors import Mistake

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from harness.definition.expressions import Reference
    from harness.definition.models import PipelineDefinition, Step

__all__ = ["StepGraph", "build", "references_of"]

_BRANCHES = ("IfSteps", "ElseSteps")


@dataclass(frozen=True)
class StepGraph:
    """Which step needs which."""

    order: tuple[str, ...]
    """Every step after all that it needs; of those that are ready the first of the document comes first."""
    needs: Mapping[str, frozenset[str]]
    """What each step waits for: DependsOn, the steps it refers to, the Condition whose branch it stands in."""
    dependents: Mapping[str, frozenset[str]]
    generations: tuple[tuple[str, ...], ...]
    """The steps by the length of the longest way to them; steps of one generation do not need each other."""

    def ancestors(self, name: str) -> frozenset[str]:
        """Give all steps that have to be done before this one. KeyError for an unknown name."""
        return _reached(name, self.needs)

    def descendants(self, name: str) -> frozenset[str]:
        """Give all steps that wait for this one, directly or not. KeyError for an unknown name."""
        return _reached(name, self.dependents)


def _reached(name: str, edges: Mapping[str, frozenset[str]]) -> frozenset[str]:
    reached: set[str] = set()
    waiting = deque([name])
    while waiting:
        for following in edges[waiting.popleft()]:
            if following not in reached:
                reached.add(following)
                waiting.append(following)
    return frozenset(reached)


def references_of(step: Step) -> Iterator[Reference]:
    """Yield what a step refers to, wherever in it the reference stands (``SuppliedBaselineStatistics`` is no argument).

    The branches of a Condition belong to their own steps. The steps in a ForEach's body are one with it: what they
    refer to among themselves is left out.
    """
    yield from expressions.references(_besides_arguments(step), step.place)
    place = f"{step.place}.Arguments"
    own: set[str] = set()
    if step.type == "ForEach":
        body = step.arguments.get("ForEachBody")
        names = [inner.get("Name") for inner in body if isinstance(inner, dict)] if isinstance(body, list) else []
        own = {name for name in names if isinstance(name, str)}
    skip = _BRANCHES if step.type == "Condition" else ()
    for reference in expressions.references(step.arguments, place, skip=skip):
        if reference.step not in own:
            yield reference


def _besides_arguments(step: Step) -> dict[str, object]:
    return {member: value for member, value in step.raw.items() if member != "Arguments"}


def build(definition: PipelineDefinition) -> tuple[StepGraph | None, list[Mistake]]:
    """Connect the steps.

    Returns:
        The graph, or None where cycles leave no order; and the mistakes: unknown steps, parameters and property
        files, dependencies on a Fail step (which the service refuses at creation: SDK ``test_fail_steps.py``), steps
        that depend on themselves, cycles. Of steps with the same name (a mistake that reading reports) only the first
        has edges, but what the others refer to is checked as well.

    """
    checker = _Checker(definition)
    needs: dict[str, set[str]] = {}
    for step in definition.steps:
        found = checker.needs_of(step)
        needs.setdefault(step.name, found)
    checker.check_experiment_config()
    mistakes = checker.mistakes
    mistakes += _self_dependences(definition, needs)
    graph = _ordered(needs)
    if graph is None:
        places = {step.name: step.place for step in reversed(definition.steps)}
        for cycle in find_cycles(tuple(needs), needs):
            ring = " → ".join((*cycle, cycle[0]))
            what = f"the steps wait for each other, each for the next: {ring}"
            mistakes.append(Mistake(places[cycle[0]], what, "take one of these dependencies away"))
    return graph, mistakes


def _self_dependences(definition: PipelineDefinition, needs: Mapping[str, set[str]]) -> Iterator[Mistake]:
    for name in needs:
        if name in needs[name]:
            yield Mistake(definition.step(name).place, f"step {name} depends on itself: {name} → {name}")


def _ordered(needs: Mapping[str, set[str]]) -> StepGraph | None:
    """Order the steps (Kahn's algorithm, the ready ones in document order); None if there is no order."""
    names = list(needs)
    position = {name: index for index, name in enumerate(names)}
    dependents: dict[str, list[str]] = {name: [] for name in names}
    for name in names:
        for need in needs[name]:
            dependents[need].append(name)
    missing = {name: len(needs[name]) for name in names}
    level = dict.fromkeys(names, 0)
    ready = [position[name] for name in names if not missing[name]]
    order: list[str] = []
    while ready:
        name = names[heapq.heappop(ready)]
        order.append(name)
        for dependent in dependents[name]:
            level[dependent] = max(level[dependent], level[name] + 1)
            missing[dependent] -= 1
            if not missing[dependent]:
                heapq.heappush(ready, position[dependent])
    if len(order) < len(names):
        return None
    generations: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for name in names:
        generations[level[name]].append(name)
    return StepGraph(
        order=tuple(order),
        needs={name: frozenset(needed) for name, needed in needs.items()},
        dependents={name: frozenset(after) for name, after in dependents.items()},
        generations=tuple(tuple(generation) for generation in generations),
    )


class _Checker:
    """Holds every name that a step uses against what the definition declares."""

    def __init__(self, definition: PipelineDefinition) -> None:
        self.mistakes: list[Mistake] = []
        self._definition = definition
        self._steps: dict[str, Step] = {}
        for step in definition.steps:
            self._steps.setdefault(step.name, step)
        self._parameters = [parameter.name for parameter in definition.parameters]
        self._declared = frozenset(self._parameters)

    def needs_of(self, step: Step) -> set[str]:
        """Give the existing steps that a step needs."""
        needs = {step.parent}
        for index, name in enumerate(step.depends_on):
            self._check_step(name, f"{step.place}.DependsOn[{index}]", f"step {step.name} depends on")
            needs.add(name)
        for reference in references_of(step):
            self._check(reference, f"step {step.name}")
            needs.add(reference.step)
        return {name for name in needs if name is not None and name in self._steps}

    def check_experiment_config(self) -> None:
        """Check the references of PipelineExperimentConfig, which is evaluated before any step."""
        place = "PipelineExperimentConfig"
        for reference in expressions.references(self._definition.experiment_config, place):
            if reference.step is None:
                self._check(reference, place)
            else:
                what = f"{place} is evaluated before any step and cannot refer to {reference.text}"
                self.mistakes.append(Mistake(reference.place, what))

    def _check(self, reference: Reference, who: str) -> None:
        if reference.kind == "parameter" and reference.name not in self._declared:
            what = f"{who} refers to the parameter {reference.name}, which is not declared"
            self._unknown(reference.place, what, reference.name, self._parameters)
        if reference.step is None:
            return
        is_known = self._check_step(reference.step, reference.place, f"{who} refers ({reference.text}) to")
        if is_known and reference.kind == "property_file":
            files = [file.name for file in self._steps[reference.step].property_files]
            if reference.name not in files:
                what = f"{who} refers to the property file {reference.name}, which {reference.step} does not declare"
                self._unknown(reference.place, what, reference.name, files)

    def _check_step(self, name: str, place: str, says: str) -> bool:
        """Check the name of another step; tell whether more can be asked of that step."""
        if name not in self._steps:
            self._unknown(place, f"{says} {name}, but there is no step of this name", name, self._steps)
            return False
        if self._steps[name].type == "Fail":
            what = f"{says} the Fail step {name}; a Fail step ends the execution and has no properties"
            self.mistakes.append(Mistake(place, what))
            return False
        return True

    def _unknown(self, place: str, what: str, name: str, known: Iterable[str]) -> None:
        there = list(known)
        remedy = did_you_mean(name, there) or (f"there are {listed(there)}" if there else "")
        self.mistakes.append(Mistake(place, what, remedy))
