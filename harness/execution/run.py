"""How is a pipeline planned and run, from its source and the settings to a plan or a result?"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.definition import examine
from harness.errors import DefinitionError, EngineUnavailableError, HarnessError, InputError
from harness.execution import events, preflight
from harness.execution.executor import PipelineExecutor
from harness.execution.jobs import RunContext
from harness.execution.scope import RunScope
from harness.execution.workspace import Workspace
from harness.results import ImageUse
from harness.service import names
from harness.storage import files
from harness.storage.imports import GivenInput, bring_in, read_given

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import docker

    from harness.config import Settings
    from harness.definition import Examined
    from harness.sources import Source

__all__ = ["Prepared", "plan_pipeline", "prepare", "run_pipeline"]

DEFAULT_REGION = "us-east-1"
_ECR_REGION = re.compile(r"\.dkr\.ecr\.([a-z]{2}(?:-[a-z]+)+-\d)\.")


@dataclass(frozen=True)
class Prepared:
    """A pipeline that has been read and found right, not yet held against the world."""

    source: Source
    settings: Settings
    examined: Examined
    workspace: Workspace
    identity: names.Identity
    scope: RunScope
    given: tuple[GivenInput, ...]


def prepare(source: Source, settings: Settings) -> Prepared:
    """Read a pipeline and check all that can be checked without an engine. Nothing is written.

    Raises:
        DefinitionError: Mistakes of the definition, the parameters and the given inputs: all of them.
        InputError: The given inputs alone are wrong.

    """
    workspace = Workspace(settings.workspace)
    given, wrong_inputs = read_given(settings.inputs, workspace.store)
    try:
        examined = examine(source.text, source=source.label, given=settings.parameters)
    except DefinitionError as error:
        raise DefinitionError(error.subject, [*error.mistakes, *wrong_inputs], remedy=error.remedy) from error
    if wrong_inputs:
        raise InputError(source.label, wrong_inputs)
    identity = names.Identity(
        region=settings.region or _region_in(source.text),
        account=_account_in(examined.definition.raw),
        pipeline=settings.name or source.name,
        execution_id=names.execution_id(),
    )
    scope = RunScope(
        examined.definition, examined.values, identity, workspace.store, started_at=events.now(), now=events.now
    )
    return Prepared(source, settings, examined, workspace, identity, scope, given)


def _region_in(text: str) -> str:
    found = _ECR_REGION.search(text)
    return found[1] if found else DEFAULT_REGION


def _account_in(document: Any) -> str:
    """Take the account that the definition's roles name."""
    pending = [document]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            account = names.account_of(value)
            if account != names.NO_ACCOUNT:
                return account
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return names.NO_ACCOUNT


def plan_pipeline(prepared: Prepared) -> preflight.Plan:
    """Say what a run would do. Nothing is run, pulled, built or written.

    Where no engine answers the plan says so and leaves the images open.
    """
    from harness.engine.connection import connect  # noqa: PLC0415 – only now is the Docker SDK needed

    try:
        client = connect()
    except EngineUnavailableError as error:
        return _plan(prepared, {}, engine_problem=str(error).replace("\n  → ", " – "))
    try:
        return _plan(prepared, _resolve_images(prepared, client, dry=True, progress=lambda _: None)[1])
    finally:
        client.close()


def _plan(
    prepared: Prepared,
    images: dict[str, ImageUse | HarnessError],
    *,
    engine_problem: str | None = None,
) -> preflight.Plan:
    return preflight.make_plan(
        prepared.examined,
        prepared.scope,
        source=prepared.source.label,
        given=prepared.given,
        images=images,
        engine_problem=engine_problem,
    )


def _resolve_images(
    prepared: Prepared,
    client: docker.DockerClient,
    *,
    dry: bool,
    progress: Callable[[str], None],
) -> tuple[Any, dict[str, ImageUse | HarnessError]]:
    from harness.engine.images.resolver import ImageResolver  # noqa: PLC0415

    settings = prepared.settings
    resolver = ImageResolver(
        client, overrides=settings.images, pull=settings.pull, ecr_login=settings.ecr_login, progress=progress
    )
    return resolver, resolver.resolve_all(preflight.find_images(prepared.examined, prepared.scope), dry=dry)


def run_pipeline(
    prepared: Prepared, *, observers: Iterable[events.Observer] = (), progress: Callable[[str], None]
) -> Any:
    """Run a pipeline.

    Args:
        prepared: From `prepare`.
        observers: Renderers that look on.
        progress: Told what happens before the run: pulling, building.

    Returns:
        A `RunResult`.

    Raises:
        EngineUnavailableError: No engine answers.
        PreflightError: Inputs have no data, images are not to be had: all of them; nothing has run.
        StorageError: The workspace cannot be written.

    """
    from harness.engine.connection import connect  # noqa: PLC0415
    from harness.engine.docker import DockerEngine  # noqa: PLC0415
    from harness.engine.sweep import sweep  # noqa: PLC0415

    try:
        client = connect()
    except EngineUnavailableError as error:
        plan = _plan(prepared, {}, engine_problem=str(error).replace("\n  → ", " – "))
        if plan.problems()[0]:  # missing inputs are told in the same go
            plan.check()
        raise
    try:
        for removed in sweep(client):
            progress(f"removed {removed}, left by a run that was killed")
        missing_early = _plan(prepared, {})
        if missing_early.problems()[0]:  # no minutes of building before a missing input is told
            _, images = _resolve_images(prepared, client, dry=True, progress=progress)
            _plan(prepared, images).check()
        resolver, images = _resolve_images(prepared, client, dry=False, progress=progress)
        _plan(prepared, images).check()
        workspace, settings = prepared.workspace, prepared.settings
        workspace.make()
        workspace.check_room()
        with files.storage_errors("bringing the given inputs into the workspace"):
            count = sum(bring_in(one, workspace.store, workspace.imports) for one in prepared.given)
        if count:
            progress(f"{count} new or changed local file{'' if count == 1 else 's'} brought in as S3 objects")
        engine = DockerEngine(client)
        uses = [use for use in images.values() if isinstance(use, ImageUse)]
        mode: Any = settings.staging
        if mode == "auto":
            mode = engine.staging_mode(workspace.scratch, uses[0].image_id or uses[0].reference) if uses else "bind"
        folder = workspace.new_run(prepared.identity.execution_id)
        files.write_text(folder.path / "definition.json", prepared.source.text)
        journal = events.Journal(folder.events, observers)
        try:
            for use in uses:
                journal.write("image.resolved", **use.model_dump(mode="json"))
            context = RunContext(
                workspace=workspace,
                folder=folder,
                scope=prepared.scope,
                engine=engine,
                images=resolver,
                mode=mode,
                journal=journal,
                settings=settings,
            )
            with files.storage_errors(f"writing the record of run {folder.run_id}"):
                return PipelineExecutor(prepared.examined, context, source=prepared.source.label).run()
        finally:
            journal.close()
    finally:
        client.close()
