"""What does a stand-in's recipe say, and which content has it?

A recipe is a folder ``images/<family>/<version>`` with an ``image.yaml``, a ``requirements.txt`` that holds every
package with its version, and the trees of files that go into the image as they are.
"""

from __future__ import annotations

import functools
import hashlib
import re
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

import harness
from harness.errors import ImageError

__all__ = [
    "BUILDER",
    "LABEL",
    "NAMESPACE",
    "Recipe",
    "Replaced",
    "SourceDistribution",
    "read_recipe",
    "read_recipes",
    "source_distributions",
]

NAMESPACE = "sagemaker-harness"
LABEL = f"{NAMESPACE}.stand-in"
"""Image labels begin with it: what an image stands for, its recipe, its base, and what is otherwise in the real one."""
BUILDER = "1"
"""Raised whenever the builder makes something else of the same recipe."""

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*])?==(?P<version>[^\s;#]+)")


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class StandsFor(_Model):
    """Which images a stand-in may replace."""

    repositories: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    """Patterns as in ``fnmatch``."""


class Pins(_Model):
    """Packages, and where it is written that the real image has them."""

    source: str = Field(min_length=1)
    packages: tuple[str, ...] = Field(min_length=1)


class Replaced(_Model):
    """A package that is here in another version, or under another name, than in the real image."""

    package: str
    instead_of: str
    because: str

    def __str__(self) -> str:
        return f"{self.package} instead of {self.instead_of}: {self.because}"


class LeftOut(_Model):
    """A package that the real image has and the stand-in has not."""

    packages: tuple[str, ...]
    because: str

    def __str__(self) -> str:
        return f"without {', '.join(self.packages)}: {self.because}"


class Patch(_Model):
    """A text that is replaced in one file."""

    file: str
    old: str
    new: str


class SourceDistribution(_Model):
    """A package that is published as source only, and how a wheel is made of it."""

    project: str
    version: str
    file: str
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    contents: dict[str, str]
    """Path in the archive → place in the wheel; a folder takes what is below it along."""
    replace: tuple[Patch, ...] = ()
    add: dict[str, str] = {}

    @property
    def distribution(self) -> str:
        """Give the name as file names write it."""
        return re.sub(r"[-_.]+", "_", self.project).lower()

    @property
    def key(self) -> str:
        """Give everything that decides the wheel's content."""
        return f"{BUILDER} {self.model_dump_json()}"


class Hints(_Model):
    """What to expect, for the person who waits."""

    size_mib: int
    seconds: int
    on_demand: bool = False
    """Built only when a pipeline names it: it is large."""


class Recipe(_Model):
    """A stand-in image's recipe."""

    family: str
    version: str
    folder: Path
    summary: str
    stands_for: StandsFor = StandsFor()
    python: str = Field(pattern=r"^3\.\d+$")
    python_link: str | None = None
    """Where the real image has its Python, as a link to ours."""
    python_name: str = "python"
    """What the programs of the real image name in their first line, and so what their errors name."""
    pins: tuple[Pins, ...]
    replaced: tuple[Replaced, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    removed: tuple[str, ...] = ()
    """Packages that others require and the real image removes again."""
    scripts: dict[str, str] = {}
    """Programs whose entry point is chosen here because several packages bring one."""
    environment: dict[str, str] = {}
    labels: dict[str, str] = {}
    ports: tuple[int, ...] = ()
    directories: tuple[str, ...] = ()
    links: dict[str, str] = {}
    shared: tuple[str, ...] = ()
    """Folders of ``images/shared`` whose trees go into the image, before the recipe's own ``root``."""
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    indexes: tuple[str, ...] = ()
    """Package indexes that are asked where a person's own do not have everything."""
    debian: tuple[str, ...] = ()
    """Debian packages that take the place of ``fallback_without`` where no index offers those."""
    fallback_without: tuple[str, ...] = ()
    known_differences: tuple[str, ...] = ()
    hints: Hints

    @property
    def name(self) -> str:
        """Give the short name that people type."""
        return f"{self.family}:{self.version}"

    @property
    def differences(self) -> tuple[str, ...]:
        """List everything that is otherwise in the real image."""
        return (*self.known_differences, *map(str, self.replaced), *map(str, self.left_out))

    @property
    def requirements(self) -> Path:
        """Give the list of all packages with their versions."""
        return self.folder / "requirements.txt"

    @property
    def files(self) -> dict[str, Path]:
        """Give the files that are copied into the image: the recipe's own over the shared ones."""
        trees = [*(self.folder.parent.parent / "shared" / name for name in self.shared), self.folder / "root"]
        found = [(path.relative_to(tree), path) for tree in trees for path in sorted(tree.rglob("*")) if path.is_file()]
        return {place.as_posix(): path for place, path in found if "__pycache__" not in place.parts}

    @functools.cached_property
    def locked(self) -> dict[str, str]:
        """Give every package's version."""
        pins = (_PIN.match(line) for line in self.requirements.read_text(encoding="utf-8").splitlines())
        return {_normal(pin["name"]): pin["version"] for pin in pins if pin}

    @property
    def sources(self) -> tuple[SourceDistribution, ...]:
        """Give the packages of the list that are published as source only."""
        known = source_distributions(self.folder.parent.parent)
        return tuple(known[key] for key in sorted(self.locked.items()) if key in known)

    @functools.cached_property
    def hash(self) -> str:
        """Give a digest of all that decides the image's content."""
        digest = hashlib.sha256(f"{BUILDER}\n".encode())
        parts = {"image.yaml": self.folder / "image.yaml", "requirements.txt": self.requirements, **self.files}
        for name, path in parts.items():
            content = path.read_bytes()
            digest.update(f"{name}\n{len(content)}\n".encode() + content)
        for source in self.sources:
            digest.update(source.key.encode())
        return digest.hexdigest()[:12]


@functools.cache
def read_recipes() -> tuple[Recipe, ...]:
    """Read every recipe that this installation carries, in the order of their names.

    Raises:
        ImageError: A recipe is malformed.

    """
    return tuple(read_recipe(file.parent) for file in sorted(_root().glob("*/*/image.yaml")))


def read_recipe(folder: Path) -> Recipe:
    """Read the recipe in a folder.

    Raises:
        ImageError: It is malformed.

    """
    place = {"family": folder.parent.name, "version": folder.name, "folder": folder}
    try:
        return Recipe.model_validate({**_yaml(folder / "image.yaml"), **place})
    except (ValidationError, yaml.YAMLError, TypeError) as error:
        raise ImageError(f"the stand-in recipe {folder / 'image.yaml'} is malformed: {error}") from error


@functools.cache
def source_distributions(root: Path) -> dict[tuple[str, str], SourceDistribution]:
    """Read which packages are made from source, by name and version."""
    file = root / "sdists.yaml"
    table = _yaml(file) if file.is_file() else {"source_distributions": ()}
    known = [SourceDistribution.model_validate(entry) for entry in table["source_distributions"]]
    return {(_normal(source.project), source.version): source for source in known}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _root() -> Path:
    """Find the recipes: inside an installed package, or beside it in a checkout."""
    package = Path(harness.__file__).parent
    installed = package / "_standins"
    return installed if installed.is_dir() else package.parent / "images"


def _yaml(file: Path) -> Any:
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return yaml.load(file.read_text(encoding="utf-8"), Loader=loader)  # noqa: S506 - both are safe loaders
