"""The operational PostgreSQL: connections, schema and its migrations."""

from pilothouse.kernel.database.database import Database
from pilothouse.kernel.database.translation import translated

__all__ = ["Database", "translated"]
