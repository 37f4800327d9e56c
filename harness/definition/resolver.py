"""In which order would a pipeline run, and what flows where? The seed design's names over :class:`StepGraph`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.definition import expressions, graph
from harness.definition._cycles import find_cycles
from harness.errors import DefinitionError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.definition.expressions import Reference
    from harness.definition.models import PipelineDefinition, Step

__all__ = ["PipelineDAGResolver", "PipelineExecutionPlan"]


@dataclass(frozen=True)
class PipelineExecutionPlan:
    """A pipeline made ready to be gone through step by step."""

    execution_order: list[str]
    step_configs: Mapping[str, dict[str, Any]]
    """The ``Arguments`` of each step, expressions unresolved."""
    dependencies: Mapping[str, list[str]]
    data_flow_map: Mapping[str, dict[str, str]]
    """What each step takes from others: input name, or place in its arguments, to ``step:output``."""


class PipelineDAGResolver:
    """Answers the seed design's questions about a pipeline definition.

    Steps come in document order everywhere but in the execution order.
    """

    def __init__(self, dag: PipelineDefinition) -> None:
        """Look at a definition; mistakes in it are kept until a plan is asked for."""
        self._definition = dag
        self._graph, self._mistakes = graph.build(dag)
        self._steps = {step.name: step for step in reversed(dag.steps)}
        self._names = list(dict.fromkeys(step.name for step in dag.steps))
        self._wanted = {name: _wanted_by(self._steps[name]) for name in self._names}
        self._needs = {name: {n for n in self._wanted[name] if n in self._steps} for name in self._names}

    def create_execution_plan(self) -> PipelineExecutionPlan:
        """Plan the execution.

        Raises:
            DefinitionError: Cycles, unknown names or other mistakes of the graph leave no plan.

        """
        if self._graph is None or self._mistakes:
            raise DefinitionError("the pipeline", self._mistakes)
        return PipelineExecutionPlan(
            execution_order=list(self._graph.order),
            step_configs={name: self._steps[name].arguments for name in self._names},
            dependencies={name: self.get_step_dependencies(name) for name in self._names},
            data_flow_map={name: _flow_into(self._steps[name]) for name in self._names},
        )

    def validate_dag_integrity(self) -> dict[str, list[str]]:
        """Say what is wrong with the graph; every list is empty for a sound one.

        ``cycles`` are written ``A → B → A``, ``dangling_dependencies`` ``A → Ghost``, ``isolated_nodes`` are the steps
        of a larger pipeline that neither need another step nor are needed.
        """
        rings: list[tuple[str, ...]] = [(name,) for name in self._names if name in self._needs[name]]
        if self._graph is None:
            rings += find_cycles(self._names, self._needs)
        dangling = [
            f"{name} → {need}" for name in self._names for need in self._wanted[name] if need not in self._steps
        ]
        needed = {need for needs in self._needs.values() for need in needs}
        alone = [name for name in self._names if not self._needs[name] and name not in needed]
        return {
            "cycles": [" → ".join((*ring, ring[0])) for ring in rings],
            "dangling_dependencies": dangling,
            "isolated_nodes": alone if len(self._names) > 1 else [],
        }

    def get_step_dependencies(self, step_name: str) -> list[str]:
        """Name the steps that a step waits for. KeyError for an unknown step."""
        needs = self._needs[step_name]
        return [name for name in self._names if name in needs]

    def get_dependent_steps(self, step_name: str) -> list[str]:
        """Name the steps that wait for a step. KeyError for an unknown step."""
        self._steps[step_name]
        return [name for name in self._names if step_name in self._needs[name]]

    def get_config_resolution_preview(self) -> dict[str, dict[str, Any]]:
        """Show for each step its type, what it refers to, and whether it can be resolved before any step has run."""
        return {
            name: {
                "type": self._steps[name].type,
                "references": [reference.text for reference in graph.references_of(self._steps[name])],
                "is_static": expressions.is_static(self._steps[name].arguments),
            }
            for name in self._names
        }


def _wanted_by(step: Step) -> list[str]:
    """Name the steps, existing or not, that a step needs."""
    referred = [reference.step for reference in graph.references_of(step)]
    names = [step.parent, *step.depends_on, *referred]
    return list(dict.fromkeys(name for name in names if name is not None))


def _flow_into(step: Step) -> dict[str, str]:
    flow: dict[str, str] = {}
    for reference in graph.references_of(step):
        if reference.step is not None:
            flow[_input_name(reference, step)] = f"{reference.step}:{_output_name(reference)}"
    return flow


def _input_name(reference: Reference, step: Step) -> str:
    """Name the input or channel that a reference belongs to, or else its place in the arguments."""
    within = reference.place.removeprefix(f"{step.place}.").removeprefix("Arguments.")
    for member, key in (("ProcessingInputs", "InputName"), ("InputDataConfig", "ChannelName")):
        entries = step.arguments.get(member)
        head, _, rest = within.partition("]")
        index = head.removeprefix(f"{member}[")
        if isinstance(entries, list) and rest and index.isdecimal():
            entry = entries[int(index)]
            name = entry.get(key) if isinstance(entry, dict) else None
            if isinstance(name, str):
                return name
    return within


def _output_name(reference: Reference) -> str:
    """Name a processing output by its name, and anything else by its path."""
    head, separator, rest = reference.name.partition("ProcessingOutputConfig.Outputs['")
    return rest.partition("']")[0] if separator and not head else reference.name
