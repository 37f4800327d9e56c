"""``harness images``: list, build, which."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from harness.engine.connection import connect
from harness.engine.images import standins
from harness.engine.images.resolver import ImageResolver
from harness.errors import EngineUnavailableError, UsageError
from harness.report import words
from harness.service.image_uris import parse_image_uri

if TYPE_CHECKING:
    import argparse

__all__ = ["build_images", "list_images", "which_image"]


def _say(text: str) -> None:
    sys.stderr.write(f"· {text}\n")


def list_images(options: argparse.Namespace) -> int:
    """List the stand-ins, and which of them are built."""
    catalog = standins.catalog()
    try:
        client = connect()
    except EngineUnavailableError as error:
        _say(f"whether they are built is not known: {error.message}")
        built = dict.fromkeys((one.name for one in catalog), "unknown")
    else:
        built = {one.name: "built" if standins.is_built(client, one) else "not built" for one in catalog}
        client.close()
    if options.json:
        rows = [{**one.model_dump(mode="json"), "state": built[one.name]} for one in catalog]
        sys.stdout.write(json.dumps(rows, indent=2) + "\n")
        return 0
    table = [("stand-in", "state", "stands for", "python")]
    table += [
        (
            one.name,
            built[one.name],
            ", ".join(f"{r}:{one.tags[0]}" for r in one.repositories[:1]) if one.tags else "",
            one.python,
        )
        for one in catalog
    ]
    sys.stdout.write(words.table(table) + "\n")
    return 0


def build_images(options: argparse.Namespace) -> int:
    """Build stand-ins."""
    wanted = [_find(name) for name in options.names] or [one for one in standins.catalog() if not one.on_demand]
    client = connect()
    try:
        for one in wanted:
            sys.stdout.write(standins.build(client, one, progress=_say) + "\n")
    finally:
        client.close()
    return 0


def _find(name: str) -> standins.StandIn:
    found = next((one for one in standins.catalog() if one.name == name), None) or standins.find(parse_image_uri(name))
    if found is None:
        names = ", ".join(one.name for one in standins.catalog())
        raise UsageError(f"there is no stand-in {name!r}", remedy=f"one of: {names}")
    return found


def which_image(options: argparse.Namespace) -> int:
    """Tell which image a URI would run in."""
    client = connect()
    try:
        resolver = ImageResolver(client, overrides={}, pull=options.pull, ecr_login=options.ecr_login, progress=_say)
        use = resolver.resolve(options.uri, dry=True)
    finally:
        client.close()
    rows = [
        ("uri", use.uri),
        ("runs in", use.reference),
        ("source", f"{use.source} ({use.detail})" if use.detail else use.source),
    ]
    rows += [("id", use.image_id)] if use.image_id else []
    rows += [("digest", use.digest)] if use.digest else []
    rows += [("differs", text) for text in use.differences]
    sys.stdout.write(words.table(rows) + "\n")
    return 0
