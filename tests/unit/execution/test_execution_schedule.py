"""Does every step of whatever pipeline end in exactly one way, and does none start before what it needs?"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.definitions import condition, fail, get, pipeline, processing

from harness.definition import build, read
from harness.execution.schedule import Schedule

JOBS = {"Processing", "Training"}


def schedule_of(*steps: dict[str, Any]) -> Schedule:
    definition, mistakes = read(json.dumps(pipeline(*steps)), source="p")
    graph, wrong = build(definition)
    assert graph is not None
    assert mistakes + wrong == []
    return Schedule(definition, graph, jobs=JOBS)


def job(name: str, *after: str, reads: str = "") -> dict[str, Any]:
    environment = {"E": get(f"Steps.{reads}.ProcessingJobName")} if reads else None
    return processing(name, "image", environment=environment, **({"DependsOn": list(after)} if after else {}))


def decide(name: str, *after: str, then: Any = (), other: Any = ()) -> dict[str, Any]:
    return condition(name, 1, 1, then=then, other=other, **({"DependsOn": list(after)} if after else {}))


def take_all(schedule: Schedule, *, job: bool = True) -> list[str]:
    taken = []
    while name := schedule.take(job=job):
        taken.append(name)
    return taken


def test_what_needs_nothing_is_ready_in_the_graphs_order() -> None:
    schedule = schedule_of(job("B"), job("A"), job("C", "A"))

    assert take_all(schedule) == ["B", "A"]
    assert schedule.running == {"A", "B"}


def test_a_step_is_ready_when_all_that_it_needs_is_done() -> None:
    schedule = schedule_of(job("A"), job("B"), job("C", "A", "B"))
    take_all(schedule)

    schedule.finish("A", "done")
    assert take_all(schedule) == []

    schedule.finish("B", "done")
    assert take_all(schedule) == ["C"]


def test_jobs_and_other_steps_are_taken_apart() -> None:
    schedule = schedule_of(job("A"), decide("C"))

    assert take_all(schedule, job=False) == ["C"]
    assert take_all(schedule, job=True) == ["A"]


@pytest.mark.parametrize("ending", ["failed", "not emulated"])
def test_what_depends_on_a_step_that_did_not_succeed_is_not_started_and_the_rest_goes_on(ending: Any) -> None:
    schedule = schedule_of(job("A"), job("B", "A"), job("C", "B"), job("Other"), job("D", "Other"))
    take_all(schedule)

    schedule.finish("A", ending)
    schedule.finish("Other", "done")

    assert schedule.not_started == {"B": "A", "C": "A"}
    assert take_all(schedule) == ["D"]


def test_the_branch_that_is_not_taken_is_absent() -> None:
    schedule = schedule_of(decide("C", then=[job("Yes"), job("Yes2", "Yes")], other=[job("No")]))
    take_all(schedule, job=False)

    assert schedule.finish("C", "done", outcome=True) == ("No",)
    assert schedule.absent == {"No"}
    assert take_all(schedule) == ["Yes"]


def test_what_only_waits_for_an_absent_step_is_absent_too() -> None:
    schedule = schedule_of(decide("C", then=[job("Yes")]), job("After", "Yes"), job("Last", "After"))
    take_all(schedule, job=False)

    assert schedule.finish("C", "done", outcome=False) == ("Yes", "After", "Last")


def test_what_reads_an_absent_step_from_outside_of_its_branch_starts() -> None:
    schedule = schedule_of(decide("C", then=[job("Yes")]), job("Reader", reads="Yes"))
    take_all(schedule, job=False)

    assert schedule.finish("C", "done", outcome=False) == ("Yes",)
    assert take_all(schedule) == ["Reader"]


def test_what_reads_an_absent_step_within_the_branch_is_absent_too() -> None:
    schedule = schedule_of(decide("C", then=[job("Yes"), job("Reader", reads="Yes")]))
    take_all(schedule, job=False)

    assert schedule.finish("C", "done", outcome=False) == ("Yes", "Reader")


def test_an_absent_condition_takes_both_its_branches_along() -> None:
    inner = decide("Inner", then=[job("InnerYes")], other=[job("InnerNo")])
    schedule = schedule_of(decide("Outer", then=[inner]))
    take_all(schedule, job=False)

    assert schedule.finish("Outer", "done", outcome=False) == ("Inner", "InnerYes", "InnerNo")


def test_a_failed_condition_starts_neither_branch() -> None:
    schedule = schedule_of(decide("C", then=[job("Yes")], other=[job("No")]))
    take_all(schedule, job=False)

    schedule.finish("C", "failed")

    assert schedule.not_started == {"Yes": "C", "No": "C"}
    assert schedule.over


def test_a_step_of_a_branch_that_is_not_taken_is_absent_even_if_it_could_not_have_started() -> None:
    steps = [job("A"), decide("C", then=[job("Yes", "A")])]
    one, other = schedule_of(*steps), schedule_of(*steps)
    for schedule in (one, other):
        take_all(schedule)
        take_all(schedule, job=False)

    one.finish("A", "failed")
    one.finish("C", "done", outcome=False)
    other.finish("C", "done", outcome=False)
    other.finish("A", "failed")

    assert one.absent == other.absent == {"Yes"}
    assert one.not_started == other.not_started == {}


def test_after_a_halt_nothing_starts() -> None:
    schedule = schedule_of(job("A"), job("B"))
    schedule.take(job=True)

    schedule.halt()

    assert schedule.take(job=True) is None
    assert not schedule.over
    schedule.finish("A", "done")
    assert schedule.over


def test_a_fan_of_two_thousand_steps_and_a_chain_of_one_thousand() -> None:
    fan = schedule_of(job("A"), *(job(f"F{number}", "A") for number in range(2000)))
    fan.take(job=True)
    fan.finish("A", "done")
    assert len(take_all(fan)) == 2000

    chain = schedule_of(job("S0"), *(job(f"S{number}", f"S{number - 1}") for number in range(1, 1000)))
    for number in range(1000):
        assert take_all(chain) == [f"S{number}"]
        chain.finish(f"S{number}", "done")
    assert chain.over


def test_a_branch_of_a_chain_of_one_thousand_is_left_out_without_recursion() -> None:
    chain = [job("S0"), *(job(f"S{number}", f"S{number - 1}") for number in range(1, 1000))]
    schedule = schedule_of(decide("C", then=chain))
    take_all(schedule, job=False)

    assert len(schedule.finish("C", "done", outcome=False)) == 1000


# whatever the pipeline, whatever the endings, whatever the order


@dataclass
class Drawn:
    """A random pipeline: what each step is, waits for, reads, stands in, and how it will end."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    waits: dict[str, set[str]] = field(default_factory=dict)
    reads: dict[str, set[str]] = field(default_factory=dict)
    inside: dict[str, tuple[str, bool]] = field(default_factory=dict)
    endings: dict[str, Any] = field(default_factory=dict)
    outcomes: dict[str, bool] = field(default_factory=dict)


