"""Many meta-analyses in one call."""

from pyrobma.many.run import ManyInterrupted, robma_many

__all__ = ["ManyInterrupted", "robma_many"]
