"""How are sizes, times and tables written for a person?"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["duration", "size", "table"]

_MINUTE_S, _HOUR_S = 60, 3600
_KIB = 1024


def duration(seconds: float) -> str:
    """Write a time span: ``0.4 s``, ``2 min 05 s``, ``1 h 02 min``."""
    if round(seconds, 1) < _MINUTE_S:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < _HOUR_S:
        return f"{whole // _MINUTE_S} min {whole % _MINUTE_S:02d} s"
    return f"{whole // _HOUR_S} h {whole % _HOUR_S // _MINUTE_S:02d} min"


def size(count: float | None) -> str:
    """Write a number of bytes: ``512 B``, ``1.5 MiB``; empty for None."""
    if count is None:
        return ""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if round(count, 1) < _KIB:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KIB
    return f"{count:.1f} TiB"


def table(rows: Sequence[Sequence[str]], *, indent: str = "") -> str:
    """Align rows in columns; the last one is not padded."""
    if not rows:
        return ""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        indent + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
