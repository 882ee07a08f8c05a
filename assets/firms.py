"""What a person may ask and say of firms: who is one, why, and that it is not so."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import polars as pl

from pilothouse.kernel.errors import ConfigError

if TYPE_CHECKING:
    from assets.platform import Platform
    from graph.resolution.corrections import Correction
    from graph.resolution.resolver import Weighed

Saying = Literal["confirm", "split", "merge"]
_SHOWN = ("name", "street", "postal_code", "city", "country", "tax_number", "website")


@dataclass(frozen=True)
class Firm:
    """A firm with the records that stand for it, and the pairs of records that hold it together or were doubted."""

    id: str
    records: list[dict[str, Any]]
    links: list[dict[str, Any]]
    corrections: list[Correction]


class Firms:
    """The firms of a platform's tables."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._members = _with_ids(_table(platform, "int_firm_member"))
        self._parties = _with_ids(_table(platform, "int_party"))
        self._links = _table(platform, "int_firm_link")

    def firm_of(self, record: str) -> str:
        """The firm that a record stands for; ConfigError where there is no such record."""
        found = self._members.filter(pl.col("id") == record).select("firm_id").collect()
        if found.is_empty():
            raise ConfigError(
                f"no record '{record}'", hint="records are named source:number, such as s4:10100001; `pilothouse build` finds new ones"
            )
        return str(found.item())

    def firm(self, name: str) -> Firm:
        """A firm by its id, or by any record of it."""
        from graph.resolution.corrections import Corrections

        known = self.firm_of(name)
        members = self._members.filter(pl.col("firm_id") == known).select("id", "evidence", "weight", "through")
        records = members.join(self._parties.select("id", *_SHOWN), on="id").sort("id").collect().to_dicts()
        ids = {row["id"] for row in records}
        links = self._links.filter(pl.col("left_id").is_in(ids) | pl.col("right_id").is_in(ids)).sort("weight", descending=True)
        said = [each for each in Corrections(self._platform.lake).holding() if ids & set(each.pair)]
        return Firm(known, records, links.collect().to_dicts(), said)

    def doubts(self, limit: int) -> list[dict[str, Any]]:
        """Pairs of which the resolver was least sure, on either side of its threshold, that nobody has spoken about."""
        from graph.resolution.corrections import Corrections
        from graph.resolution.firms import FIRMS

        said = {each.pair for each in Corrections(self._platform.lake).holding()}
        names = self._parties.select("id", "name", "city")
        pairs = (
            self._links.join(names, left_on="left_id", right_on="id")
            .join(names, left_on="right_id", right_on="id", suffix="_right")
            .sort((pl.col("weight") - math.log2(FIRMS.likely / (1 - FIRMS.likely))).abs(), "left_id", "right_id")
            .collect()
        )
        found = [row for row in pairs.iter_rows(named=True) if (row["left_id"], row["right_id"]) not in said]
        return [
            {
                "left": row["left_id"],
                "right": row["right_id"],
                "taken_as": "one firm" if row["is_same"] else "two firms",
                "probability": row["probability"],
                "names": f"{row['name']}, {row['city']} | {row['name_right']}, {row['city_right']}",
            }
            for row in found[:limit]
        ]

    def compared(self, left: str, right: str) -> Weighed:
        """Two records side by side."""
        from graph.resolution.firms import FIRMS
        from graph.resolution.resolver import Weights, weighed

        for record in (left, right):
            self.firm_of(record)
        weights = Weights.from_json(_table(self._platform, "int_firm_weights").select("weights").collect().item())
        return weighed(FIRMS, weights, self._parties.filter(pl.col("id").is_in([left, right])).drop("id").collect().to_arrow())

    def said(self, saying: Saying, left: str, right: str, *, by: str, reason: str) -> Correction:
        """Note what a person says of two records."""
        from graph.resolution.corrections import Corrections

        if left == right:
            raise ConfigError(f"{left} is one record", hint="name two")
        together = self.firm_of(left) == self.firm_of(right)
        if together and saying == "merge":
            raise ConfigError(f"{left} and {right} are one firm already", hint="`pilothouse firm confirm` makes it stay so")
        if not together and saying != "merge":
            raise ConfigError(f"{left} and {right} are two firms", hint="`pilothouse firm merge` makes them one")
        verdict: Literal["same", "different"] = "different" if saying == "split" else "same"
        return Corrections(self._platform.lake).say(left, right, verdict, by=by, reason=reason)


def _table(platform: Platform, model: str) -> pl.LazyFrame:
    table = platform.lake.table(platform.project.models[model].table)
    if not table.exists():
        raise ConfigError("no firms have been resolved yet", hint="`pilothouse build` does")
    return table.scan()


def _with_ids(records: pl.LazyFrame) -> pl.LazyFrame:
    return records.with_columns(id=pl.concat_str("source", pl.lit(":"), "record_id"))
