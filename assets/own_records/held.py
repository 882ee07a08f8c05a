"""Rows in quarantine, and whether they were released."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import polars as pl

from assets.own_records.kind import BY, OWN, OwnKind, moment, told_as_target
from connectors.target import Seen, Stale
from pilothouse.kernel.errors import TargetError

if TYPE_CHECKING:
    from connectors.target import Value, Values

HELD: Final = "held_rows"


class Held(OwnKind):
    """Released through the loader, as `pilothouse quarantine release` does."""

    record = HELD
    key = ("source", "stream", "rule", "until")
    field = "status"
    final = "released rows stand in a raw table that is only appended to; correct them in their source, and the next sync replaces them"

    def look(self, identity: Values) -> Seen | None:
        """Whether any of them is still held; the token is a digest of those that are."""
        from quality import quarantine

        source, stream, rule, until = (str(identity[name]) for name in self.key)
        table = self.platform.lake.quarantine(source, stream)
        if not table.exists():
            return None
        meant = (pl.col("rule") == rule) & (pl.col("rejected_at") <= moment(until))
        rows = quarantine.current(table.scan()).filter(meant).select("id", "status").sort("id").collect()
        if rows.is_empty():
            return None
        still = rows.filter(pl.col("status") == "open")["id"].to_list()
        return Seen(values={"status": "open" if still else "released"}, token=hashlib.sha256(" ".join(still).encode()).hexdigest())

    def check(self, identity: Values, value: Value) -> None:  # noqa: ARG002 - as every kind is asked
        """Released, and nothing else."""
        if value != "released":
            raise TargetError(f"{OWN}: held rows can be released, and nothing else", hint="say released, or reject the proposal")

    def change(self, identity: Values, value: Value, token: str) -> None:
        """Let them pass."""
        from assets.releasing import release

        self.check(identity, value)
        seen = self.look(identity)
        if seen is None or seen.token != token:
            raise Stale
        source, stream, rule, until = (str(identity[name]) for name in self.key)
        with told_as_target():
            release(self.platform, source, stream, by=BY, rule=rule, until=moment(until))
