"""Which things does a pipeline definition consist of?"""

from __future__ import annotations

from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["ParameterDeclaration", "ParameterType", "PipelineDefinition", "PropertyFile", "Step"]

ParameterType = Literal["String", "Integer", "Float", "Boolean"]


class _Model(BaseModel):
    """Frozen, and open to fields that a later version of the service adds."""

    model_config = ConfigDict(extra="allow", frozen=True)


class ParameterDeclaration(_Model):
    """One entry of ``Parameters``."""

    name: str
    type: ParameterType
    default: Any = None
    """None where there is none; ``has_default`` tells."""
    has_default: bool = False
    enum_values: tuple[Any, ...] | None = None


class PropertyFile(_Model):
    """One entry of a step's ``PropertyFiles``: a JSON file in one of the step's outputs."""

    name: str
    output_name: str
    file_path: str


class Step(_Model):
    """One step, wherever in the definition it stands."""

    name: str
    type: str
    arguments: dict[str, Any] = {}
    depends_on: tuple[str, ...] = ()
    property_files: tuple[PropertyFile, ...] = ()
    display_name: str | None = None
    description: str | None = None
    retry_policies: tuple[dict[str, Any], ...] = ()
    cache_config: dict[str, Any] | None = None
    place: str
    """Its JSON path: ``Steps[1]``, or ``Steps[3].Arguments.IfSteps[0]`` for a step of a branch."""
    parent: str | None = None
    """The Condition step that it is a branch step of."""
    branch: Literal["IfSteps", "ElseSteps"] | None = None
    raw: dict[str, Any] = {}
    """The step as it was written, with members this model has no field for (``FunctionArn``, ``SqsQueueUrl`` …)."""


class PipelineDefinition(_Model):
    """A whole pipeline definition.

    ``steps`` holds every step, those of branches included, in document order: a Condition step comes before the steps
    of its branches.
    """

    version: str
    metadata: dict[str, Any] = {}
    parameters: tuple[ParameterDeclaration, ...] = ()
    experiment_config: dict[str, Any] | None = None
    steps: tuple[Step, ...]
    raw: dict[str, Any] = {}
    """The document as it was written."""

    @cached_property
    def _by_name(self) -> dict[str, Step]:
        # Of duplicates (a mistake that reading reports) the first one counts.
        return {step.name: step for step in reversed(self.steps)}

    def step(self, name: str) -> Step:
        """Give the step of this name.

        Raises:
            KeyError: There is no such step.

        """
        return self._by_name[name]
