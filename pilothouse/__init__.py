"""Pilothouse, an open lakehouse intelligence platform: one version vector from source row to decision."""

__version__ = "0.1.0"
