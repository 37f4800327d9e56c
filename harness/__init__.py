"""Run Amazon SageMaker pipelines on this machine, every step in its own container."""

from harness._version import __version__

__all__ = ["__version__"]
