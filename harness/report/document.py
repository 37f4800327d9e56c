"""What is the one JSON document that ``--json`` prints?

Plain ASCII: whatever encoding standard output has, the document is valid.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.execution.preflight import Plan
    from harness.results import RunResult

__all__ = ["plan_document", "run_document"]


def run_document(result: RunResult) -> str:
    """Write a run's result."""
    return json.dumps(result.model_dump(mode="json"), indent=2)


def plan_document(plan: Plan) -> str:
    """Write a plan, with what is missing."""
    no_data, no_image = plan.problems()
    document: dict[str, Any] = plan.model_dump(mode="json")
    document["missing"] = {"inputs": [str(one) for one in no_data], "images": [str(one) for one in no_image]}
    return json.dumps(document, indent=2)
