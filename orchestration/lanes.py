"""Which runs may keep others waiting: of three that run at once, two may be work that nobody waits for."""

from __future__ import annotations

from typing import Final

BACKGROUND: Final = {"pilothouse/lane": "background"}  # `pilothouse/local/dagster_home.py` limits how many of them run
AWAITED: Final = {"dagster/priority": "10"}  # somebody has decided, or asks
