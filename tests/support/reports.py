"""What did a probe container report, and what does the contract expect? For the conformance tests."""

from __future__ import annotations

import json
import re
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from support import trees

if TYPE_CHECKING:
    from support.cli import Outcome

__all__ = ["described", "golden", "masked", "packed", "report", "said", "shown_tree"]

_GOLDEN = Path(__file__).parents[1] / "conformance" / "golden"
_IMAGE = re.compile(r"sagemaker-harness-tests/probe:[a-z]+-[0-9a-f]{12}")


def golden(name: str) -> str:
    """Read an expectation, byte for byte."""
    return (_GOLDEN / name).read_bytes().decode("utf-8")


def masked(text: str) -> str:
    """Replace what differs from session to session."""
    return _IMAGE.sub("<image>", trees.masked(text))


def packed(outcome: Outcome, step: str, name: str = "model.tar.gz") -> Path:
    """Find the archive of a training step."""
    found = list(outcome.stored(step).glob(f"*/output/{name}"))
    assert len(found) == 1, f"{len(found)} {name} of {step}\n{outcome}"
    return found[0]


def report(outcome: Outcome, step: str, host: str = "algo-1") -> dict[str, Any]:
    """Read what a probe saw: from a processing step's output, from a training step's archive, or from its log."""
    name = f"report-{host}.json"
    for place in (outcome.stored(f"{step}/out/{name}"), outcome.stored(f"{step}/{name}")):
        if place.is_file():
            return dict(json.loads(place.read_text()))
    with tarfile.open(packed(outcome, step, "output.tar.gz")) as tar:
        handle = tar.extractfile(name)
        assert handle is not None
        return dict(json.loads(handle.read()))


def said(outcome: Outcome, step: str, host: str = "algo-1") -> list[str]:
    """Read the lines of a step's log, without times and streams."""
    path = outcome.run_dir / "steps" / step / "1" / host / "log.txt"
    return [line.split(" ", 2)[2] for line in path.read_text().splitlines()]


def described(outcome: Outcome, step: str) -> dict[str, Any]:
    """Read a job's description."""
    return dict(json.loads((outcome.run_dir / "steps" / step / "1" / "describe.json").read_text()))


def shown_tree(seen: dict[str, Any]) -> dict[str, str]:
    """Give the tree of a report in the golden files' form."""
    return {path: f"{entry['kind']} {entry['mode']} {entry['owner']}" for path, entry in sorted(seen["tree"].items())}
