"""The streaming gate between a source and the lake: rows pass, or are held back with every rule that they break.

A load is checked while it streams, chunk by chunk, because a second pass over 5 million rows costs as much as the load.
Great Expectations shows at most 200 offending values and no keys; the gate finds them all, since a quarantine that
forgets rows loses them.

Rules that quarantine judge the rows as they arrive, all others the rows that pass: one unreadable row must not block the
load through the fields that could not be read, and what is published is what was judged. Two rules are built in, for every
stream: "row is readable" (the connector found no defect) and "key is complete".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from pilothouse.kernel.errors import SourceContractChanged
from pilothouse.kernel.streams import DEFECT
from quality.profile import Profile, anywhere
from quality.report import Report, judged
from quality.rows import as_json, as_text
from quality.rule import Rule

READABLE: Final = Rule(
    "row is readable",
    "expect_column_values_to_be_null",
    {"column": DEFECT},
    "quarantine",
    description="The connector could read every field.",
)
KEY: Final = "key is complete"
REJECTED: Final = pl.Schema({"key": pl.String, "rule": pl.String, "column": pl.String, "value": pl.String, "row": pl.String})


@dataclass(frozen=True)
class Split:
    """One chunk, parted. `kept` says which of its rows passed. `rejected` has the columns of `REJECTED`: one row for each row
    and rule that it breaks."""

    passed: pl.DataFrame
    kept: pl.Series
    rejected: pl.DataFrame


class Gate:
    """Checks one load of one table: `split` each chunk, then `finish`.

    `complete` says that the load is the whole table. An increment says nothing about a table's mean or row count, so rules
    on columns and on the table are then left to whoever checks the table (`quality.suite.validate`). `without` names rules
    that do not hold rows back, for rows that a person released.
    """

    def __init__(self, rules: Sequence[Rule], key: Sequence[str], *, complete: bool = True, without: Sequence[str] = ()) -> None:
        self.key = tuple(key)
        kept = [rule for rule in rules if rule.name not in without]
        built_in = [key_rule(column) for column in key] if KEY not in without else []
        quarantine = [*built_in, *(rule for rule in kept if rule.on_failure == "quarantine")]
        others = [rule for rule in kept if rule.on_failure != "quarantine" and (complete or rule.kind.scope == "row")]
        self._readable = READABLE.name not in without
        self.arrived = Profile(quarantine)
        self.readable = Profile([READABLE])
        self.passed = Profile(others)
        self._rejected = 0

    def split(self, chunk: pl.DataFrame) -> Split:
        """Part one chunk, and remember what its rows say about the rules."""
        defects = chunk[DEFECT] if DEFECT in chunk.columns else None
        rows = chunk.drop(DEFECT, strict=False)
        self._require_key(rows)
        verdicts = dict(self.arrived.add(rows))
        if self._readable:
            seen = pl.DataFrame({DEFECT: defects if defects is not None else pl.repeat(None, rows.height, dtype=pl.String, eager=True)})
            verdicts |= self.readable.add(seen)
        condemned = anywhere(verdicts.values())
        if condemned is None:
            self.passed.add(rows)
            return Split(rows, pl.repeat(value=True, n=rows.height, dtype=pl.Boolean, eager=True), pl.DataFrame(schema=REJECTED))
        kept = ~condemned
        passed = rows.filter(kept)
        self.passed.add(passed)
        self._rejected += rows.height - passed.height
        return Split(passed, kept, self._rejections(rows, defects, verdicts))

    @property
    def profiles(self) -> tuple[Profile, ...]:
        """What was seen: of defects, of the rows that arrived, of those that passed."""
        return (self.readable, self.arrived, self.passed) if self._readable else (self.arrived, self.passed)

    def finish(self) -> Report:
        """The verdict of every rule on the whole load."""
        results = tuple(result for profile in self.profiles for result in judged(profile))
        return Report(results, self.arrived.rows, self._rejected)

    def _require_key(self, rows: pl.DataFrame) -> None:
        absent = [name for name in self.key if name not in rows.columns]
        if absent:
            raise SourceContractChanged(
                f"the key column {', '.join(map(repr, absent))} is not among the columns that came: {', '.join(rows.columns)}",
                hint="without its key no row can be told from another; correct the stream's key, or have the source bring it back",
            )

    def _rejections(self, rows: pl.DataFrame, defects: pl.Series | None, verdicts: dict[str, pl.Series]) -> pl.DataFrame:
        """Every row that breaks a rule, once for each rule that it breaks."""
        found = []
        for rule in (*self.readable.rules, *self.arrived.rules):
            verdict = verdicts.get(rule.identity)
            if verdict is None or not verdict.any():
                continue
            bad = rows.filter(verdict.fill_null(value=False))
            value = defects.filter(verdict) if rule is READABLE and defects is not None else as_text(bad, rule.columns)
            found.append(
                pl.DataFrame(
                    {
                        "key": as_json(bad.select(self.key)),
                        "rule": pl.repeat(rule.name, bad.height, dtype=pl.String, eager=True),
                        "column": pl.repeat("" if rule is READABLE else ", ".join(rule.columns), bad.height, dtype=pl.String, eager=True),
                        "value": _apart(value),
                        "row": as_json(bad),
                    },
                    schema=REJECTED,
                )
            )
        return pl.concat(found)


def _apart(texts: pl.Series) -> pl.Series:
    """The same texts in memory of their own: as filtered, a few of them would keep all the texts of their chunk alive."""
    return pl.Series(pl.from_arrow(texts.to_arrow(compat_level=pl.CompatLevel.oldest())))


def key_rule(column: str) -> Rule:
    """The built-in rule that one column of the key is there."""
    return Rule(
        KEY, "expect_column_values_to_not_be_null", {"column": column}, "quarantine", description="A row without its key is nobody."
    )
