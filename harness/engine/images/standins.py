"""Which image runs a step when the real one cannot be had, and how is it made here?"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import os
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from harness.engine.images._recipes import LABEL, NAMESPACE, Recipe, read_recipes
from harness.errors import EngineError, ImageBuildError
from harness.service.image_uris import DEFAULT_REGISTRY, is_public

if TYPE_CHECKING:
    from collections.abc import Callable

    import docker

    from harness.service.image_uris import ImageUri

__all__ = ["LABEL", "NAMESPACE", "StandIn", "build", "catalog", "find", "is_built", "remove_superseded", "superseded"]


class StandIn(BaseModel):
    """An image of ours that takes the place of one of AWS's."""

    model_config = ConfigDict(frozen=True)

    family: str
    version: str
    summary: str
    repositories: tuple[str, ...]
    """Names of the repositories that hold the real image, in each region's public account."""
    tags: tuple[str, ...]
    """Patterns of the real image's tags."""
    python: str
    differences: tuple[str, ...]
    """What is otherwise in the real image, as far as it is known."""
    size_mib: int
    seconds: int
    """How long a build takes on two cores, roughly."""
    on_demand: bool = False
    """Large: not among those that are built when nobody names one."""
    recipe: Recipe

    @classmethod
    def of(cls, recipe: Recipe) -> StandIn:
        """Describe what a recipe makes."""
        return cls(
            family=recipe.family,
            version=recipe.version,
            summary=recipe.summary,
            repositories=recipe.stands_for.repositories,
            tags=recipe.stands_for.tags,
            python=recipe.python,
            differences=recipe.differences,
            size_mib=recipe.hints.size_mib,
            seconds=recipe.hints.seconds,
            on_demand=recipe.hints.on_demand,
            recipe=recipe,
        )

    @property
    def name(self) -> str:
        """Give the short name that people type, such as ``sklearn:1.2-1``."""
        return self.recipe.name

    @property
    def local_tag(self) -> str:
        """Give the name of the image in the engine; a changed recipe has another one."""
        return f"{NAMESPACE}/{self.family}:{self.version}-{self.recipe.hash}"

    def stands_for(self, uri: ImageUri) -> bool:
        """Say whether this stand-in may take the place of an image."""
        tag = uri.tag
        if tag is None:  # a digest alone does not tell the version
            return False
        if uri.registry == DEFAULT_REGISTRY and uri.repository == f"{NAMESPACE}/{self.family}":
            return tag in {self.version, self.local_tag.rpartition(":")[2]}
        if uri.repository not in self.repositories or not any(fnmatch.fnmatchcase(tag, p) for p in self.tags):
            return False
        return is_public(uri) if uri.is_ecr else uri.registry == DEFAULT_REGISTRY


@functools.cache
def catalog() -> tuple[StandIn, ...]:
    """List every stand-in, in the order of their names."""
    return tuple(StandIn.of(recipe) for recipe in read_recipes())


def find(uri: ImageUri) -> StandIn | None:
    """Give the stand-in for an image, or None.

    Only images that AWS publishes have stand-ins: what a private account holds under the same name is unknown.
    """
    return next((standin for standin in catalog() if standin.stands_for(uri)), None)


def is_built(client: docker.DockerClient, standin: StandIn) -> bool:
    """Say whether the engine has the image of this very recipe.

    Raises:
        EngineError: The engine did not answer.

    """
    from docker.errors import DockerException, ImageNotFound  # noqa: PLC0415 - `--help` does not pay for it
    from requests.exceptions import RequestException  # noqa: PLC0415

    try:
        client.images.get(standin.local_tag)
    except ImageNotFound:
        return False
    except (DockerException, RequestException) as error:
        raise EngineError(f"looking for the image {standin.local_tag}: {error}") from error
    return True


def superseded(client: docker.DockerClient) -> tuple[str, ...]:
    """Name the images of stand-ins whose recipes have changed since, or are there no more: nothing uses them again."""
    current = {standin.local_tag for standin in catalog()}
    images = client.images.list(filters={"label": LABEL})
    names = {tag.removeprefix("localhost/") for image in images for tag in image.tags}  # podman's way to say "here"
    return tuple(sorted(name for name in names - current if name.startswith(f"{NAMESPACE}/")))


def remove_superseded(client: docker.DockerClient) -> list[str]:
    """Remove the images that `superseded` names, but for those that a container still uses.

    Returns:
        What was removed, for the screen.

    """
    from docker.errors import APIError  # noqa: PLC0415 - `--help` does not pay for it

    removed = []
    for name in superseded(client):
        with contextlib.suppress(APIError):
            client.images.remove(name)
            removed.append(f"image {name}")
    return removed


def build(
    client: docker.DockerClient,
    standin: StandIn,
    *,
    progress: Callable[[str], None] = lambda _: None,
    jobs: int | None = None,
    allow_pull: bool = False,
) -> str:
    """Build a stand-in, unless the engine has it.

    Several threads and processes may ask for the same one: it is built once.

    Args:
        client: The engine.
        standin: What to build.
        progress: Told what is going on, a line at a time.
        jobs: How many processes may work on it; as many as there are processors if not given.
        allow_pull: Whether ``python:3.X-slim`` may be pulled to build on.

    Returns:
        The image's name in the engine.

    Raises:
        ImageError: A tool is not installed.
        ImageBuildError: It could not be built; nothing half-made is left.
        EngineError: The engine did not answer.

    """
    from harness.engine.images._assembly import assemble  # noqa: PLC0415 - none of this is for `--help`
    from harness.engine.images._scratch import exclusively, scratch  # noqa: PLC0415

    tag = standin.local_tag
    if is_built(client, standin):
        return tag
    waiting = functools.partial(progress, f"waiting for another build of the stand-in {standin.name}")
    with exclusively(f"{standin.family}-{standin.version}", waiting=waiting):
        if is_built(client, standin):
            return tag
        progress(f"building the stand-in {standin.name}: about {standin.seconds} s, {standin.size_mib} MiB")
        workers = jobs or os.cpu_count() or 2
        try:
            with scratch() as folder:
                assemble(client, standin.recipe, tag, folder, progress=progress, jobs=workers, allow_pull=allow_pull)
        except OSError as error:  # a full disk, a lost engine: docker's and requests' errors are such, too
            raise ImageBuildError(f"building the stand-in {standin.name}: {error}") from error
        progress(f"built the stand-in {standin.name}")
    return tag
