"""What are the settings of a call? Defaults, project file, pipeline file, environment, flags – in that order.

``[tool.harness]`` of a ``pyproject.toml`` in the current folder, then ``harness.yaml`` beside the pipeline (both with
the same keys), then ``HARNESS_…`` variables, then the command line. Paths in a file are relative to that file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from harness.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Settings", "load_settings"]

FILE_NAME = "harness.yaml"
_VARIABLES = {
    "HARNESS_WORKSPACE": "workspace",
    "HARNESS_JOBS": "jobs",
    "HARNESS_PULL": "pull",
    "HARNESS_REGION": "region",
    "HARNESS_STAGING": "staging",
}
_MERGED = ("inputs", "images", "parameters")
_TABLE = re.compile(r"^\s*\[\s*tool\s*\.\s*harness\s*[].]", re.MULTILINE)


class Settings(BaseModel):
    """Everything that a run can be told, one explicit object."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str | None = None
    """The pipeline's name; else that of its folder or file."""
    workspace: Path = Path(".harness")
    jobs: int = Field(default=4, ge=1)
    """How many steps run at the same time."""
    pull: Literal["missing", "never", "always"] | None = None
    """None: ``missing`` for registries that the engine knows a login for, else ``never``."""
    ecr_login: bool = False
    region: str | None = None
    """None: the region that the definition's images name, else us-east-1."""
    staging: Literal["auto", "overlay", "bind", "archive"] = "auto"
    inputs: dict[str, Path] = {}
    """Local files and folders by S3 URI."""
    images: dict[str, str] = {}
    """Local images by the URI that they replace."""
    parameters: dict[str, Any] = {}
    keep: bool = False
    fail_fast: bool = False
    stop_grace_s: float = Field(default=120, ge=0)
    """MaxRuntime: how long a container has between SIGTERM and SIGKILL; the service's 120 s (contract a.9)."""
    interrupt_grace_s: float = Field(default=10, ge=0)
    """Ctrl-C: the same, for somebody who waits in front of the screen."""


def load_settings(folder: Path | None, flags: Mapping[str, Any]) -> Settings:
    """Put the settings together.

    Args:
        folder: Where the pipeline lies, with or without a ``harness.yaml``.
        flags: What the command line said; None values and empty maps do not count.

    Raises:
        ConfigurationError: A file or variable is wrong; the text names it.

    """
    merged: dict[str, Any] = {}
    _merge(merged, _from_pyproject(Path("pyproject.toml")))
    if folder is not None and (folder / FILE_NAME).is_file():
        _merge(merged, _from_yaml(folder / FILE_NAME))
    _merge(merged, _from_environment())
    _merge(merged, {key: value for key, value in flags.items() if value is not None})
    return _checked(merged, "settings")


def _checked(values: Mapping[str, Any], where: str) -> Settings:
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        lines = [f"  {'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors()]
        raise ConfigurationError("\n".join([f"{where}: not as it should be", *lines])) from error


def _merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        into[key] = {**into.get(key, {}), **value} if key in _MERGED else value


def _from_environment() -> dict[str, Any]:
    values = {key: os.environ[name] for name, key in _VARIABLES.items() if os.environ.get(name)}
    for name, key in _VARIABLES.items():
        if key in values:
            _checked({key: values[key]}, f"the variable {name}")
    return values


def _from_yaml(path: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415

    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return _located(values, path)


def _from_pyproject(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    if not _TABLE.search(text):
        return {}
    try:
        import tomllib  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    except ImportError:  # Python 3.10
        import tomli as tomllib  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415
    try:
        values = tomllib.loads(text)["tool"]["harness"]
    except (tomllib.TOMLDecodeError, KeyError) as error:
        raise ConfigurationError(f"{path}: {error}") from error
    return _located(values, path)


def _located(values: Any, path: Path) -> dict[str, Any]:
    """Check a file on its own, so that the error names it, and make its paths absolute."""
    if not isinstance(values, dict):
        raise ConfigurationError(f"{path}: expected a mapping of settings, found {type(values).__name__}")
    _checked(values, str(path))
    home = path.parent.absolute()
    if "inputs" in values:
        values["inputs"] = {uri: home / local for uri, local in values["inputs"].items()}
    if "workspace" in values:
        values["workspace"] = home / values["workspace"]
    return values
