"""What people point at when they ask what it touched, as rows of a table: by keys, by the commit that brought them, by a broken rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, Final

import polars as pl

from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake.current import current
from pilothouse.kernel.lake.identity import row_ids
from quality.gate import KEY, READABLE, Gate
from quality.rule import Rule

if TYPE_CHECKING:
    from assets.platform import Platform
    from pilothouse.tables.why.row import Key

_RAW: Final = "raw/"


@dataclass(frozen=True)
class Pointed:
    """Rows of a table: of a raw one by identity, alone or with the moment when that version of them was seen; of others by key."""

    table: str
    keys: tuple[Key, ...]


def by_keys(platform: Platform, table: str, keys: Sequence[str]) -> Pointed:
    """Rows by what they are called; the parts of a key are joined by slashes. ConfigError where there is no such row."""
    _there(platform, table)
    if table.startswith(_RAW):
        return Pointed(table, tuple((_identity(platform, table, each),) for each in keys))
    names = platform.impact.key_of(table)
    if names is None:
        raise ConfigError(f"{table} is not made by a model", hint="point at rows of a raw table, or of a mart")
    parts = tuple(_parts(each, names, table) for each in keys)
    known = platform.lake.table(table).scan().select(pl.col(name).cast(pl.String) for name in names).collect()
    missing = next((each for each in parts if each not in set(known.iter_rows())), None)
    if missing is not None:
        raise ConfigError(f"{table}: no row {'/'.join(missing)}", hint="`pilothouse query` shows which there are")
    return Pointed(table, parts)


def by_commit(platform: Platform, table: str, version: int) -> Pointed:
    """All rows that one commit brought into a raw table."""
    _there(platform, table)
    found = next((commit for at, commit in platform.lake.table(table).commits() if at == version), None)
    if found is None or not table.startswith(_RAW):
        raise ConfigError(f"{table}: version {version} brought no rows", hint=f"`pilothouse history {table}` lists its versions")
    return Pointed(table, _seen(platform.lake.table(table).scan(version).filter(pl.col("_batch_id") == found.batch_id)))


def by_rule(platform: Platform, name: str) -> list[Pointed]:
    """The raw rows that break a rule: `s4/sales_order: order has a customer`, or its name where one alone is called so."""
    table, _, called = name.rpartition(": ")
    found = [
        (source.name, stream.name, rule)
        for source in platform.sources.values()
        for stream in source.streams.values()
        for rule in platform.rules(source.name, stream.name)
        if rule.name == called and table in ("", f"{source.name}/{stream.name}", f"raw/{source.name}/{stream.name}")
    ]
    if not found:
        raise ConfigError(f"no check '{name}'", hint="docs/reference/streams.md lists the rules of each stream")
    if any(rule.kind.scope != "row" for _, _, rule in found):
        raise ConfigError(f"'{name}' judges a table as a whole, and names no rows", hint="point at rows or at a commit: --rows")
    return [_breaking(platform, source, stream, rule) for source, stream, rule in found if platform.lake.raw(source, stream).exists()]


def let_through(platform: Platform, source: str, stream: str, *, took: Rule, takes: Rule, since: datetime) -> pl.DataFrame:
    """The rows that stand in a table because a rule took them since a moment, and that it takes no longer."""
    table, key = platform.lake.raw(source, stream), platform.source(source).stream(stream).key
    if not table.exists() or takes.kind.scope != "row":
        return pl.DataFrame()
    rows = current(table.scan().filter(pl.col("_seen_at") >= since)).collect()  # an older version is not the newest of a row seen since
    return rows.filter(_breaks(takes, key, rows) & ~_breaks(took, key, rows))


def _breaking(platform: Platform, source: str, stream: str, rule: Rule) -> Pointed:
    table, key = platform.lake.raw(source, stream), platform.source(source).stream(stream).key
    rows = table.scan().filter(pl.col("_change") != "delete").collect()
    return Pointed(table.name, _seen(rows.filter(_breaks(rule, key, rows)).lazy()))


def _breaks(rule: Rule, key: Sequence[str], rows: pl.DataFrame) -> pl.Series:
    """Which rows break a rule that judges each by itself."""
    return ~Gate([replace(rule, on_failure="quarantine")], key, without=(KEY, READABLE.name)).split(rows).kept


def _seen(rows: pl.LazyFrame) -> tuple[Key, ...]:
    """These versions of rows, as provenance calls them."""
    moment = pl.col("_seen_at").dt.epoch("us").cast(pl.String)
    return tuple(rows.select(pl.col("_row_id").bin.encode("hex").str.to_uppercase(), moment).collect().iter_rows())


def _identity(platform: Platform, table: str, said: str) -> str:
    """The identity of a raw row."""
    _, source, stream = table.split("/")
    names = platform.source(source).stream(stream).key
    raw, parts = platform.lake.table(table), _parts(said, names, table)
    kinds = raw.scan().collect_schema()
    frame = pl.DataFrame([pl.Series(name, [part]).cast(kinds[name]) for name, part in zip(names, parts, strict=True)])
    identity = row_ids(frame, source, stream, names).as_binary()[0]
    if raw.scan().filter(pl.col("_row_id") == identity).head(1).collect().is_empty():
        raise ConfigError(f"{table}: no row {said}", hint="`pilothouse query` shows which there are")
    return str(identity.hex().upper())


def _parts(said: str, names: Sequence[str], table: str) -> Key:
    parts = (said,) if len(names) == 1 else tuple(said.split("/"))
    if len(parts) != len(names):
        raise ConfigError(f"{table}: '{said}' is no key", hint=f"it has {len(names)} parts, joined by slashes: {', '.join(names)}")
    return parts


def _there(platform: Platform, table: str) -> None:
    if not platform.lake.table(table).exists():
        raise ConfigError(f"there is no table {table}", hint="`pilothouse tables` lists them, such as raw/s4/sales_order")
