"""Where do the values of a definition's expressions come from while a run goes?"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from harness.definition import paths, resolve
from harness.errors import ExpressionError, KeyLayoutError
from harness.service.inputs import join_uri
from harness.storage import files

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.definition import PipelineDefinition
    from harness.service.names import Identity
    from harness.storage.bucket import BucketStore

__all__ = ["RunScope", "StepScope"]

Scalar = Any


class RunScope:
    """The values that a whole run shares; steps add their properties as they end."""

    def __init__(
        self,
        definition: PipelineDefinition,
        values: Mapping[str, Any],
        identity: Identity,
        store: BucketStore,
        *,
        started_at: str,
        now: Any,
    ) -> None:
        """Keep the parts; ``now`` is called for ``Execution.CurrentDateTime``."""
        self.definition, self.values, self.identity, self.store = definition, dict(values), identity, store
        self.started_at, self._now = started_at, now
        self._properties: dict[str, Mapping[str, Any]] = {}
        self._absent: dict[str, str] = {}
        self._lock = threading.Lock()

    def add(self, step: str, properties: Mapping[str, Any]) -> None:
        """Take a finished step's properties."""
        with self._lock:
            self._properties[step] = properties

    def leave_out(self, step: str, why: str) -> None:
        """Know why a step has no properties."""
        with self._lock:
            self._absent[step] = why

    def parameter(self, name: str) -> Scalar:
        """Give a parameter's value."""
        if name not in self.values:
            raise ExpressionError(f"Parameters.{name} has no value")
        return self.values[name]

    def execution(self, name: str) -> Scalar:
        """Give an execution variable (contract f.2): times are ISO 8601 in UTC."""
        identity = self.identity
        known = {
            "StartDateTime": self.started_at,
            "CurrentDateTime": self._now(),
            "PipelineName": identity.pipeline,
            "PipelineArn": identity.pipeline_arn,
            "PipelineExecutionId": identity.execution_id,
            "PipelineExecutionArn": identity.execution_arn,
        }
        if name in known:
            return known[name]
        head, _, rest = name.partition(".")
        if head == "PipelineExperimentConfig":
            try:
                return paths.lookup(resolve(dict(self.definition.experiment_config or {}), self), rest)
            except LookupError as error:
                raise ExpressionError(f"{name}: {error}") from error
        raise ExpressionError(f"Execution.{name} has no value here: it exists in a job's own arguments only")

    def properties(self, step: str) -> Mapping[str, Any]:
        """Give what Describe would say of a finished step."""
        with self._lock:
            if step in self._properties:
                return self._properties[step]
            why = self._absent.get(step, "it has not ended")
        raise ExpressionError(f"step {step} has no properties: {why}")

    def property_file(self, step: str, name: str) -> tuple[Any, str]:
        """Read a property file of a finished step out of the store (contract f.3)."""
        declared = next(one for one in self.definition.step(step).property_files if one.name == name)
        place = paths.render(["ProcessingOutputConfig", "Outputs", declared.output_name, "S3Output", "S3Uri"])
        try:
            prefix = paths.lookup(self.properties(step), place, by_name=True)
        except LookupError as error:
            raise ExpressionError(f"property file {name} of step {step}: {error}") from error
        uri = join_uri(str(prefix), declared.file_path)
        return self._json(uri, f"property file {name} of step {step}"), uri

    def s3_json(self, uri: str) -> Any:
        """Read a JSON object of the store."""
        return self._json(uri, "Std:JsonGet")

    def _json(self, uri: str, what: str) -> Any:
        try:
            self.store.path(uri)
        except (ValueError, KeyLayoutError) as error:
            raise ExpressionError(f"{what}: {error}") from error
        with files.storage_errors(f"{what}: reading {uri}"):
            try:
                return self.store.read_json(uri)
            except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
                raise ExpressionError(f"{what}: there is no object {uri}") from error
            except (ValueError, RecursionError) as error:
                why = f"the contents of {uri} are not in valid JSON format ({error})"
                raise ExpressionError(f"{what}: {why}") from error


class StepScope:
    """A run's values as one step sees them: its own job's name is known too."""

    def __init__(self, run: RunScope, job_names: Mapping[str, str]) -> None:
        """Take the job's name as ``TrainingJobName`` or ``ProcessingJobName``."""
        self._run, self._job_names = run, job_names
        self.parameter = run.parameter
        self.properties = run.properties
        self.property_file = run.property_file
        self.s3_json = run.s3_json

    def execution(self, name: str) -> Scalar:
        """Give an execution variable."""
        return self._job_names[name] if name in self._job_names else self._run.execution(name)
