"""The lake: Delta tables on disk or an object store, read at named versions."""

from pilothouse.kernel.lake.commit import Commit
from pilothouse.kernel.lake.lake import Lake
from pilothouse.kernel.lake.table import Table

__all__ = ["Commit", "Lake", "Table"]
