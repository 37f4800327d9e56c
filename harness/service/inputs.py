"""Which S3 objects does an input get, and under which names?

The rules are the service's (container contract a.7, confirmed for Processing in b.6): an S3Prefix is a *string*
prefix. Pure: the listing comes from the caller.
"""

from __future__ import annotations

import posixpath
from typing import TYPE_CHECKING

from harness.service.spec import PlacedObject

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["NO_OBJECTS", "join_uri", "no_objects_reason", "place_prefix", "shard", "split_uri"]

NO_OBJECTS = (
    'No S3 objects found under S3 URL "{uri}" given in input data source. Please ensure that the bucket exists in the '
    'selected region ({region}), that objects exist under that S3 prefix, and that the role "{role}" has '
    '"s3:ListBucket" permissions on bucket "{bucket}".'
)


def split_uri(uri: str) -> tuple[str, str]:
    """Split ``s3://bucket/key`` into bucket and key (which may be empty).

    Raises:
        ValueError: It is no S3 URI.

    """
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket:
        message = f"{uri!r} is no S3 URI (s3://bucket/key)"
        raise ValueError(message)
    return bucket, key


def join_uri(prefix: str, name: str) -> str:
    """Append a name to an S3 prefix with exactly one slash between them."""
    return f"{prefix.rstrip('/')}/{name}"


def no_objects_reason(uri: str, *, region: str, role: str) -> str:
    """Word the refusal of an input without objects as the service does (contract a.7, captured)."""
    return NO_OBJECTS.format(uri=uri, region=region, role=role, bucket=split_uri(uri)[0])


def place_prefix(uri: str, keys: Sequence[str]) -> tuple[PlacedObject, ...]:
    """Name the objects of an S3Prefix input as they lie in the container.

    Args:
        uri: The input's S3Uri.
        keys: Every key of the bucket that begins with the URI's key, sorted.

    A prefix that is a folder (``data`` with only ``data/…`` below it, or ``data/``) gives paths relative to it; one
    that cuts a name (``data/train``) keeps whole base names (``train-a.csv``); one that is a key gives the base name.
    Zero-byte "folder" keys (``x/``) are skipped.

    """
    bucket, prefix = split_uri(uri)
    keys = [key for key in keys if not key.endswith("/")]
    is_folder = not prefix or prefix.endswith("/") or all(key.startswith(f"{prefix}/") for key in keys)
    base = prefix.rstrip("/") if is_folder else posixpath.dirname(prefix)
    return tuple(PlacedObject(uri=f"s3://{bucket}/{key}", name=key[len(base) :].lstrip("/")) for key in keys)


def shard(objects: Sequence[PlacedObject], index: int, count: int) -> tuple[PlacedObject, ...]:
    """Deal objects to hosts as ShardedByS3Key does: sorted keys, round robin (contract a.7, captured for two)."""
    ordered = sorted(objects, key=lambda placed: placed.uri)
    return tuple(placed for number, placed in enumerate(ordered) if number % count == index)
