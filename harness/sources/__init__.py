"""How did a pipeline get here? Whatever it was written in becomes a definition."""

from harness.sources.locate import Source, find_source

__all__ = ["Source", "find_source"]
