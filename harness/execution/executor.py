"""How does a whole pipeline run? Ready steps side by side, events for everything, a result at the end."""

from __future__ import annotations

import concurrent.futures
import contextlib
import json
import queue
import signal
import threading
import time
from typing import TYPE_CHECKING, Any

from harness.definition import conditions, resolve, text_of
from harness.engine.labels import owner_labels
from harness.errors import ExpressionError, HarnessError
from harness.execution.events import now
from harness.execution.jobs import EMULATED_JOBS, FinishedStep, JobRunner, RunContext, bug_of_ours
from harness.execution.schedule import Ending, Schedule
from harness.results import RunResult, RunStatus, StepResult, exit_code_of
from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from harness.definition import Examined, Step

__all__ = ["PipelineExecutor"]

STEP_FAILURE = "Step failure: One or multiple steps failed."
_SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")  # the last one: the terminal was closed


class PipelineExecutor:
    """Runs one pipeline once."""

    def __init__(self, examined: Examined, context: RunContext, *, source: str) -> None:
        """Keep what is to be run and what it runs with."""
        self.examined, self.context, self.source = examined, context, source
        self.schedule = Schedule(examined.definition, examined.graph, jobs=EMULATED_JOBS)
        self.runner = JobRunner(context)
        self._results: dict[str, StepResult] = {}
        self._inbox: queue.SimpleQueue[FinishedStep | int] = queue.SimpleQueue()
        self._interrupts = 0
        self._began = time.monotonic()

    def run(self) -> RunResult:
        """Run every step that can run.

        The first SIGINT, SIGTERM or SIGHUP ends the containers politely, the second at once; either way the result is
        complete and nothing is left in the engine.
        """
        journal, settings = self.context.journal, self.context.settings
        definition = self.examined.definition
        journal.write(
            "run.started",
            run_id=self.context.run_id,
            pipeline=self.context.scope.identity.pipeline,
            source=self.source,
            workspace=str(self.context.workspace.root),
            run_dir=str(self.context.folder.path),
            parameters=dict(self.examined.values),
            staging=self.context.mode,
            steps=[{"name": step.name, "type": step.type} for step in definition.steps],
        )
        self._write_record("Executing")
        with (
            _signals_into(self._inbox.put),
            concurrent.futures.ThreadPoolExecutor(max_workers=settings.jobs, thread_name_prefix="step") as pool,
        ):
            try:
                self._loop(pool, settings.jobs)
            except BaseException:  # the record cannot be written, or a bug: no container may outlive us
                self.runner.stop(0)
                raise
        return self._finish()

    def _loop(self, pool: concurrent.futures.Executor, jobs: int) -> None:
        running = 0
        while True:
            while name := self.schedule.take(job=False):
                self._ended(self._inline(self.examined.definition.step(name)))
            if running < jobs and (name := self.schedule.take(job=True)):
                running += 1
                pool.submit(self._work, self.examined.definition.step(name))
                continue
            if not running:
                return
            message = self._inbox.get()
            if isinstance(message, int):
                self._interrupted(message)
            else:
                running -= 1
                self._ended(message)

    def _work(self, step: Step) -> None:
        try:
            finished = self.runner.run(step)
        except BaseException as error:  # noqa: BLE001 – the loop waits for an answer, whatever has happened
            text = f"the harness itself failed: {type(error).__name__}: {files.printable(str(error))}"
            finished = FinishedStep(
                StepResult(
                    name=step.name,
                    type=step.type,
                    status="Failed",
                    attempts=1,
                    failure_reason=text,
                    cause=text,
                    cause_kind="infrastructure",
                )
            )
        self._inbox.put(finished)

    def _interrupted(self, number: int) -> None:
        """Stop: politely the first time, at once the second time."""
        self._interrupts += 1
        self.schedule.halt()
        self.context.journal.write("run.interrupted", signal=signal.Signals(number).name, count=self._interrupts)
        self.runner.stop(self.context.settings.interrupt_grace_s if self._interrupts == 1 else 0)

    # steps without a container

    def _inline(self, step: Step) -> FinishedStep:
        began, started_at = time.monotonic(), now()
        self.context.journal.write("step.started", step=step.name, type=step.type, attempt=1)
        base = StepResult(name=step.name, type=step.type, status="Succeeded", attempts=1, started_at=started_at)
        try:
            if step.type == "Condition":
                finished = self._condition(step, base)
            elif step.type == "Fail":
                finished = self._fail(step, base)
            else:
                cause = f"steps of type {step.type} are not emulated yet"
                finished = FinishedStep(
                    base.model_copy(update={"status": "NotEmulated", "cause": cause, "cause_kind": "not emulated"})
                )
        except ExpressionError as error:
            # An error, never False: a condition that cannot be evaluated must not choose a branch.
            finished = FinishedStep(
                base.model_copy(
                    update={
                        "status": "Failed",
                        "failure_reason": error.message,
                        "cause": str(error),
                        "cause_kind": "definition",
                    }
                )
            )
        except Exception as error:  # noqa: BLE001 – a bug of ours must not take the other steps' results along
            known = error if isinstance(error, HarnessError) else bug_of_ours(self.context, step, error)
            failed = {"status": "Failed", "failure_reason": known.message, "cause_kind": "infrastructure"}
            finished = FinishedStep(base.model_copy(update={**failed, "cause": str(known)}))
        duration = round(time.monotonic() - began, 3)
        return FinishedStep(finished.result.model_copy(update={"duration_s": duration}), finished.properties)

    def _condition(self, step: Step, base: StepResult) -> FinishedStep:
        outcome = conditions.evaluate(step.arguments.get("Conditions") or (), self.context.scope)
        # As metadata ``True``, in strings ``true`` (contract f.2, captured).
        result = base.model_copy(update={"outcome": str(outcome)})
        return FinishedStep(result, {"Outcome": text_of(outcome)})

    def _fail(self, step: Step, base: StepResult) -> FinishedStep:
        message = resolve(step.arguments.get("ErrorMessage", ""), self.context.scope)
        text = text_of(message) if message != "" else ""
        return FinishedStep(
            base.model_copy(update={"status": "Failed", "failure_reason": text or None, "cause_kind": "algorithm"})
        )

    # bookkeeping

    def _ended(self, finished: FinishedStep) -> None:
        result, schedule = finished.result, self.schedule
        self._results[result.name] = result
        if finished.properties is not None:
            self.context.scope.add(result.name, finished.properties)
        ending: Ending = "done" if result.status == "Succeeded" else "failed"
        if result.status == "NotEmulated":
            ending = "not emulated"
        outcome = None if result.outcome is None else result.outcome == "True"
        self.context.journal.write(
            "step.finished",
            step=result.name,
            result=result.model_dump(mode="json"),
            tail=[] if result.status == "Succeeded" else list(finished.tail),
        )
        gone = schedule.finish(result.name, ending, outcome=outcome)
        if outcome is not None:
            self.context.journal.write("condition.evaluated", step=result.name, outcome=outcome, left_out=list(gone))
        for name in gone:
            self.context.scope.leave_out(name, f"the branch of {result.name} that it stands in was not taken")
        if ending == "failed" and self.context.settings.fail_fast:
            schedule.halt()

    def _finish(self) -> RunResult:
        steps = tuple(self._in_document_order())
        code = exit_code_of(steps, interrupted=bool(self._interrupts))
        failed = any(step.status in {"Failed", "Stopped"} for step in steps)
        status: RunStatus = (
            "Interrupted" if self._interrupts else "Failed" if failed else "Inconclusive" if code else "Succeeded"
        )
        result = self._record(status, steps, code, STEP_FAILURE if failed else None)
        files.write_text(self.context.folder.record, result.model_dump_json(indent=2) + "\n")
        self.context.journal.write("run.finished", result=result.model_dump(mode="json"))
        return result

    def _in_document_order(self) -> Iterator[StepResult]:
        """Give every step's result; those that did not start say why, those of branches not taken are absent."""
        schedule = self.schedule
        for step in self.examined.definition.steps:
            if step.name in self._results:
                yield self._results[step.name]
            elif step.name not in schedule.absent:
                reason = schedule.not_started.get(step.name)
                status = self._results[reason].status if reason else None
                why = "the run was stopped" if self._interrupts else "the run stops at the first failure (--fail-fast)"
                if reason:
                    why = f"it depends on {reason}, which " + (
                        "is not emulated"
                        if status == "NotEmulated"
                        else "was stopped"
                        if status == "Stopped"
                        else "failed"
                    )
                yield StepResult(
                    name=step.name,
                    type=step.type,
                    status="NotStarted",
                    cause=f"not started: {why}",
                    cause_kind="interrupted" if self._interrupts else "upstream",
                )

    def _record(self, status: Any, steps: tuple[StepResult, ...], code: int, reason: str | None) -> RunResult:
        scope = self.context.scope
        return RunResult(
            run_id=self.context.run_id,
            pipeline=scope.identity.pipeline,
            status=status,
            exit_code=code,
            failure_reason=reason,
            run_dir=str(self.context.folder.path),
            source=self.source,
            parameters=dict(self.examined.values),
            started_at=scope.started_at,
            duration_s=round(time.monotonic() - self._began, 3),
            steps=steps,
        )

    def _write_record(self, status: str) -> None:
        """Leave a record from the start: a run that is killed can still be listed."""
        record = self._record("Interrupted", (), 130, None).model_copy(update={"status": status})
        files.write_text(self.context.folder.owner, json.dumps(owner_labels()) + "\n")
        files.write_text(self.context.folder.record, record.model_dump_json(indent=2, warnings=False) + "\n")


@contextlib.contextmanager
def _signals_into(put: Callable[[int], Any]) -> Iterator[None]:
    """Take signals as messages while a run goes; only the main thread can. What is ignored stays so (nohup)."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [getattr(signal, name) for name in _SIGNALS if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    heeded = {number: handler for number, handler in before.items() if handler != signal.SIG_IGN}
    for number in heeded:
        signal.signal(number, lambda number, _frame: put(number))
    try:
        yield
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)
