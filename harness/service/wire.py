"""How does the service write JSON for a container, and values as text?"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["compact", "go_escaped", "text", "text_map"]


def compact(value: Any) -> str:
    """Write compact JSON in the given key order, no newline at the end (contract a.3, captured)."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def go_escaped(value: Any) -> str:
    r"""Write compact JSON with the escapes of Go's encoder, ``&`` as ``\u0026`` and so on (contract b.3, captured)."""
    text = compact(value)
    for character in "&<>\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def text_map(values: Mapping[str, Any] | None) -> dict[str, str]:
    """Turn a request's map into strings: whatever reaches a container is a string (contract f.2).

    Integer 5 becomes ``5``, Float 0.5 ``0.5``, Boolean ``true`` or ``false``.
    """
    return {name: text(value) for name, value in (values or {}).items()}


def text(value: Any) -> str:
    """Write one value as it reaches a container: ``true``, ``5``, ``0.5``, a string as it is."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (dict, list)):
        return compact(value)
    return "" if value is None else str(value)
