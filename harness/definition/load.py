"""Which pipeline definition does a text hold, and what is wrong with it?

Shapes: SDK 2.257 ``workflow/*.py`` (what ``to_request`` writes); names and lengths: botocore's SageMaker model.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, get_args

from harness.definition._json import read_document
from harness.definition._read_steps import read_steps
from harness.definition._wording import did_you_mean, kind_of, listed, shown
from harness.definition.models import ParameterDeclaration, ParameterType, PipelineDefinition
from harness.definition.parameters import fitted
from harness.errors import DefinitionError, Mistake

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["VERSION", "read"]

VERSION = "2020-12-01"
_PARAMETER_NAME = re.compile(r"[A-Za-z0-9\-_]{1,256}")
_TYPES: Sequence[str] = get_args(ParameterType)


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
    parameters = _parameters(document.get("Parameters"), mistakes)
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


def _parameters(entries: Any, mistakes: list[Mistake]) -> list[ParameterDeclaration]:
    if entries is None:
        return []
    if not isinstance(entries, list):
        mistakes.append(Mistake("Parameters", f"Parameters takes a list, not {kind_of(entries)}"))
        return []
    declarations: list[ParameterDeclaration] = []
    places: dict[str, str] = {}
    for index, entry in enumerate(entries):
        place = f"Parameters[{index}]"
        if not isinstance(entry, dict):
            mistakes.append(Mistake(place, f"a parameter is an object, not {kind_of(entry)}"))
            continue
        name = entry.get("Name")
        if not isinstance(name, str):
            mistakes.append(Mistake(place, "the parameter has no Name"))
            continue
        if not _PARAMETER_NAME.fullmatch(name):
            what = f"{shown(name)} is no parameter name; 1 to 256 letters, digits, '-' and '_' are"
            mistakes.append(Mistake(f"{place}.Name", what))
        if name in places:
            mistakes.append(Mistake(f"{place}.Name", f"the parameter {name} is declared already at {places[name]}"))
        places.setdefault(name, place)
        declarations.append(_parameter(entry, name, place, mistakes))
    return declarations


def _parameter(entry: dict[str, Any], name: str, place: str, mistakes: list[Mistake]) -> ParameterDeclaration:
    kind = entry.get("Type")
    if kind not in _TYPES:
        what = f"parameter {name}: {shown(kind)} is no parameter type" if kind else f"parameter {name} has no Type"
        hint = did_you_mean(kind, _TYPES) if isinstance(kind, str) else ""
        mistakes.append(Mistake(f"{place}.Type", what, hint or f"there are {listed(_TYPES)}"))
        # Known by its name, so that what refers to it is no second mistake; what it holds cannot be judged.
        return ParameterDeclaration(name=name, type="String", has_default=True, default="")
    options = _enum(entry, kind, name, place, mistakes)
    has_default = "DefaultValue" in entry
    default = entry.get("DefaultValue")
    if has_default:
        default = _default(default, kind, options, name, place, mistakes)
    return ParameterDeclaration(name=name, type=kind, default=default, has_default=has_default, enum_values=options)


def _enum(entry: dict[str, Any], kind: str, name: str, place: str, mistakes: list[Mistake]) -> tuple[Any, ...] | None:
    options = entry.get("EnumValues")
    if options is None:
        return None
    if not isinstance(options, list) or not options:
        found = "an empty one" if options == [] else kind_of(options)
        mistakes.append(Mistake(f"{place}.EnumValues", f"parameter {name}: EnumValues takes a list, not {found}"))
        return None
    allowed = []
    for index, option in enumerate(options):
        try:
            allowed.append(fitted(kind, option))
        except ValueError as error:
            mistakes.append(Mistake(f"{place}.EnumValues[{index}]", f"parameter {name}: {error}"))
    return tuple(allowed)


def _default(
    value: Any, kind: str, options: tuple[Any, ...] | None, name: str, place: str, mistakes: list[Mistake]
) -> Any:
    try:
        default = fitted(kind, value)
    except ValueError as error:
        remedy = "leave DefaultValue out if there is none" if value is None else ""
        mistakes.append(Mistake(f"{place}.DefaultValue", f"parameter {name}: the default {error}", remedy))
        return value
    # An Integer enum never holds a boolean (fitted saw to that), so plain equality will do.
    if options is not None and default not in options:
        allowed = listed(shown(option) for option in options)
        what = f"parameter {name}: the default {shown(default)} is not allowed; allowed are {allowed}"
        mistakes.append(Mistake(f"{place}.DefaultValue", what))
    return default
