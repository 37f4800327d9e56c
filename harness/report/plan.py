"""How is a plan shown to a person? Steps in order, images and their sources, inputs, what is missing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.report import words

if TYPE_CHECKING:
    from harness.execution.preflight import Plan, PlannedStep

__all__ = ["plan_text"]

_NAMED = 5


def plan_text(plan: Plan) -> str:
    """Write a plan as text."""
    parts = [f"{plan.pipeline} ({plan.source}): {len(plan.steps)} step{'' if len(plan.steps) == 1 else 's'}"]
    if plan.parameters:
        parts.append("\nParameters\n" + words.table([(n, _text(v)) for n, v in plan.parameters.items()], indent="  "))
    rows = [("stage", "step", "type", "after")]
    rows += [
        (str(step.generation + 1), step.name, step.type + ("" if step.emulated else " (not emulated)"), _after(step))
        for step in plan.steps
    ]
    parts.append(
        "\nSteps, in the order in which they can start (one stage can run at the same time)\n"
        + words.table(rows, indent="  ")
    )
    if images := _images(plan):
        parts.append("\nImages\n" + words.table(images, indent="  "))
    if plan.inputs:
        rows_in = [(need.uri, need.state, f"{need.step}: {need.name}") for need in plan.inputs]
        parts.append("\nInputs\n" + words.table(rows_in, indent="  "))
    no_data, no_image = plan.problems()
    if no_data or no_image:
        parts.append("\nMissing\n" + "\n".join(f"  {mistake}" for mistake in [*no_data, *no_image]))
    return "\n".join(parts)


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _after(step: PlannedStep) -> str:
    words_ = [name for name in step.needs if name != step.parent]
    if step.parent:
        words_.insert(0, f"{step.parent} is {'true' if step.branch == 'IfSteps' else 'false'}")
    return ", ".join(words_)


def _images(plan: Plan) -> list[tuple[str, str, str]]:
    users: dict[str, list[PlannedStep]] = {}
    for step in plan.steps:
        if step.image:
            users.setdefault(step.image, []).append(step)
    return [
        (
            uri,
            steps[0].image_source or ("nobody has it" if steps[0].image_problem else "not looked up"),
            ", ".join(step.name for step in steps[:_NAMED])
            + (f" and {len(steps) - _NAMED} more" if len(steps) > _NAMED else ""),
        )
        for uri, steps in users.items()
    ]
