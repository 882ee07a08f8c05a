"""How records are compared, as a value, and the links that follow: which pairs say the same, and on what evidence.

Splink weighs a pair: every comparison falls into one level, and a level is evidence as far as it is more frequent among pairs that
are the same (m) than among others (u). Both frequencies are learned from the records, of which those that share a label (a tax
number) are taken as the same; with few records the declared ones hold, so that the first sync is resolved as well.

Weights are learned once and kept (`int_firm_weights`). And a pair is weighed by nothing but itself, not by how rare a name is among
all others: so a link changes only if one of its records does, and what is made of the changed pairs equals what is made of all.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pilothouse.kernel.errors import ModelError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_LEARNED: Final = 50.0  # how many labelled pairs weigh as much as what is declared
_LEAST: Final = 1e-6  # nothing is impossible
_HELD: Final = 0.5  # of what is declared, at least: what is true of a year is not seen on a day
_SAMPLED_PAIRS: Final = 500_000
_ELSE: Final = "anything else"


@dataclass(frozen=True)
class Level:
    """One way for two records to compare: when, in SQL over the columns of the left (`_l`) and the right record (`_r`), and how
    often it is so among pairs that are the same (m) and among others (u)."""

    name: str
    when: str
    m: float
    u: float


@dataclass(frozen=True)
class Comparison:
    """What is compared. The levels are tried in their order; what is `missing` says nothing; the last one is all the rest."""

    name: str
    missing: str
    levels: tuple[Level, ...]


@dataclass(frozen=True)
class Resolver:
    """How one kind of thing is recognised."""

    name: str
    prepared: str  # SELECT over `records`: `id`, the label, and what is compared
    comparisons: tuple[Comparison, ...]
    blocking: tuple[str, ...]  # pairs of which none of this is true are not compared
    label: str  # records in which this says the same are taken as the same, when weights are learned
    likely: float  # from this probability on, two records are the same
    noted: float  # from this one on, a pair is kept as a doubt


@dataclass(frozen=True)
class Weights:
    """What a resolver has learned: the frequencies of each level, and how likely any two records are the same."""

    prior: float
    levels: Mapping[str, Mapping[str, tuple[float, float]]]  # comparison → level → m, u

    @property
    def version(self) -> str:
        """Names the weights wherever they were used."""
        return hashlib.sha256(self.as_json().encode()).hexdigest()[:12]

    def as_json(self) -> str:
        """For a table."""
        return json.dumps({"prior": self.prior, "levels": self.levels}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Weights:
        """The inverse."""
        plain = json.loads(text)
        return cls(plain["prior"], {name: {k: (m, u) for k, (m, u) in levels.items()} for name, levels in plain["levels"].items()})

    def evidence(self, comparison: str, level: str) -> float:
        """How much a level says, as the power of two by which it makes a pair more likely to be the same."""
        m, u = self.levels[comparison][level]
        return math.log2(m / u)


def declared(resolver: Resolver, prior: float) -> Weights:
    """What holds before anything is learned."""
    return Weights(prior, {each.name: {level.name: (level.m, level.u) for level in each.levels} for each in resolver.comparisons})


def learned(resolver: Resolver, records: pa.Table) -> Weights:
    """Weights from these records. Of the label itself the declared ones hold: it cannot tell of itself."""
    with _prepared(resolver, records) as connection:
        labelled, pairs, share = _counted(resolver, connection)
        prior = max(labelled / share**2, 1.0) / max(pairs, 1.0) if share else 1.0 / max(pairs, 1.0)
        weights = declared(resolver, min(max(prior, 1e-9), 0.5))
        if pairs < 1_000:
            return weights
        linker = _linker(resolver, None, connection)
        linker.training.estimate_u_using_random_sampling(max_pairs=_SAMPLED_PAIRS, seed=1)
        if labelled:
            linker.training.estimate_m_from_label_column(resolver.label)
        seen = {
            (comparison["output_column_name"], level["label_for_charts"]): (level.get("m_probability"), level.get("u_probability"))
            for comparison in linker.misc.save_model_to_json()["comparisons"]
            for level in comparison["comparison_levels"]
        }
    levels = dict(weights.levels)
    for each in resolver.comparisons:
        if each.name != resolver.label:
            levels[each.name] = {
                level.name: _frequencies(level, *seen[each.name, level.name], weights.prior, labelled, min(pairs, _SAMPLED_PAIRS))
                for level in each.levels
            }
    return Weights(weights.prior, levels)


def _frequencies(level: Level, m: object, u: object, prior: float, labelled: float, sampled: float) -> tuple[float, float]:
    """What was seen of a level, with what is declared. Firms move and are renamed, which a first sync shows of none: so at least
    half of what is declared stays. And of pairs drawn at random some are the same: they are taken out."""
    among_same = max(_blended(m, labelled, level.m), level.m * _HELD)
    at_random = float(u) if isinstance(u, int | float) else 0.0
    return among_same, _blended(max(at_random - prior * among_same, 0.0) / (1 - prior), sampled, level.u)


def _blended(seen: object, pairs: float, said: float) -> float:
    """A frequency seen in so many pairs, and the declared one."""
    frequency = float(seen) if isinstance(seen, int | float) else 0.0
    return max((frequency * pairs + said * _LEARNED) / (pairs + _LEARNED), _LEAST)


def links(resolver: Resolver, weights: Weights, records: pa.Table, changed: Sequence[str] | None = None) -> pa.Table:
    """The pairs that are the same, and those of which one may doubt it, with their evidence; of `changed` records alone, if told."""
    with _prepared(resolver, records, changed) as connection:
        only = " AND (l.is_new OR r.is_new)" if changed is not None else ""
        linker = _linker(resolver, weights, connection, [f"{rule}{only}" for rule in resolver.blocking])
        return _pairs(resolver, connection, linker.inference.predict(threshold_match_probability=resolver.noted))


@dataclass(frozen=True)
class Weighed:
    """Two records side by side: the probability that they are the same, and what makes it so."""

    probability: float
    weight: float
    prior: float  # what the weight starts from: any two records
    evidence: Mapping[str, tuple[str, float]]  # comparison → level and what it is worth
    chart: str  # the same as a page with a waterfall


def weighed(resolver: Resolver, weights: Weights, two: pa.Table) -> Weighed:
    """Two records, compared whether or not they would have been."""
    with _prepared(resolver, two) as connection:
        linker = _linker(resolver, weights, connection, ["1 = 1"])
        found = linker.inference.predict()
        (row,) = _pairs(resolver, connection, found).to_pylist()
        chart = linker.visualisations.waterfall_chart(found.as_record_list()).to_html(inline=True)
    prior = math.log2(weights.prior / (1 - weights.prior))
    return Weighed(row["probability"], row["weight"], round(prior, 4), told(resolver, weights, row), chart)


def _pairs(resolver: Resolver, connection: duckdb.DuckDBPyConnection, found: Any) -> pa.Table:
    levels = ", ".join(f"gamma_{each.name} AS {each.name}" for each in resolver.comparisons)
    # Splink orders a pair as the records come; by their ids it has one order for ever.
    return connection.sql(
        f"""SELECT least(id_l, id_r) AS left_id, greatest(id_l, id_r) AS right_id, round(match_weight, 6) AS weight,
            round(match_probability, 9) AS probability, {levels} FROM {found.physical_name} ORDER BY 1, 2"""
    ).to_arrow_table()


def told(resolver: Resolver, weights: Weights, row: Mapping[str, Any]) -> dict[str, tuple[str, float]]:
    """The evidence of a link: for each comparison that says something, its level and what that is worth."""
    found = {}
    for each in resolver.comparisons:
        if row[each.name] >= 0:
            level = each.levels[len(each.levels) - 1 - row[each.name]].name
            found[each.name] = (level, round(weights.evidence(each.name, level), 4))
    return found


def _counted(resolver: Resolver, connection: duckdb.DuckDBPyConnection) -> tuple[float, float, float]:
    """Pairs that share a label, pairs in all, and the share of records that have one."""
    (row,) = connection.execute(f"""
        SELECT (SELECT coalesce(sum(n * (n - 1) / 2), 0) FROM (SELECT count(*) AS n FROM prepared WHERE {resolver.label} IS NOT NULL
            GROUP BY {resolver.label})), count(*) * (count(*) - 1) / 2, count({resolver.label}) / greatest(count(*), 1) FROM prepared
    """).fetchall()
    return float(row[0]), float(row[1]), float(row[2])


@contextmanager
def _prepared(resolver: Resolver, records: pa.Table, changed: Sequence[str] | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database with the records as they are compared. ModelError where SQL of the resolver cannot be run."""
    import duckdb
    import pyarrow as pa
    from splink.internals.exceptions import SplinkException  # it is exported nowhere else

    with duckdb.connect() as connection:
        connection.register("records", records)
        connection.register("news", pa.table({"id": pa.array(changed or [], pa.string())}))
        is_new = "id IN (SELECT id FROM news) AS is_new"
        try:
            connection.execute(f"CREATE TABLE prepared AS SELECT *, {is_new} FROM ({resolver.prepared}) ORDER BY id")
            yield connection
        except (SplinkException, duckdb.Error) as error:
            lines = [line for line in str(error).splitlines() if "Error" in line]
            hint = "mend the SQL that prepares and compares its records"
            raise ModelError(f"resolver {resolver.name}: {lines[-1] if lines else error}", hint=hint) from error


