"""Simulated runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from support.simulation import Simulation

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def simulation(tmp_path: Path) -> Callable[..., Simulation]:
    """Make a simulation: scripts by step, then the engine's options."""

    def make(scripts: Any = None, **options: Any) -> Simulation:
        return Simulation(tmp_path / "workspace", scripts, **options)

    return make
