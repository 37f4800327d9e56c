"""Do the models keep what they are given, and stay as they are?"""

from __future__ import annotations

import pickle

import pytest
from pydantic import ValidationError

from harness.definition import ParameterDeclaration, PipelineDefinition, Step


def test_a_step_needs_little_more_than_a_name() -> None:
    step = Step(name="A", type="Fail", place="Steps[0]")

    assert (step.arguments, step.depends_on, step.property_files, step.parent, step.branch) == ({}, (), (), None, None)


def test_fields_of_a_later_version_are_kept() -> None:
    step = Step.model_validate({"name": "A", "type": "Fail", "place": "Steps[0]", "mlflow": "x"})

    assert step.model_extra == {"mlflow": "x"}


def test_a_parameter_type_is_one_of_four() -> None:
    with pytest.raises(ValidationError):
        ParameterDeclaration.model_validate({"name": "P", "type": "Date"})


def test_of_two_steps_with_one_name_the_first_is_found() -> None:
    steps = (Step(name="A", type="X", place="Steps[0]"), Step(name="A", type="Y", place="Steps[1]"))

    assert PipelineDefinition(version="2020-12-01", steps=steps).step("A").type == "X"


def test_a_definition_travels_between_processes() -> None:
    definition = PipelineDefinition(version="2020-12-01", steps=(Step(name="A", type="X", place="Steps[0]"),))
    definition.step("A")

    assert pickle.loads(pickle.dumps(definition)) == definition  # noqa: S301
