"""Pilothouse's own records as a place to write to: what agents propose about data is approved, executed once and taken back like any
write into SAP.

A pair of records and what was said of it is changed by another word about it; nobody having said anything comes back by a withdrawal.
Rows in quarantine are released through the loader, as `pilothouse quarantine release` does; the raw table that they enter is only
appended to, so a release cannot be taken back, and says so before anybody approves it.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast

import polars as pl

from connectors.target import Action, Seen, Stale, Target, Value, Values
from pilothouse.agents.toolset.stewardship import PARTIES
from pilothouse.kernel.errors import CommitConflict, ConfigError, DataRejected, LakeError, TargetError, TargetUnavailable

if TYPE_CHECKING:
    from assets.platform import Platform
    from graph.resolution.corrections import Verdict

OWN: Final = "pilothouse"  # by what proposals call it
PAIR: Final = "firm_pair"
HELD: Final = "held_rows"
FINAL: Final = {
    HELD: "released rows stand in a raw table that is only appended to; correct them in their source, and the next sync replaces them"
}
_KEYS: Final = {PAIR: ("left", "right"), HELD: ("source", "stream", "rule", "until")}
_FIELDS: Final = {PAIR: "verdict", HELD: "status"}
_BY: Final = "an approved proposal"


def own_target(platform: Platform) -> Target:
    """Pilothouse as a target."""
    return Target(OWN, OwnRecords(platform), final=FINAL)


class OwnRecords:
    """The records of the lake that are ours to change."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def look(self, record: str, identity: Values, fields: tuple[str, ...]) -> Seen | None:
        """What was said of a pair, or whether rows are held; the token is the moment of the former, and a digest of the latter."""
        self._known(record, identity, fields)
        return self._pair(identity) if record == PAIR else self._held(identity)

    def change(self, record: str, identity: Values, values: Values, token: str) -> None:
        """Say something else of a pair, or let rows pass."""
        self._known(record, identity, tuple(values))
        if record == PAIR:
            self._say(identity, str(values["verdict"] or ""), token)
        else:
            self._release(identity, values["status"], token)

    def find(self, record: str, key: str) -> NoReturn:
        """Nothing is created here."""
        self.create(record, key, {})

    def create(self, record: str, key: str, values: Values) -> NoReturn:  # noqa: ARG002 - the protocol's
        """A pair and what is held are there, whether anybody speaks of them or not."""
        raise TargetError(
            f"{OWN}: action {key} would create a {record}, and records are only changed here",
            hint="name the record in the action's identity",
        )

    def remove(self, record: str, identity: Values) -> NoReturn:
        """Nothing is created here, so nothing is taken away."""
        raise TargetError(f"{OWN}: {record} {dict(identity)} was not made here", hint="undo what was changed instead")

    def _known(self, record: str, identity: Values, fields: tuple[str, ...]) -> None:
        if record not in _KEYS:
            raise TargetError(f"{OWN}: there is no record {record!r}", hint=f"there are {', '.join(_KEYS)}")
        if set(identity) != set(_KEYS[record]):
            raise TargetError(
                f"{OWN}: {record} is named by {', '.join(_KEYS[record])}, not by {', '.join(identity) or 'nothing'}",
                hint="give the whole key in the action's identity",
            )
        if set(fields) != {_FIELDS[record]}:
            raise TargetError(f"{OWN}: {record} has no field {', '.join(fields)!r}", hint=f"it has {_FIELDS[record]}")

    def _pair(self, identity: Values) -> Seen | None:
        from graph.resolution.corrections import Corrections

        left, right = _both(identity)
        table = self._platform.lake.table(PARTIES)
        if not table.exists():
            return None
        there = (
            table.scan().filter(pl.concat_str("source", pl.lit(":"), "record_id").is_in([left, right])).select(pl.len()).collect().item()
        )
        if there != 2:
            return None
        newest = Corrections(self._platform.lake).newest(left, right)
        if newest is None:
            return Seen(values={"verdict": ""}, token="")
        return Seen(values={"verdict": "" if newest.verdict == "withdrawn" else newest.verdict}, token=newest.said_at.isoformat())

    def _say(self, identity: Values, verdict: str, token: str) -> None:
        from graph.resolution.corrections import Corrections, Overtaken

        if verdict not in ("same", "different", ""):
            raise TargetError(f"{OWN}: {verdict!r} is nothing to say of two records", hint="say same or different, or nothing")
        try:
            known = datetime.fromisoformat(token) if token else None
            Corrections(self._platform.lake).say_after(known, *_both(identity), cast("Verdict", verdict or "withdrawn"), by=_BY)
        except (Overtaken, CommitConflict):
            raise Stale from None
        except DataRejected as error:
            raise TargetError(error.message, hint=error.hint) from error
        except LakeError as error:
            raise TargetUnavailable(error.message, hint=error.hint) from error

    def _held(self, identity: Values) -> Seen | None:
        from quality import quarantine

        source, stream, rule, until = (str(identity[name]) for name in _KEYS[HELD])
        table = self._platform.lake.quarantine(source, stream)
        if not table.exists():
            return None
        meant = (pl.col("rule") == rule) & (pl.col("rejected_at") <= _moment(until))
        rows = quarantine.current(table.scan()).filter(meant).select("id", "status").sort("id").collect()
        if rows.is_empty():
            return None
        still = rows.filter(pl.col("status") == "open")["id"].to_list()
        return Seen(values={"status": "open" if still else "released"}, token=hashlib.sha256(" ".join(still).encode()).hexdigest())

    def _release(self, identity: Values, status: Value, token: str) -> None:
        from assets.releasing import release

        if status != "released":
            raise TargetError(f"{OWN}: held rows can be released, and nothing else", hint=FINAL[HELD])
        seen = self._held(identity)
        if seen is None or seen.token != token:
            raise Stale
        source, stream, rule, until = (str(identity[name]) for name in _KEYS[HELD])
        try:
            release(self._platform, source, stream, by=_BY, rule=rule, until=_moment(until))
        except ConfigError as error:
            raise TargetError(error.message, hint=error.hint) from error


def final(action: Action, target: str) -> str:
    """Why a proposed write could not be taken back, and what would be done instead; empty where it could."""
    return FINAL.get(action.record, "") if target == OWN else ""


def _both(identity: Values) -> tuple[str, str]:
    return str(identity["left"]), str(identity["right"])


def _moment(text: str) -> Any:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise TargetError(f"{OWN}: until = {text!r} is no moment", hint="write it as ISO 8601 with a time zone") from error