@st.composite
def drawn_pipelines(draw: Any) -> Drawn:
    drawn = Drawn()
    usable: list[str] = []
    conditions: dict[str, dict[str, Any]] = {}
    for number in range(draw(st.integers(1, 10))):
        name = f"S{number}"
        kind = draw(st.sampled_from(["job", "job", "job", "condition", "condition", "lambda", "fail"]))
        waits = draw(st.sets(st.sampled_from(usable), max_size=2)) if usable else set()
        reads = draw(st.sets(st.sampled_from(usable), max_size=1)) if usable else set()
        values = {f"E{at}": get(f"Steps.{read_}.ProcessingJobName") for at, read_ in enumerate(sorted(reads))}
        more = {"DependsOn": sorted(waits)} if waits else {}
        if kind == "condition":
            step = condition(name, [*values.values(), 1][0], 1, **more)
            conditions[name] = step
        elif kind == "fail":
            step = fail(name, [*values.values(), "no"][0], **more)
        else:
            step = processing(name, "image", environment=values or None, **more)
            if kind == "lambda":
                step["Type"] = "Lambda"
        home = draw(st.sampled_from([None, *sorted(set(conditions) - {name})]))
        if home is None:
            drawn.steps.append(step)
        else:
            taken = draw(st.booleans())
            conditions[home]["Arguments"]["IfSteps" if taken else "ElseSteps"].append(step)
            drawn.inside[name] = (home, taken)
        if kind != "fail":
            usable.append(name)
        drawn.waits[name], drawn.reads[name] = waits, reads
        drawn.endings[name] = draw(st.sampled_from(["done", "done", "done", "failed", "not emulated"]))
        if kind == "condition":
            drawn.outcomes[name] = draw(st.booleans())
    return drawn


def expected(drawn: Drawn) -> dict[str, str]:
    """Say how every step ends, from the definition alone: names are in an order in which they can run."""
    fate: dict[str, str] = {}
    for name in drawn.waits:
        home, taken = drawn.inside.get(name, ("", True))
        passed_over = home and (fate[home] == "absent" or (fate[home] == "done" and drawn.outcomes[home] != taken))
        if passed_over or any(fate[need] == "absent" for need in drawn.waits[name] - drawn.reads[name]):
            fate[name] = "absent"
        elif any(
            fate[need] not in {"done", "absent"} for need in drawn.waits[name] | drawn.reads[name] | ({home} - {""})
        ):
            fate[name] = "not started"
        else:
            fate[name] = "done" if drawn.endings[name] == "done" else "ended"
    return fate


@settings(deadline=None, max_examples=120)
@given(drawn=drawn_pipelines(), seed=st.integers())
def test_every_step_ends_in_exactly_one_way_and_none_starts_before_its_needs(drawn: Drawn, seed: int) -> None:
    chance = random.Random(seed)  # noqa: S311 – no secret
    schedule = schedule_of(*drawn.steps)
    started: list[str] = []

    while not schedule.over:
        if taken := schedule.take(job=chance.random() < 0.5):
            assert schedule.graph.needs[taken] <= schedule.ended | schedule.absent
            started.append(taken)
        elif schedule.running:
            name = chance.choice(sorted(schedule.running))
            outcome = drawn.outcomes.get(name) if drawn.endings[name] == "done" else None
            gone = schedule.finish(name, drawn.endings[name], outcome=outcome)
            assert set(gone) <= schedule.absent

    fates = {"done": schedule.ended, "absent": schedule.absent, "not started": set(schedule.not_started)}
    assert sorted(started) == sorted(schedule.ended)
    assert sorted(name for names in fates.values() for name in names) == sorted(drawn.waits)
    assert {name: fate for fate, names in fates.items() for name in names} == {
        name: "done" if fate == "ended" else fate for name, fate in expected(drawn).items()
    }
    for name, reason in schedule.not_started.items():
        assert drawn.endings[reason] != "done"
        assert reason in schedule.graph.ancestors(name)
