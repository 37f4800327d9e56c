"""Which image does an image URI name, and is it one that AWS publishes?

The tables of public accounts and the lists of tags are facts taken from the SageMaker SDK's ``image_uri_config``; the
version that they were taken from is written in ``_registries.json``.
"""

from __future__ import annotations

import functools
import json
import re
from importlib import resources
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict

from harness.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "DEFAULT_REGISTRY",
    "DEFAULT_TAG",
    "ImageUri",
    "is_public",
    "known_tags",
    "parse_image_uri",
    "public_accounts",
    "public_repositories",
]

DEFAULT_REGISTRY = "docker.io"
DEFAULT_TAG = "latest"

_ECR_HOST = re.compile(
    r"""(?P<account>\d{12})\.dkr(?:\.ecr|-ecr|\.ecr-fips)\.(?P<region>[a-z]{2,}(?:-[a-z]+)+-\d+)
        \.(?:amazonaws\.com(?:\.cn)?|amazonaws\.eu|on\.aws|on\.amazonwebservices\.com\.cn
            |c2s\.ic\.gov|sc2s\.sgov\.gov|cloud\.adc-e\.uk|csp\.hci\.ic\.gov)""",
    re.VERBOSE,
)
_REPOSITORY = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"[a-z0-9]+(?:[+._-][a-z0-9]+)*:[0-9a-fA-F]{32,}")


class ImageUri(BaseModel):
    """An image URI, read once."""

    model_config = ConfigDict(frozen=True)

    text: str
    """As it was written."""
    registry: str = DEFAULT_REGISTRY
    account: str | None = None
    region: str | None = None
    repository: str
    tag: str | None = DEFAULT_TAG
    """None only where a digest alone names the image."""
    digest: str | None = None

    @property
    def is_ecr(self) -> bool:
        """Say whether an Amazon ECR private registry (an account's, the public accounts' too) holds the image."""
        return self.account is not None

    @property
    def name(self) -> str:
        """Give what follows the registry: ``repository:tag`` or ``repository@digest``."""
        return f"{self.repository}:{self.tag}" if self.tag is not None else f"{self.repository}@{self.digest}"

    def __str__(self) -> str:
        return self.text


def parse_image_uri(text: str) -> ImageUri:
    """Read an image URI.

    Args:
        text: An ECR URI, or whatever ``docker pull`` would take.

    Raises:
        ImageError: It is no image name.

    """
    name = text.strip()
    rest, at, digest = name.partition("@")
    head, slash, tail = rest.partition("/")
    # Docker's own rule: the first part is a registry if it looks like a host.
    if slash and ("." in head or ":" in head or head == "localhost"):
        registry = head.lower()
    else:
        registry, tail = DEFAULT_REGISTRY, rest
    repository, colon, tag = tail.partition(":")
    if not _REPOSITORY.fullmatch(repository) or (colon and not _TAG.fullmatch(tag)):
        raise _malformed(text)
    if at and not _DIGEST.fullmatch(digest):
        raise _malformed(text)
    ecr = _ECR_HOST.fullmatch(registry)
    return ImageUri(
        text=name,
        registry=registry,
        account=ecr["account"] if ecr else None,
        region=ecr["region"] if ecr else None,
        repository=repository,
        tag=tag if colon else (None if at else DEFAULT_TAG),
        digest=digest if at else None,
    )


def is_public(uri: ImageUri) -> bool:
    """Say whether AWS itself publishes that repository from that account in that region."""
    return uri.account is not None and public_accounts(uri.repository).get(uri.region or "") == uri.account


def public_accounts(repository: str) -> Mapping[str, str]:
    """Give the public account of a repository in each region; empty for a repository that AWS does not publish."""
    return _tables().get(repository, MappingProxyType({}))


def public_repositories() -> tuple[str, ...]:
    """List the repositories that AWS publishes for SageMaker."""
    return tuple(sorted(_tables()))


def known_tags(repository: str) -> tuple[str, ...]:
    """List the tags that the SDK can make for a repository; empty where the tables do not list them.

    More tags than these exist (short versions, dated builds): a tag that is missing here may still be right.
    """
    return tuple(_facts()["tags"].get(repository, ()))


def _malformed(text: str) -> ImageError:
    return ImageError(
        f"not an image URI: {text!r}",
        remedy="write it as <account>.dkr.ecr.<region>.amazonaws.com/<repository>:<tag>, or as `docker pull` takes it",
    )


@functools.cache
def _facts() -> dict[str, Any]:
    text = resources.files("harness.service").joinpath("_registries.json").read_text(encoding="utf-8")
    facts: dict[str, Any] = json.loads(text)
    return facts


@functools.cache
def _tables() -> dict[str, Mapping[str, str]]:
    return {
        repository: MappingProxyType(table["accounts"])
        for table in _facts()["tables"]
        for repository in table["repositories"]
    }
