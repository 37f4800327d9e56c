"""Does the graph know who needs whom, in which order, and what keeps the steps from running?"""

from __future__ import annotations

import json
from typing import Any

import networkx as nx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from harness.definition import PipelineDefinition, StepGraph, build, read
from harness.definition._cycles import find_cycles

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def get(path: str) -> dict[str, Any]:
    return {"Get": path}


def step(name: str, *after: str, kind: str = "Processing", uses: Any = None, **more: Any) -> dict[str, Any]:
    written: dict[str, Any] = {
        "Name": name,
        "Type": kind,
        "Arguments": {} if uses is None else {"Environment": {"E": uses}},
        **more,
    }
    return {**written, "DependsOn": list(after)} if after else written


def condition(name: str, *after: str, then: Any = (), other: Any = (), asks: Any = 1) -> dict[str, Any]:
    asked = {"Type": "Equals", "LeftValue": asks, "RightValue": 1}
    written = step(name, *after, kind="Condition")
    return {**written, "Arguments": {"Conditions": [asked], "IfSteps": list(then), "ElseSteps": list(other)}}


def fail(name: str, *after: str) -> dict[str, Any]:
    return {**step(name, *after, kind="Fail"), "Arguments": {"ErrorMessage": "no"}}


def definition_of(*steps: Any, **more: Any) -> PipelineDefinition:
    text = json.dumps({"Version": "2020-12-01", "Steps": list(steps), **more})
    return read(text, source="p")[0]


def graph_of(*steps: Any) -> StepGraph:
    graph, mistakes = build(definition_of(*steps))
    assert mistakes == []
    assert graph is not None
    return graph


def mistakes_of(*steps: Any, **more: Any) -> list[tuple[str, str]]:
    _, mistakes = build(definition_of(*steps, **more))
    return [(mistake.place, f"{mistake.what} {mistake.remedy}") for mistake in mistakes]


def test_a_chain_written_backwards_is_ordered_forwards() -> None:
    graph = graph_of(step("C", "B"), step("B", "A"), step("A"))

    assert graph.order == ("A", "B", "C")
    assert graph.generations == (("A",), ("B",), ("C",))


def test_those_that_are_ready_come_in_document_order() -> None:
    graph = graph_of(step("D", "Z"), step("B"), step("Z"), step("A"))

    assert graph.order == ("B", "Z", "D", "A")
    assert graph.generations == (("B", "Z", "A"), ("D",))


@pytest.mark.parametrize(
    "uses",
    [
        get("Steps.A.ProcessingJobName"),
        get("Steps.A.ProcessingOutputConfig.Outputs['o'].S3Output.S3Uri"),
        {"Std:Join": {"Values": ["x", get("Steps.A.X")]}},
        {"Std:JsonGet": {"PropertyFile": get("Steps.A.PropertyFiles.F"), "Path": "m"}},
        {"Std:JsonGet": {"S3Uri": {"Std:Join": {"Values": [get("Steps.A.X"), "/r.json"]}}, "Path": "m"}},
        [{"deep": [get("Steps.A.X")]}],
    ],
)
def test_a_reference_alone_makes_an_edge(uses: Any) -> None:
    files = [{"PropertyFileName": "F", "OutputName": "o", "FilePath": "f.json"}]
    graph = graph_of(step("B", uses=uses), step("A", PropertyFiles=files))

    assert graph.needs == {"B": {"A"}, "A": frozenset()}
    assert graph.dependents == {"A": {"B"}, "B": frozenset()}


def test_a_reference_beside_the_arguments_makes_an_edge_too() -> None:
    graph = graph_of(step("Check", kind="QualityCheck", SuppliedBaselineStatistics=get("Steps.A.X")), step("A"))

    assert graph.needs["Check"] == {"A"}


def test_branch_steps_need_their_condition_which_needs_only_what_it_asks() -> None:
    inner = step("X", uses=get("Steps.B.X"))
    graph = graph_of(condition("C", then=[inner], other=[step("Y", "X")], asks=get("Steps.A.X")), step("A"), step("B"))

    assert graph.needs["C"] == {"A"}
    assert graph.needs["X"] == {"C", "B"}
    assert graph.needs["Y"] == {"C", "X"}


def test_nested_branches_need_the_inner_condition() -> None:
    graph = graph_of(condition("Outer", then=[condition("Inner", then=[step("X")])]))

    assert graph.needs == {"Outer": frozenset(), "Inner": {"Outer"}, "X": {"Inner"}}


def test_a_for_each_step_is_one_with_its_body() -> None:
    body = [step("One"), step("Two", uses=get("Steps.One.X")), step("Three", uses=get("Steps.A.X"))]
    graph = graph_of({**step("Each", kind="ForEach"), "Arguments": {"ForEachBody": body}}, step("A"))

    assert graph.needs == {"Each": {"A"}, "A": frozenset()}


