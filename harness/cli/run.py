"""``harness run`` and ``harness plan``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from harness.cli._answer import answer
from harness.config import Settings, load_settings
from harness.execution.run import plan_pipeline, prepare, run_pipeline
from harness.report.console import Console
from harness.report.document import plan_document, run_document
from harness.report.plan import plan_text
from harness.sources import Source, find_source

if TYPE_CHECKING:
    import argparse

__all__ = ["plan", "run"]


def _settings(options: argparse.Namespace, source: Source) -> Settings:
    flags = {
        name: getattr(options, name, None)
        for name in ("workspace", "pull", "ecr_login", "region", "name", "jobs", "keep", "fail_fast", "staging")
    }
    flags["parameters"] = dict(options.parameter)
    flags["inputs"] = {uri: Path(path) for uri, path in options.input}
    flags["images"] = dict(options.image)
    return load_settings(source.folder, flags)


def run(options: argparse.Namespace) -> int:
    """Run a pipeline."""
    source = find_source(options.pipeline)
    prepared = prepare(source, _settings(options, source))
    console = Console(show_lines=not options.quiet)
    result = run_pipeline(prepared, observers=[console], progress=console.say)
    if options.json:
        answer(run_document(result))
    return int(result.exit_code)


def plan(options: argparse.Namespace) -> int:
    """Show a plan; the exit code is the one that a run would have before its first container."""
    source = find_source(options.pipeline)
    made = plan_pipeline(prepare(source, _settings(options, source)))
    answer(plan_document(made) if options.json else plan_text(made))
    made.check()
    return 0
