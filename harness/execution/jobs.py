"""How does one Processing or Training step run, from its arguments to its result?

resolve → lay out → stage → prepare, start, wait, collect → judge → publish → describe.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from harness.definition import resolve
from harness.engine.base import JobPaths
from harness.engine.labels import ATTEMPT, KEEP, RUN, STEP, WORKSPACE, owner_labels
from harness.errors import (
    EngineError,
    ExpressionError,
    HarnessError,
    ImageError,
    NotEmulatedError,
    RequestError,
    StorageError,
)
from harness.execution.events import now
from harness.execution.logs import StepLog, read_log
from harness.execution.scope import StepScope
from harness.results import HostUse, ImageUse, StepResult
from harness.service import describe, inputs, names, outcome, processing, training
from harness.storage import files, staging
from harness.storage.publish import publish

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.config import Settings
    from harness.definition import Step
    from harness.engine.base import Engine, EngineJob, JobWait
    from harness.execution.events import Journal
    from harness.execution.scope import RunScope
    from harness.execution.workspace import RunFolder, Workspace
    from harness.service.outcome import JobEnd
    from harness.service.spec import JobSpec, PlacedObject
    from harness.storage.publish import Published
    from harness.storage.staging import StagedHost, StagingMode

__all__ = ["EMULATED_JOBS", "FinishedStep", "JobRunner", "RunContext", "bug_of_ours"]

EMULATED_JOBS = {"Processing": "ProcessingJobName", "Training": "TrainingJobName"}
_FAILURE_FILE_BYTES = 8 * 1024  # 1,024 characters are used; UTF-8 has up to four bytes for one
_STALE_WORK = "work"
_INTERRUPTED = "stopped: the run was interrupted"


class Images(Protocol):
    """Finds the image for a URI."""

    def resolve(self, uri: str) -> ImageUse:
        """Raise ImageError when nobody has it."""


@dataclass(frozen=True)
class RunContext:
    """What all steps of a run share."""

    workspace: Workspace
    folder: RunFolder
    scope: RunScope
    engine: Engine
    images: Images
    mode: StagingMode
    journal: Journal
    settings: Settings

    @property
    def run_id(self) -> str:
        """The run's id, which is the execution's id too."""
        return self.folder.run_id


@dataclass(frozen=True)
class FinishedStep:
    """A step's result, its properties for later steps, and the last lines that it wrote."""

    result: StepResult
    properties: Mapping[str, Any] | None = None
    tail: tuple[str, ...] = ()


@dataclass
class _Attempt:
    """What is known of a step while it runs; the result is made of it, however far it came."""

    step: Step
    folder: Path
    began: float = field(default_factory=time.monotonic)
    started_at: str = field(default_factory=now)
    job: JobSpec | None = None
    image_uri: str | None = None
    image: ImageUse | None = None
    staged: list[StagedHost] = field(default_factory=list)
    log: StepLog | None = None
    waited: JobWait | None = None
    interrupted: bool = False
    """Whether its containers were ended because the run was, whatever exit codes they gave then."""
    end: JobEnd | None = None
    published: list[Published] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    changed_inputs: tuple[str, ...] = ()
    exit_message: str = ""