def test_ancestors_and_descendants_reach_all_the_way() -> None:
    graph = graph_of(step("A"), step("B", "A"), step("C", "B"), step("D", "A"), step("E"))

    assert graph.ancestors("C") == {"A", "B"}
    assert graph.descendants("A") == {"B", "C", "D"}
    assert graph.ancestors("E") == graph.descendants("E") == frozenset()
    with pytest.raises(KeyError):
        graph.ancestors("Nobody")


@pytest.mark.parametrize(
    ("steps", "place", "said"),
    [
        ([step("A"), step("B", "Phantom")], "Steps[1].DependsOn[0]", "step B depends on Phantom, but there is no step"),
        ([step("A"), step("B", "Phantom")], "Steps[1].DependsOn[0]", "there are A, B"),
        ([step("Prepare"), step("B", "prepare")], "Steps[1].DependsOn[0]", "did you mean Prepare?"),
        ([step("A"), step("B", uses=get("Steps.Ghost.X.Y"))], "Steps[1].Arguments.Environment.E",
         "(Steps.Ghost.X.Y) to Ghost"),
        ([condition("C", then=[step("X", "Spectre")])], "Steps[0].Arguments.IfSteps[0].DependsOn[0]",
         "step X depends on Spectre"),
        ([condition("C", asks=get("Steps.Ghost.X"))], "Steps[0].Arguments.Conditions[0].LeftValue", "step C refers"),
        ([step("A"), step("B", uses={"Std:JsonGet": {"PropertyFile": get("Steps.A.PropertyFiles.Absent"),
         "Path": "a"}})],
         "Steps[1].Arguments.Environment.E.Std:JsonGet.PropertyFile", "property file Absent, which A does not declare"),
        ([step("A", uses=get("Parameters.Undeclared"))], "Steps[0].Arguments.Environment.E",
         "the parameter Undeclared"),
        ([fail("Stop"), step("After", "Stop")], "Steps[1].DependsOn[0]", "step After depends on the Fail step Stop"),
        ([fail("Stop"), step("After", uses=get("Steps.Stop.X"))], "Steps[1].Arguments.Environment.E",
         "to the Fail step Stop"),
        ([condition("C", other=[fail("Stop")]), step("After", "Stop")], "Steps[1].DependsOn[0]", "the Fail step Stop"),
        ([step("N", "N")], "Steps[0]", "step N depends on itself: N → N"),
        ([step("N", uses=get("Steps.N.X"))], "Steps[0]", "N → N"),
        ([step("A", "B"), step("B", "A")], "Steps[0]", "A → B → A"),
        ([step("A", "C"), step("B", "A"), step("C", "B")], "Steps[0]", "A → C → B → A"),
        ([step("One", uses=get("Steps.Two.X")), step("Two", uses=get("Steps.One.X"))], "Steps[0]", "One → Two → One"),
        ([condition("C", then=[step("X")], asks=get("Steps.X.Y"))], "Steps[0]", "C → X → C"),
        ([condition("C", "X", then=[step("X")])], "Steps[0]", "C → X → C"),
        ([step("Z"), step("Twin"), step("Twin", "Ghost")], "Steps[2].DependsOn[0]", "Ghost"),
    ],
)  # fmt: skip
def test_what_does_not_fit_together_is_a_mistake_with_its_place(steps: list[Any], place: str, said: str) -> None:
    ((found_place, what),) = mistakes_of(*steps)

    assert found_place == place
    assert said in what


def test_the_experiment_config_may_use_parameters_but_no_steps() -> None:
    config = {"ExperimentName": get("Parameters.Nope"), "TrialName": get("Steps.A.X")}

    found = mistakes_of(step("A"), PipelineExperimentConfig=config)

    assert [place for place, _ in found] == [
        "PipelineExperimentConfig.ExperimentName",
        "PipelineExperimentConfig.TrialName",
    ]


def test_a_declared_parameter_is_no_mistake() -> None:
    assert mistakes_of(step("A", uses=get("Parameters.P")), Parameters=[{"Name": "P", "Type": "String"}]) == []


def test_every_circle_is_named_once_by_a_shortest_cycle() -> None:
    small = [step("A", "B"), step("B", "A")]
    large = [step("D", "E", "F"), step("E", "F"), step("F", "D")]

    found = mistakes_of(*large, step("Free"), *small, step("Behind", "A"))

    assert [what.rpartition(": ")[2].partition(" take")[0] for _, what in found] == ["D → F → D", "A → B → A"]


