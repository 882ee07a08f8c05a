"""The command line: `pilothouse up | sync | tables | query | history | quarantine | drift | doctor`."""

from pilothouse.cli.app import main

__all__ = ["main"]
