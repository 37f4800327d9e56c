"""Does the seed design's resolver answer its questions?"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from harness.definition import PipelineDAGResolver, PipelineDefinition, read
from harness.errors import DefinitionError

ALL_STEP_KINDS = Path(__file__).parent / "data" / "all_v2.json"


def step(name: str, *after: str) -> dict[str, Any]:
    return {"Name": name, "Type": "Processing", "Arguments": {}, "DependsOn": list(after)}


def resolver(*steps: Any) -> PipelineDAGResolver:
    return PipelineDAGResolver(read(json.dumps({"Version": "2020-12-01", "Steps": steps}), source="p")[0])


@pytest.fixture
def sdk() -> PipelineDefinition:
    return read(ALL_STEP_KINDS.read_text(), source="all_v2.json")[0]


def test_a_plan_has_order_configs_dependencies_and_data_flow(sdk: PipelineDefinition) -> None:
    plan = PipelineDAGResolver(sdk).create_execution_plan()

    assert plan.execution_order[:2] == ["Prep", "Train"]
    assert plan.step_configs["Train"] == sdk.step("Train").arguments
    assert plan.dependencies["Check"] == ["Prep", "Train"]
    assert plan.data_flow_map["Train"] == {"train": "Prep:out"}
    assert plan.data_flow_map["Mod-CreateModel"] == {
        "PrimaryContainer.ModelDataUrl": "Train:ModelArtifacts.S3ModelArtifacts"
    }
    assert plan.data_flow_map["Cb"] == {"x": "Lam:OutputParameters['o']"}


def test_a_plan_of_a_broken_graph_is_refused() -> None:
    with pytest.raises(DefinitionError, match="Ghost"):
        resolver(step("A", "Ghost")).create_execution_plan()


def test_a_sound_graph_has_empty_findings(sdk: PipelineDefinition) -> None:
    assert PipelineDAGResolver(sdk).validate_dag_integrity() == {
        "cycles": [], "dangling_dependencies": [], "isolated_nodes": ["Tune"],
    }  # fmt: skip


def test_cycles_dangling_dependencies_and_isolated_nodes_are_named() -> None:
    found = resolver(
        step("A", "B"), step("B", "A"), step("N", "N"), step("D", "Ghost"), step("E", "A")
    ).validate_dag_integrity()

    assert found == {
        "cycles": ["N → N", "A → B → A"],
        "dangling_dependencies": ["D → Ghost"],
        "isolated_nodes": ["D"],
    }


def test_a_pipeline_of_one_step_has_no_isolated_node() -> None:
    assert resolver(step("A")).validate_dag_integrity()["isolated_nodes"] == []


def test_a_cycle_keeps_no_one_from_asking_for_neighbours() -> None:
    ring = resolver(step("A", "B"), step("B", "A"), step("C", "A"))

    assert ring.get_step_dependencies("A") == ["B"]
    assert ring.get_dependent_steps("A") == ["B", "C"]


def test_an_unknown_step_has_no_neighbours() -> None:
    with pytest.raises(KeyError):
        resolver(step("A")).get_step_dependencies("B")
    with pytest.raises(KeyError):
        resolver(step("A")).get_dependent_steps("B")


def test_a_preview_says_what_is_known_before_a_run(sdk: PipelineDefinition) -> None:
    preview = PipelineDAGResolver(sdk).get_config_resolution_preview()

    assert preview["Lam"] == {"type": "Lambda", "references": ["Parameters.N"], "is_static": True}
    assert preview["Cb"] == {"type": "Callback", "references": ["Steps.Lam.OutputParameters['o']"], "is_static": False}