def _linker(resolver: Resolver, weights: Weights | None, connection: duckdb.DuckDBPyConnection, rules: Sequence[str] = ()) -> Any:
    import logging

    from splink import Linker
    from splink.backends.duckdb import DuckDBAPI

    logging.getLogger("splink").setLevel(logging.ERROR)
    settings = {
        "link_type": "dedupe_only",
        "unique_id_column_name": "id",
        "sql_dialect": "duckdb",
        "probability_two_random_records_match": weights.prior if weights else 0.001,
        "comparisons": [_comparison(each, weights) for each in resolver.comparisons],
        "blocking_rules_to_generate_predictions": [{"blocking_rule": rule, "sql_dialect": "duckdb"} for rule in rules],
        "additional_columns_to_retain": ["is_new"],
        "retain_matching_columns": True,
        "retain_intermediate_calculation_columns": True,
    }
    return Linker(DuckDBAPI(connection).register("prepared"), settings, log_level=None, validate_settings=False)


def _comparison(comparison: Comparison, weights: Weights | None) -> dict[str, Any]:
    levels: list[dict[str, Any]] = [{"sql_condition": comparison.missing, "label_for_charts": "missing", "is_null_level": True}]
    for place, level in enumerate(comparison.levels):
        last = place == len(comparison.levels) - 1
        levels.append({"sql_condition": "ELSE" if last else level.when, "label_for_charts": level.name})
        if weights is not None:
            levels[-1]["m_probability"], levels[-1]["u_probability"] = weights.levels[comparison.name][level.name]
    return {"output_column_name": comparison.name, "comparison_levels": levels}
