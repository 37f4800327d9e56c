"""Which pipeline definition does a text hold, and what is wrong with it?

Shapes: SDK 2.257 ``workflow/*.py`` (what ``to_request`` writes); names and lengths: botocore's SageMaker model.
"""

from __future__ import annotations

from typing import Any

from harness.definition._json import read_document
from harness.definition._read_parameters import read_parameters
from harness.definition._read_steps import read_steps
from harness.definition._wording import kind_of, shown
from harness.definition.models import PipelineDefinition
from harness.errors import DefinitionError, Mistake

__all__ = ["VERSION", "read"]

VERSION = "2020-12-01"


def read(text: str, *, source: str) -> tuple[PipelineDefinition, list[Mistake]]:
    """Read a pipeline definition of version 2020-12-01.

    Args:
        text: The JSON.
        source: What the text came from, usually a file name; errors name it.

    Returns:
        The definition, and everything that is wrong with it as far as one part can tell by itself. What is wrong is
        left out or stands as it was written, so that the rest can be looked at too. How the parts fit together is
        the business of :func:`harness.definition.examine.examine`.

    Raises:
        DefinitionError: There is nothing to read: no JSON object, another version, no list of steps.

    """
    document, mistakes = read_document(text, source=source)
    if unreadable := _wrong_with_frame(document):
        raise DefinitionError(source, unreadable)
    parameters = read_parameters(document.get("Parameters"), mistakes)
    steps = read_steps(document["Steps"], mistakes)
    definition = PipelineDefinition(
        version=VERSION,
        metadata=_object(document, "Metadata", mistakes) or {},
        parameters=tuple(parameters),
        experiment_config=_object(document, "PipelineExperimentConfig", mistakes),
        steps=tuple(steps),
        raw=document,
    )
    return definition, mistakes


def _wrong_with_frame(document: dict[str, Any]) -> list[Mistake]:
    """Say why the document cannot be taken for a pipeline definition of the known version."""
    wrong = []
    if "Version" not in document:
        wrong.append(Mistake("Version", f'there is no Version; "{VERSION}" is expected'))
    elif document["Version"] != VERSION:
        wrong.append(Mistake("Version", f'the Version is {shown(document["Version"])}; "{VERSION}" is expected'))
    if "Steps" not in document:
        wrong.append(Mistake("Steps", "there is no list of Steps"))
    elif not isinstance(document["Steps"], list):
        wrong.append(Mistake("Steps", f"Steps takes a list, not {kind_of(document['Steps'])}"))
    return wrong


def _object(document: dict[str, Any], member: str, mistakes: list[Mistake]) -> dict[str, Any] | None:
    value = document.get(member)
    if value is None or isinstance(value, dict):
        return value
    mistakes.append(Mistake(member, f"{member} takes an object, not {kind_of(value)}"))
    return None
