"""What raw rows said then, and what they say now: a source is found by its identity in the newest version of its table."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from pilothouse.agents.snapshot import plain
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.reading import At, Connection
from pilothouse.tables.why.row import Row

State = Literal["same", "changed", "deleted", "gone"]
RAW: Final = "raw/"


@dataclass(frozen=True)
class Source:
    """A raw row that the decision is made of: what mattered of it then, and the same now."""

    table: str
    version: int  # of the table, then
    row_id: str
    seen_at: str
    called: str  # as the first table above it names it
    then: Mapping[str, Any]
    now: Mapping[str, Any] | None
    state: State


@dataclass
class _Named:
    version: int
    called: str = ""
    then: dict[str, Any] = field(default_factory=dict)


def walked(rows: Sequence[Row]) -> Iterator[tuple[Row | None, Row]]:
    """Every row once for each one that is made of it, with that one."""
    seen: set[int] = set()
    pending: list[tuple[Row | None, Row]] = [(None, row) for row in rows]
    while pending:
        above, row = pending.pop()
        yield above, row
        if id(row) not in seen:
            seen.add(id(row))
            pending += [(row, below) for below in row.sources]


def sources(explainer: Explainer, connection: Connection, rows: Sequence[Row]) -> list[Source]:
    """The raw rows at the end of it all."""
    named: dict[str, dict[tuple[str, str], _Named]] = defaultdict(dict)
    for above, row in walked(rows):
        if row.table.startswith(RAW):
            found = named[row.table].setdefault((row.key["_row_id"], row.key["_seen_at"]), _Named(row.version))
            found.called = found.called or (" ".join(above.key.values()) if above is not None else "")
            found.then |= {name: value for name, value in row.values.items() if not name.startswith("_")}
    return [each for table in sorted(named) for each in _held_against_now(explainer, connection, table, named[table])]


def _held_against_now(
    explainer: Explainer, connection: Connection, table: str, named: Mapping[tuple[str, str], _Named]
) -> Iterator[Source]:
    """Where all files of then are still there, rows that nothing was seen of since say what they said, and little came since."""
    reading = explainer.reading
    newest = At(table, reading.newest(table))
    kept = all(reading.keeps(newest, version) for version in {each.version for each in named.values()})
    since = min(int(seen_at) for _, seen_at in named) if kept else 0
    wanted = {name for each in named.values() for name in each.then}  # nothing else is read, of what may be millions of rows
    known = sorted(wanted & {*reading.columns_of(newest)})
    told = [*(f'"{name}"' for name in known), "_change", "hex(_row_id) AS _named", "epoch_us(_seen_at) AS _seen"]
    found: dict[str, dict[str, Any]] = {}
    if reading.seen_since(newest, since):
        duck = connection.duck.execute(
            f"SELECT {', '.join(told)} FROM ({reading.rows_of(newest)})"
            f" WHERE _seen_at > make_timestamptz({since}) AND _row_id IN (SELECT unhex(unnest(?)))"
            " QUALIFY row_number() OVER (PARTITION BY _row_id ORDER BY _seen_at DESC, _changed_at DESC NULLS LAST) = 1",
            [sorted({row_id for row_id, _ in named})],
        )
        columns = [column[0] for column in duck.description or ()]
        found = {row["_named"]: row for row in (dict(zip(columns, values, strict=True)) for values in duck.fetchall())}
    told_now: dict[tuple[str, str], tuple[Mapping[str, Any] | None, State]] = {}
    for (row_id, seen_at), each in named.items():
        row = found.get(row_id)
        now: Mapping[str, Any] | None = None
        if row is not None and (not kept or row["_seen"] > int(seen_at)):
            now = None if row["_change"] == "delete" else {name: row.get(name) for name in each.then}
        elif kept:  # nothing came after it
            now = each.then if len(known) == len(wanted) else {name: each.then[name] if name in known else None for name in each.then}
        alike = now is each.then or (now is not None and _alike(now, each.then))
        told_now[row_id, seen_at] = now, "same" if alike else "changed" if now is not None else "deleted" if row else "gone"
    for of in _superseded(explainer, connection, table, {of: named[of] for of, (_, state) in told_now.items() if state == "changed"}):
        told_now[of] = named[of].then, "same"
    for of, each in sorted(named.items(), key=lambda item: (item[1].called, item[0])):
        yield Source(table, each.version, *of, each.called, each.then, *told_now[of])


def _superseded(
    explainer: Explainer, connection: Connection, table: str, named: Mapping[tuple[str, str], _Named]
) -> Iterator[tuple[str, str]]:
    """Versions that were not the newest of their rows when they were read: what a row said before it said something else stays as it is."""
    of_version: dict[int, list[tuple[str, str]]] = defaultdict(list)
    for of, each in named.items():
        of_version[each.version].append(of)
    for version, several in of_version.items():
        rows, latest = explainer.reading.rows_of(At(table, version)), "epoch_us(max(_seen_at))"
        told = f"SELECT hex(_row_id), {latest} FROM ({rows}) WHERE _row_id IN (SELECT unhex(unnest(?))) GROUP BY ALL"
        newest = dict(connection.duck.execute(told, [sorted({row_id for row_id, _ in several})]).fetchall())
        yield from (of for of in several if newest[of[0]] > int(of[1]))


def _alike(now: Mapping[str, Any], then: Mapping[str, Any]) -> bool:
    """A row that a tool looked at itself is told in plain JSON, others as DuckDB has them."""
    return {name: plain(value) for name, value in now.items()} == {name: plain(value) for name, value in then.items()}
