"""How is a whole run made in this process? With the null engine and a workspace in a scratch folder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from harness.config import Settings
from harness.definition import examine
from harness.engine.null import NullEngine, NullImages, Script
from harness.execution.events import Journal, now, read_events
from harness.execution.executor import PipelineExecutor
from harness.execution.jobs import RunContext
from harness.execution.scope import RunScope
from harness.execution.workspace import Workspace
from harness.service.names import Identity
from support.definitions import pipeline

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from pathlib import Path

    from harness.results import RunResult, StepResult

__all__ = ["ACCOUNT", "RUN_ID", "Script", "Simulation"]

RUN_ID, ACCOUNT = "abcdefghijkl", "111122223333"


class Simulation:
    """A workspace and an engine of scripts; `run` runs steps in them."""

    def __init__(
        self,
        root: Path,
        scripts: Mapping[str, Script] | None = None,
        *,
        missing_images: Collection[str] = (),
        **engine: Any,
    ) -> None:
        self.workspace = Workspace(root)
        self.workspace.make()
        self.store = self.workspace.store
        self.engine = NullEngine(scripts or {}, **engine)
        self.images = NullImages(missing=missing_images)
        self.run_id = RUN_ID

    def put(self, uri: str, text: str = "content") -> None:
        """Put an object into the store."""
        source = self.workspace.scratch / "given"
        source.write_text(text, encoding="utf-8")
        self.store.put(source, uri, writer="the test")

    def text(self, uri: str) -> str:
        """Read an object of the store."""
        return self.store.path(uri).read_text(encoding="utf-8")

    def prepare(
        self,
        *steps: Mapping[str, Any],
        parameters: Sequence[Mapping[str, Any]] = (),
        values: Mapping[str, Any] | None = None,
        observers: Sequence[Any] = (),
        **settings: Any,
    ) -> PipelineExecutor:
        """Make everything ready for a run."""
        text = json.dumps(pipeline(*steps, parameters=parameters))
        examined = examine(text, source="pipeline.json", given=values or {})
        identity = Identity("us-east-1", ACCOUNT, "simulated", self.run_id)
        scope = RunScope(examined.definition, examined.values, identity, self.store, started_at=now(), now=now)
        self.folder = self.workspace.new_run(self.run_id)
        self.journal = Journal(self.folder.events, observers)
        context = RunContext(
            workspace=self.workspace,
            folder=self.folder,
            scope=scope,
            engine=self.engine,
            images=self.images,
            mode=self.engine.staging_mode(self.workspace.scratch, ""),
            journal=self.journal,
            settings=Settings(**settings),
        )
        return PipelineExecutor(examined, context, source="pipeline.json")

    def run(self, *steps: Mapping[str, Any], **options: Any) -> RunResult:
        """Run steps to their end; see `prepare` for the options."""
        executor = self.prepare(*steps, **options)
        try:
            self.result = executor.run()
        finally:
            self.journal.close()
        return self.result

    def step(self, name: str) -> StepResult:
        """Give a step's result of the last run. KeyError if it has none."""
        found = {step.name: step for step in self.result.steps}
        return found[name]

    def statuses(self) -> dict[str, str]:
        """Give every step's status of the last run."""
        return {step.name: step.status for step in self.result.steps}

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        """Read the last run's events, all of them or those of one kind."""
        return [event for event in read_events(self.folder.events) if kind in {"", event["event"]}]