def test_of_two_steps_with_one_name_only_the_first_has_edges() -> None:
    graph, mistakes = build(definition_of(step("Twin"), step("A", "Twin"), step("Twin", "A")))

    assert mistakes == []
    assert graph is not None
    assert graph.needs == {"Twin": frozenset(), "A": {"Twin"}}


def test_there_is_no_graph_where_there_is_no_order() -> None:
    graph, _ = build(definition_of(step("A", "B"), step("B", "A")))

    assert graph is None


def test_a_step_that_is_not_there_leaves_a_graph_of_the_others() -> None:
    graph, mistakes = build(definition_of(step("A", "Ghost"), step("B", "A")))

    assert graph is not None
    assert graph.order == ("A", "B")
    assert len(mistakes) == 1


@st.composite
def graphs(draw: st.DrawFn, *, acyclic: bool) -> dict[str, list[str]]:
    """Draw names with the names that each of them needs, in any document order."""
    names = [f"S{number}" for number in range(draw(st.integers(1, 9)))]
    needs = {
        name: draw(st.lists(st.sampled_from(names[:index] if acyclic else names), unique=True))
        if index or not acyclic
        else []
        for index, name in enumerate(names)
    }
    return {name: needs[name] for name in draw(st.permutations(names))}


@PATIENT
@given(graphs(acyclic=True))
def test_every_order_respects_the_needs(needs: dict[str, list[str]]) -> None:
    graph = graph_of(*[step(name, *after) for name, after in needs.items()])

    position = {name: index for index, name in enumerate(graph.order)}
    level = {name: index for index, generation in enumerate(graph.generations) for name in generation}
    assert sorted(position) == sorted(level) == sorted(needs)
    for name, after in needs.items():
        assert all(position[need] < position[name] and level[need] < level[name] for need in after)
        assert level[name] == max((level[need] + 1 for need in after), default=0)
        assert graph.ancestors(name) == nx.ancestors(
            nx.DiGraph([(n, x) for x in needs for n in needs[x]] + [(name, "end")]), name
        )


@PATIENT
@given(graphs(acyclic=False))
def test_cycles_are_found_if_and_only_if_there_are_any(needs: dict[str, list[str]]) -> None:
    reference = nx.DiGraph()
    reference.add_nodes_from(needs)
    reference.add_edges_from((name, need) for name, after in needs.items() for need in after)

    graph, mistakes = build(definition_of(*[step(name, *after) for name, after in needs.items()]))

    assert (graph is not None) is nx.is_directed_acyclic_graph(reference)
    circles = [group for group in nx.strongly_connected_components(reference) if len(group) > 1]
    assert len(mistakes) == len(circles) + nx.number_of_selfloops(reference)


@PATIENT
@given(graphs(acyclic=False))
def test_a_named_cycle_is_a_cycle_and_none_is_shorter(needs: dict[str, list[str]]) -> None:
    edges = {name: set(after) for name, after in needs.items()}
    reference = nx.DiGraph([(name, need) for name, after in needs.items() for need in after if need != name])

    for cycle in find_cycles(list(needs), edges):
        assert len(set(cycle)) == len(cycle)
        assert all(need in edges[name] for name, need in zip(cycle, cycle[1:] + cycle[:1], strict=True))
        group = next(g for g in nx.strongly_connected_components(reference) if cycle[0] in g)
        assert len(cycle) == min(map(len, nx.simple_cycles(reference.subgraph(group))))
        assert cycle[0] == min(cycle, key=list(needs).index)


def test_a_chain_of_1200_steps_is_ordered() -> None:
    chain = [step(f"s{n}", f"s{n - 1}") if n else step("s0") for n in range(1200)]

    graph = graph_of(*reversed(chain))

    assert graph.order == tuple(f"s{n}" for n in range(1200))
    assert len(graph.generations) == 1200
    assert len(graph.ancestors("s1199")) == 1199


def test_a_fan_of_2000_steps_is_ordered() -> None:
    fan = [step(f"f{n}", "root") for n in range(2000)]

    graph = graph_of(step("last", *[f"f{n}" for n in range(2000)]), *fan, step("root"))

    assert [len(generation) for generation in graph.generations] == [1, 2000, 1]
    assert graph.order[0] == "root"
    assert graph.order[-1] == "last"


def test_a_ring_of_2000_steps_is_one_cycle() -> None:
    ring = [step(f"s{n}", f"s{(n + 1) % 2000}") for n in range(2000)]

    ((place, what),) = mistakes_of(*ring)

    assert place == "Steps[0]"
    assert what.count("→") == 2000


def test_conditions_nested_60_deep_are_ordered() -> None:
    inner = [step("X")]
    for depth in range(60):
        inner = [condition(f"C{depth}", then=inner)]

    assert graph_of(*inner).order[-1] == "X"