class JobRunner:
    """Runs the job steps of one run; `stop` may be called from another thread."""

    def __init__(self, context: RunContext) -> None:
        """Keep what the steps share."""
        self.context = context
        self._running: dict[str, EngineJob] = {}
        self._lock = threading.Lock()
        self._stopped = threading.Event()

    def stop(self, grace_s: float) -> None:
        """End every running job and let no other one start."""
        self._stopped.set()
        with self._lock:
            running = list(self._running.values())
        threads = [threading.Thread(target=job.stop, args=(grace_s,), daemon=True) for job in running]
        for thread in threads:
            thread.start()

    def run(self, step: Step) -> FinishedStep:
        """Run a step to its end; whatever goes wrong becomes its result."""
        attempt = _Attempt(step=step, folder=self.context.folder.attempt(step.name, 1))
        try:
            properties = self._run(attempt)
        except NotEmulatedError as error:
            return self._failed(attempt, error, status="NotEmulated", kind="not emulated")
        except (ExpressionError, RequestError, ImageError) as error:
            return self._failed(attempt, error, kind="definition")
        except (EngineError, HarnessError) as error:
            return self._failed(attempt, error, kind="interrupted" if self._stopped.is_set() else "infrastructure")
        except OSError as error:
            wrapped = StorageError(
                f"step {step.name}: {error.strerror or error} ({files.printable(str(error.filename or ''))})"
            )
            return self._failed(attempt, wrapped, kind="infrastructure")
        except Exception as error:  # noqa: BLE001 – a bug of ours must not take the other steps' results along
            return self._failed(attempt, bug_of_ours(self.context, step, error), kind="infrastructure")
        finally:
            if attempt.log:
                attempt.log.close()
        return FinishedStep(self._result(attempt), properties, tuple(attempt.log.tail) if attempt.log else ())

    # the way of a step

    def _run(self, attempt: _Attempt) -> Mapping[str, Any] | None:
        context, step = self.context, attempt.step
        request, name = self._resolve(step)
        attempt.image_uri = str(_image_of(step.type, request))
        attempt.image = context.images.resolve(attempt.image_uri)
        with files.storage_errors(f"step {step.name}: staging its data"):
            attempt.job = job = self._lay_out(step.type, request, name)
            attempt.notes += job.notes
            files.make_folders(attempt.folder)
            self._write(attempt, "request.json", request)
            attempt.staged = [
                staging.stage(host, context.workspace.store, attempt.folder / host.host, mode=context.mode)
                for host in job.hosts
            ]
        context.journal.write(
            "step.started",
            step=step.name,
            type=step.type,
            attempt=1,
            job_name=job.name,
            image=attempt.image_uri,
            image_source=attempt.image.source,
        )
        self._run_containers(attempt, job)
        self._publish(attempt, job)
        return self._describe(attempt, job, request)

    def _resolve(self, step: Step) -> tuple[dict[str, Any], str]:
        scope, member = self.context.scope, EMULATED_JOBS[step.type]
        given = step.arguments.get(member)
        given = str(resolve(given, scope)) if given is not None else None
        name = names.job_name(self.context.run_id, step.name, given)
        request: dict[str, Any] = resolve(step.arguments, StepScope(scope, {member: name}))
        return request, name

    def _lay_out(self, kind: str, request: dict[str, Any], name: str) -> JobSpec:
        layout = processing.layout if kind == "Processing" else training.layout
        try:
            return layout(
                request,
                name=name,
                identity=self._identity(request),
                objects=self._objects(kind, request),
                host_cpus=self.context.engine.cpus,
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            what = f"member {error} is missing" if isinstance(error, KeyError) else str(error)
            raise RequestError(f"ValidationException: this is no Create{kind}Job request: {what}") from error

    def _identity(self, request: Mapping[str, Any]) -> names.Identity:
        identity = self.context.scope.identity
        return names.Identity(
            identity.region, names.account_of(request, identity.account), identity.pipeline, identity.execution_id
        )

    def _objects(self, kind: str, request: Mapping[str, Any]) -> dict[str, Sequence[PlacedObject]]:
        """List every input's objects; one without any is refused as the service refuses it (contract a.7)."""
        declared: Sequence[Any] = processing.inputs(request) if kind == "Processing" else training.channels(request)
        found: dict[str, Sequence[PlacedObject]] = {}
        for entry in declared:
            keys = self._keys(entry.uri, f"{'input' if kind == 'Processing' else 'channel'} {entry.name!r}")
            if not keys:
                role = str(request.get("RoleArn", ""))
                region = self.context.scope.identity.region
                raise RequestError(
                    f"ValidationException: {inputs.no_objects_reason(entry.uri, region=region, role=role)}"
                )
            found[entry.name] = inputs.place_prefix(entry.uri, keys)
        if kind == "Training" and (checkpoint := request.get("CheckpointConfig")):
            uri = str(checkpoint["S3Uri"]).rstrip("/") + "/"
            found["checkpoints"] = inputs.place_prefix(uri, self._keys(uri, "CheckpointConfig"))
        return found

    def _keys(self, uri: str, what: str) -> list[str]:
        try:
            return self.context.workspace.store.keys(uri)
        except ValueError as error:
            raise RequestError(f"ValidationException: {what}: {error}") from error

    def _run_containers(self, attempt: _Attempt, job: JobSpec) -> None:
        context, settings = self.context, self.context.settings
        homes = {host.host: attempt.folder / host.host for host in job.hosts}
        step = attempt.step.name
        attempt.log = StepLog(
            {host: home / "log.txt" for host, home in homes.items()},
            lambda host, stream, text: context.journal.line(step, host, stream, text),
        )
        labels = {
            RUN: context.run_id,
            STEP: step,
            ATTEMPT: "1",
            WORKSPACE: str(context.workspace.root),
            **owner_labels(),
        }
        if settings.keep:
            labels[KEEP] = "true"
        image = attempt.image
        assert image is not None  # noqa: S101 – resolved before
        prepared = context.engine.prepare(
            job,
            image=image.image_id or image.reference,
            staged=attempt.staged,
            labels=labels,
            sink=attempt.log,
            paths=JobPaths(records={host: str(home) for host, home in homes.items()}),
        )
        with self._lock:
            self._running[step] = prepared
        try:
            if self._stopped.is_set():
                prepared.stop(0)
            prepared.start()
            attempt.waited = prepared.wait(job.max_runtime_s, grace_s=settings.stop_grace_s)
            attempt.interrupted = self._stopped.is_set()
            prepared.collect()
        finally:
            with self._lock:
                del self._running[step]
            self._close(attempt, prepared)
        attempt.changed_inputs = tuple(path for staged in attempt.staged for path in staging.changed_inputs(staged))
        if count := sum(staging.left_out(staged) for staged in attempt.staged):
            attempt.notes.append(f"{count} link(s) or special file(s) not fetched from the container, nor uploaded")
        for staged in attempt.staged:
            for mount in staged.mounts:
                if mount.work and not settings.keep:
                    shutil.rmtree(mount.work, ignore_errors=True)
        self._judge(attempt, job)

    def _close(self, attempt: _Attempt, prepared: EngineJob) -> None:
        try:
            prepared.close(keep=self.context.settings.keep)
        except EngineError as error:  # the job's own verdict stands; the next run sweeps
            attempt.notes.append(f"not cleaned up: {error.message}")

    def _judge(self, attempt: _Attempt, job: JobSpec) -> None:
        waited = attempt.waited
        assert waited is not None  # noqa: S101 – set before
        failure_texts = {}
        for end, staged in zip(waited.ends, attempt.staged, strict=True):
            output = staging.locate(staged, "/opt/ml/output")
            text = files.read_text(output, "failure", limit_bytes=_FAILURE_FILE_BYTES) if output else None
            if text is not None:
                failure_texts[end.host] = text
                if job.kind == "Processing":
                    attempt.notes.append(
                        f"/opt/ml/output/failure says (not part of a processing job's reason): {text[:500]}"
                    )
            if job.kind == "Processing" and output:
                attempt.exit_message += files.read_text(output, "message", limit_bytes=outcome.MAX_MESSAGE_BYTES) or ""
        attempt.exit_message = attempt.exit_message.encode()[: outcome.MAX_MESSAGE_BYTES].decode(errors="ignore")
        attempt.end = outcome.judge(
            job.kind,
            waited.ends,
            failure_texts=failure_texts,
            stopped=waited.timed_out,
            killed_by_us=waited.ended_by_us,
            memory_mib=job.hosts[0].limits.memory_mib,
        )
        if attempt.interrupted:
            # What we did ourselves is no failure of the algorithm, 137 no riddle, and a program that heeded SIGTERM
            # and ended with 0 has not done its work.
            interrupted = {"status": "Stopped", "secondary": "Stopped", "failure_reason": "", "causes": (_INTERRUPTED,)}
            attempt.end = attempt.end.model_copy(update=interrupted)

    def _publish(self, attempt: _Attempt, job: JobSpec) -> None:
        """Put into the store what the job's end allows; an interrupted job publishes nothing."""
        end = attempt.end
        assert end is not None  # noqa: S101 – judged before
        allowed = {
            "Completed": {"completed", "stopped too", "always"},
            "Stopped": {"stopped too", "always"},
            "Failed": {"always"},
        }[end.status]
        due = [] if attempt.interrupted else [one for one in job.publications if one.when in allowed]
        for number, publication in enumerate(due, start=1):
            with files.storage_errors(f"publishing {publication.name} of step {attempt.step.name}"):
                done = publish(
                    publication,
                    attempt.staged,
                    self.context.workspace.store,
                    writer=f"step {attempt.step.name}",
                    later=due[number:],
                )
            attempt.published.append(done)
            attempt.notes += done.notes

    def _describe(self, attempt: _Attempt, job: JobSpec, request: Mapping[str, Any]) -> Mapping[str, Any]:
        end = attempt.end
        assert end is not None  # noqa: S101 – judged before
        definitions = (request.get("AlgorithmSpecification") or {}).get("MetricDefinitions") or []
        lines = (text for host in job.hosts for _, _, text in read_log(attempt.folder / host.host / "log.txt"))
        properties = describe.describe(
            request,
            job,
            end,
            started_at=attempt.started_at,
            finished_at=now(),
            duration_s=time.monotonic() - attempt.began,
            exit_message=attempt.exit_message,
            metrics=outcome.final_metrics(definitions, lines) if definitions else (),
        )
        self._write(attempt, "describe.json", properties)
        return properties

    def _write(self, attempt: _Attempt, name: str, value: Any) -> None:
        text = json.dumps(value, indent=2, ensure_ascii=False, default=str)
        files.write_text(attempt.folder / name, text + "\n", mode=0o600)

    # results

    def _failed(self, attempt: _Attempt, error: HarnessError, *, kind: Any, status: Any = "Failed") -> FinishedStep:
        reason = error.message
        if isinstance(error, (RequestError, ImageError)):
            reason = outcome.step_reason(reason)
        result = self._result(attempt).model_copy(
            update={
                "status": "Stopped" if kind == "interrupted" else status,
                "failure_reason": reason,
                "cause": str(error),
                "cause_kind": kind,
            }
        )
        return FinishedStep(result, None, tuple(attempt.log.tail) if attempt.log else ())

    def _result(self, attempt: _Attempt) -> StepResult:
        end, root = attempt.end, self.context.folder.path
        ends = attempt.waited.ends if attempt.waited else ()
        status: Any = {"Completed": "Succeeded", "Failed": "Failed", "Stopped": "Stopped", None: "Failed"}[
            end.status if end else None
        ]
        kind: Any = None if status == "Succeeded" else "interrupted" if attempt.interrupted else "algorithm"
        reason = outcome.step_reason(end.failure_reason) if end else ""
        cause = "; ".join(end.causes) if end else ""
        return StepResult(
            name=attempt.step.name,
            type=attempt.step.type,
            status=status,
            exit_code=end.exit_code if end else None,
            failure_reason=reason or None,
            cause=cause or None,
            cause_kind=kind,
            image=attempt.image_uri,
            image_source=_source_text(attempt.image) if attempt.image else None,
            image_used=attempt.image,
            attempts=1,
            started_at=attempt.started_at,
            duration_s=round(time.monotonic() - attempt.began, 3),
            job_name=attempt.job.name if attempt.job else None,
            outputs={done.name: done.uri for done in attempt.published if done.objects},
            input_bytes=sum(staged.input_bytes for staged in attempt.staged),
            output_bytes=sum(done.bytes_total for done in attempt.published),
            hosts=tuple(
                HostUse(
                    host=one.host,
                    exit_code=one.exit_code,
                    oom_killed=one.oom_killed,
                    **one.usage.model_dump(),
                    log=str((attempt.folder / one.host / "log.txt").relative_to(root)),
                )
                for one in ends
            ),
            changed_inputs=attempt.changed_inputs,
            notes=tuple(attempt.notes),
            attempt_dir=str(attempt.folder.relative_to(root)) if attempt.folder.is_dir() else None,
            exit_message=attempt.exit_message or None,
        )


def bug_of_ours(context: RunContext, step: Step, error: Exception) -> HarnessError:
    """Keep the traceback of an unexpected exception for a report, and word it."""
    place = context.folder.path / f"harness-error-{step.name}.txt"
    text = "".join(traceback.format_exception(type(error), error, error.__traceback__))
    remedy = "please report it"
    with contextlib.suppress(OSError):  # a full disk must not take the verdict along
        files.write_text(place, files.printable(text))
        remedy = f"please report it, with {place}"
    what = f"the harness itself failed: {type(error).__name__}: {files.printable(str(error))}"
    return HarnessError(what, remedy=remedy)


def _source_text(image: ImageUse) -> str:
    return f"{image.source} ({image.detail})" if image.detail else image.source


def _image_of(kind: str, request: Mapping[str, Any]) -> str:
    holder = "AppSpecification" if kind == "Processing" else "AlgorithmSpecification"
    application = request.get(holder) or {}
    if not isinstance(application, dict):
        raise RequestError(f"ValidationException: this is no Create{kind}Job request: {holder} is no object")
    uri = application.get("ImageUri" if kind == "Processing" else "TrainingImage")
    if not uri:
        what = "an AlgorithmName or no image" if kind == "Training" else "no image"
        raise NotEmulatedError(f"the request names {what}: not emulated yet")
    return str(uri)
