"""Which step may start next, and what happens to the others when one has ended? No clock, no thread, no effects."""

from __future__ import annotations

import heapq
from typing import TYPE_CHECKING, Literal

from harness.definition.graph import references_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from harness.definition import PipelineDefinition, StepGraph

__all__ = ["Ending", "Schedule"]

Ending = Literal["done", "failed", "not emulated"]


class Schedule:
    """The state of a run's steps.

    A step is ready when all that it needs is done. What depends on a failed step, or on one that is not emulated, is
    not started; what does not, goes on. Steps of a branch that is not taken are absent, as on the service, and so is
    what only waits for them; a step outside of the branch that reads their properties is started and fails there, as
    the service fails to resolve them (contract f.3).
    """

    def __init__(self, definition: PipelineDefinition, graph: StepGraph, *, jobs: Collection[str]) -> None:
        """Begin with nothing started; ``jobs`` are the step types that need a place among those that run at once."""
        self.definition, self.graph = definition, graph
        self._is_job = {step.name: step.type in jobs for step in definition.steps}
        self._rank = {name: rank for rank, name in enumerate(graph.order)}
        self._open = {name: len(needs) for name, needs in graph.needs.items()}
        self._ready: dict[bool, list[int]] = {True: [], False: []}
        for name, count in self._open.items():
            if count == 0:
                self._push(name)
        self._children: dict[tuple[str, str], list[str]] = {}
        for step in definition.steps:
            if step.parent and step.branch:
                self._children.setdefault((step.parent, step.branch), []).append(step.name)
        self.running: set[str] = set()
        self.ended: set[str] = set()
        self.absent: set[str] = set()
        self.not_started: dict[str, str] = {}
        """Steps that will not start, with the step that is the reason."""
        self._unsuccessful: list[str] = []
        self._halted = False

    @property
    def over(self) -> bool:
        """Whether nothing runs and nothing can start any more."""
        return not self.running and (self._halted or not any(self._ready.values()))

    def halt(self) -> None:
        """Start nothing more."""
        self._halted = True

    def take(self, *, job: bool) -> str | None:
        """Take the next step that may start, in the graph's order: one that is a job, or one that is not."""
        ready = self._ready[job]
        while ready and not self._halted:
            name = self.graph.order[heapq.heappop(ready)]
            if name in self.absent or name in self.not_started:
                continue
            self.running.add(name)
            return name
        return None

    def _push(self, name: str) -> None:
        heapq.heappush(self._ready[self._is_job[name]], self._rank[name])

    def finish(self, name: str, ending: Ending, *, outcome: bool | None = None) -> tuple[str, ...]:
        """Write down how a step ended.

        Args:
            name: The step.
            ending: How it ended.
            outcome: Condition steps: which branch is taken.

        Returns:
            Steps that are now known to be absent.

        """
        self.running.discard(name)
        self.ended.add(name)
        if ending != "done":
            self._unsuccessful.append(name)
            self._hold_back()
            return ()
        gone: tuple[str, ...] = ()
        if outcome is not None:
            gone = self._leave_out(self._children.get((name, "ElseSteps" if outcome else "IfSteps"), ()))
            self._hold_back()
        self._release(name)
        return gone

    def _hold_back(self) -> None:
        """Find what will not start: all that needs an unsuccessful step, but for what is absent or behind it.

        Found anew each time, so that the order in which steps happen to end makes no difference.
        """
        self.not_started.clear()
        for name in self._unsuccessful:
            pending = [name]
            while pending:
                for other in self.graph.dependents[pending.pop()]:
                    if other not in self.absent and other not in self.not_started:
                        self.not_started[other] = name
                        pending.append(other)

    def _release(self, name: str) -> None:
        for other in self.graph.dependents[name]:
            self._open[other] -= 1
            if self._open[other] == 0:
                self._push(other)

    def _leave_out(self, names: Iterable[str]) -> tuple[str, ...]:
        found: list[str] = []
        pending = list(names)
        while pending:
            name = pending.pop()
            if name in self.absent:
                continue
            self.absent.add(name)
            found.append(name)
            for other in self.graph.dependents[name]:
                if name in self._read_by(other) and not self._is_inside(other, names_of=self.absent):
                    continue  # it starts, and fails when it asks for the properties
                pending.append(other)
            self._release(name)
        return tuple(sorted(found, key=self._rank.__getitem__))

    def _read_by(self, name: str) -> set[str]:
        return {reference.step for reference in references_of(self.definition.step(name)) if reference.step}

    def _is_inside(self, name: str, *, names_of: set[str]) -> bool:
        """Whether a step stands in a branch whose Condition is absent."""
        parent = self.definition.step(name).parent
        return parent is not None and parent in names_of
