"""A pair of records, and what was said of it."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Final, cast

import polars as pl

from assets.own_records.kind import BY, OWN, OwnKind, told_as_target
from connectors.target import Seen, Stale
from pilothouse.agents.toolset.stewardship.pairs import PARTIES
from pilothouse.kernel.errors import CommitConflict, TargetError
from pilothouse.kernel.lake.notes import Overtaken

if TYPE_CHECKING:
    from connectors.target import Value, Values
    from graph.resolution.corrections import Verdict

PAIR: Final = "firm_pair"


class Pairs(OwnKind):
    """Changed by another word about the pair; nobody having said anything comes back by a withdrawal."""

    record = PAIR
    key = ("left", "right")
    field = "verdict"

    def look(self, identity: Values) -> Seen | None:
        """What was said last; the token is the moment of that."""
        from graph.resolution.corrections import Corrections

        left, right = _both(identity)
        table = self.platform.lake.table(PARTIES)
        if not table.exists():
            return None
        there = (
            table.scan().filter(pl.concat_str("source", pl.lit(":"), "record_id").is_in([left, right])).select(pl.len()).collect().item()
        )
        if there != 2:
            return None
        newest = Corrections(self.platform.lake).newest(left, right)
        if newest is None:
            return Seen(values={"verdict": ""}, token="")
        return Seen(values={"verdict": "" if newest.verdict == "withdrawn" else newest.verdict}, token=newest.said_at.isoformat())

    def check(self, identity: Values, value: Value) -> None:  # noqa: ARG002 - as every kind is asked
        """The same, different, or nothing."""
        if value not in ("same", "different", "", None):
            raise TargetError(f"{OWN}: {value!r} is nothing to say of two records", hint="say same or different, or nothing")

    def change(self, identity: Values, value: Value, token: str) -> None:
        """Say something else of it."""
        from graph.resolution.corrections import Corrections

        self.check(identity, value)
        known = datetime.fromisoformat(token) if token else None
        with told_as_target():
            try:
                Corrections(self.platform.lake).say_after(known, *_both(identity), cast("Verdict", value or "withdrawn"), by=BY)
            except (Overtaken, CommitConflict):
                raise Stale from None


def _both(identity: Values) -> tuple[str, str]:
    return str(identity["left"]), str(identity["right"])
