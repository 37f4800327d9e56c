"""What does a run need, and is it there? Asked before anything runs; answers ``harness plan`` too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from harness.definition import is_static, resolve
from harness.errors import ExpressionError, HarnessError, Mistake, PreflightError
from harness.execution.jobs import EMULATED_JOBS
from harness.results import ImageUse
from harness.service.inputs import split_uri
from harness.service.spec import Frozen

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from harness.definition import Examined, Step
    from harness.execution.scope import RunScope
    from harness.storage.imports import GivenInput

__all__ = ["InputNeed", "Plan", "PlannedStep", "find_images", "make_plan"]

INLINE_KINDS = {"Condition", "Fail"}


class InputNeed(Frozen):
    """One S3 URI that a step reads and that is known before the run."""

    step: str
    name: str
    place: str
    uri: str
    state: str
    """``present``, ``given`` (--input), ``produced by <step>``, ``missing``, ``maybe`` (only if a branch is taken)."""


class PlannedStep(Frozen):
    """One step of a plan."""

    name: str
    type: str
    generation: int
    needs: tuple[str, ...]
    parent: str | None = None
    branch: str | None = None
    emulated: bool = True
    image: str | None = None
    """None where it is known only when the step starts, or the step has none."""
    image_source: str | None = None
    image_problem: str | None = None


class Plan(Frozen):
    """What a run would do: the steps in order, their images, the inputs that are needed."""

    pipeline: str
    source: str
    parameters: dict[str, Any]
    steps: tuple[PlannedStep, ...]
    inputs: tuple[InputNeed, ...]
    engine_problem: str | None = None

    def problems(self) -> tuple[list[Mistake], list[Mistake]]:
        """Give what is missing: inputs, and images (with the engine)."""
        no_data = [
            Mistake(
                need.place,
                f"step {need.step}: input {need.name!r} has no data: no object under {need.uri}",
                f"--input {need.uri}=PATH",
            )
            for need in self.inputs
            if need.state == "missing"
        ]
        no_image = [Mistake("", self.engine_problem)] if self.engine_problem else []
        seen = set()
        for step in self.steps:
            if step.image_problem and step.image not in seen:
                seen.add(step.image)
                no_image.append(Mistake(f"step {step.name}", step.image_problem))
        return no_data, no_image

    def check(self) -> None:
        """See whether everything is there.

        Raises:
            PreflightError: It is not; all that is missing is named.

        """
        no_data, no_image = self.problems()
        if no_data or no_image:
            raise PreflightError(self.source, no_data, no_image)


def make_plan(
    examined: Examined,
    scope: RunScope,
    *,
    source: str,
    given: Sequence[GivenInput],
    images: Mapping[str, ImageUse | HarnessError],
    engine_problem: str | None = None,
) -> Plan:
    """Put a plan together; ``images`` comes from `find_images` and a resolver."""
    definition, graph = examined.definition, examined.graph
    generation = {name: number for number, names in enumerate(graph.generations) for name in names}
    steps = []
    for name in (name for names in graph.generations for name in names):
        step = definition.step(name)
        uri = _static_image(step, scope)
        found = images.get(uri) if uri else None
        steps.append(
            PlannedStep(
                name=name,
                type=step.type,
                generation=generation[name],
                needs=tuple(sorted(graph.needs[name])),
                parent=step.parent,
                branch=step.branch,
                emulated=step.type in EMULATED_JOBS or step.type in INLINE_KINDS,
                image=uri,
                image_source=_source(found) if isinstance(found, ImageUse) else None,
                image_problem=_one_line(found) if isinstance(found, HarnessError) else None,
            )
        )
    return Plan(
        pipeline=scope.identity.pipeline,
        source=source,
        parameters=dict(examined.values),
        steps=tuple(steps),
        inputs=tuple(_needs(examined, scope, given)),
        engine_problem=engine_problem,
    )


def _source(use: ImageUse) -> str:
    return f"{use.source} ({use.detail})" if use.detail else use.source


def _one_line(error: HarnessError) -> str:
    return f"{error.message} – {error.remedy}" if error.remedy else error.message


def find_images(examined: Examined, scope: RunScope) -> list[str]:
    """List the image URIs that are known before the run, in the order of the steps."""
    found = (_static_image(examined.definition.step(name), scope) for name in examined.graph.order)
    return list(dict.fromkeys(uri for uri in found if uri))


def _static_image(step: Step, scope: RunScope) -> str | None:
    holder, member = {
        "Processing": ("AppSpecification", "ImageUri"),
        "Training": ("AlgorithmSpecification", "TrainingImage"),
    }.get(step.type, ("", ""))
    return _static_text(_member(step.arguments, holder, member), scope)


def _member(value: Any, *names: str) -> Any:
    """Give a member of a member; None where the request, which nobody has checked yet, has another shape."""
    for name in names:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _static_text(value: Any, scope: RunScope) -> str | None:
    if value is None or not is_static(value):
        return None
    try:
        return str(resolve(value, scope))
    except ExpressionError:
        return None  # TrainingJobName and the like: known when the step starts


def _needs(examined: Examined, scope: RunScope, given: Sequence[GivenInput]) -> Iterator[InputNeed]:
    """Look at every static input: is there an object, is one given, does a step before write there?"""
    definition, graph = examined.definition, examined.graph
    written = {step.name: list(_written(step, scope)) for step in definition.steps}
    unknown_writers = {
        step.name for step in definition.steps if step.type not in EMULATED_JOBS and step.type not in INLINE_KINDS
    }
    given_uris = [uri for one in given for uri in one.objects]
    for name in graph.order:
        step = definition.step(name)
        found = list(_read(step, scope))
        if not found:
            continue
        ancestors = graph.ancestors(name)
        before = [one for one in graph.order if one in ancestors]
        may_not_run = step.parent or any(definition.step(one).parent for one in before)
        for label, place, uri in found:
            writer = next((one for one in before if any(_meets(uri, target) for target in written[one])), None)
            state = "missing"
            if any(one.startswith(uri) for one in given_uris):
                state = "given"
            elif scope.store.keys(uri):
                state = "present"
            elif writer:
                state = f"produced by {writer}"
            elif may_not_run or ancestors & unknown_writers:
                state = "maybe"
            yield InputNeed(step=name, name=label, place=place, uri=uri, state=state)


def _meets(uri: str, target: str) -> bool:
    """Whether objects written under a prefix can be what an input prefix reads."""
    return uri.startswith(target.rstrip("/") + "/") or target.startswith(uri) or uri.rstrip("/") == target.rstrip("/")


def _read(step: Step, scope: RunScope) -> Iterator[tuple[str, str, str]]:
    """Name, place and URI of a step's static inputs."""
    if step.type == "Processing":
        rows = [
            (entry.get("InputName"), f"ProcessingInputs[{number}].S3Input.S3Uri", _member(entry, "S3Input", "S3Uri"))
            for number, entry in _entries(step, "ProcessingInputs")
            if not entry.get("AppManaged")
        ]
    elif step.type == "Training":
        rows = [
            (
                entry.get("ChannelName"),
                f"InputDataConfig[{number}].DataSource.S3DataSource.S3Uri",
                _member(entry, "DataSource", "S3DataSource", "S3Uri"),
            )
            for number, entry in _entries(step, "InputDataConfig")
        ]
    else:
        return
    for name, place, written in rows:
        uri = _static_text(written, scope)
        if uri is not None and _is_s3(uri):
            yield str(name), f"{step.place}.Arguments.{place}", uri


def _is_s3(uri: str) -> bool:
    try:
        split_uri(uri)
    except ValueError:
        return False  # refused when the step starts, in the service's words
    return True


def _entries(step: Step, *members: str) -> list[tuple[int, dict[str, Any]]]:
    entries = _member(step.arguments, *members)
    return [(n, e) for n, e in enumerate(entries) if isinstance(e, dict)] if isinstance(entries, list) else []


def _written(step: Step, scope: RunScope) -> Iterator[str]:
    """Give the URIs below which a step writes, as far as they are known."""
    arguments = step.arguments
    holders: list[Any] = []
    if step.type == "Processing":
        holders = [_member(e, "S3Output", "S3Uri") for _, e in _entries(step, "ProcessingOutputConfig", "Outputs")]
    elif step.type == "Training":
        holders = [
            _member(arguments, "OutputDataConfig", "S3OutputPath"),
            _member(arguments, "CheckpointConfig", "S3Uri"),
        ]
    for holder in holders:
        uri = _static_text(holder, scope)
        if uri and _is_s3(uri):
            yield uri
