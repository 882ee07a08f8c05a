"""Why a decision says what it says: from its words and its way through a tree to the source rows without which it would differ.

    what was decided ── using ──▶ cells of tables ── the tables' own why ──▶ raw rows of then ──▶ what these say now
                                     └── graph facts ── graph.explaining ──▶ rows of marts ──┘

Versions of the decision's vector make then. Rows that several facts are made of are found once, and what any one of several rows
would do for is chosen for the decision as a whole.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from graph.analytics.tables import ANALYSED
from graph.explaining import MARTS, Measured
from pilothouse.agents.agent import Agent
from pilothouse.agents.explaining.looks import Look, Watching
from pilothouse.agents.explaining.merges import Merge, merges
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.explaining.since import RAW, Source, sources
from pilothouse.agents.explaining.using import INPUT, LEARNED, Remade, used
from pilothouse.agents.snapshot import Snapshot, plain
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.uncollected import uncollected
from pilothouse.kernel.versions import Versions
from pilothouse.tables.record import Notes
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.reading import RAW_KEY, At
from pilothouse.tables.why.row import Key, Row

Wanted = dict[At, dict[Key, set[str]]]  # the columns of rows that are asked for
_SOME: Final = 14  # rows of a table whose values are tried in the place of those that were seen
_MEASURES: Final = "graph/firm_measures"
_EXPOSURE: Final = "marts/fct_exposure"
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Fact:
    """Something that the decision used: a column of a row, and what of the decision it moves. Without a column, that the row is
    there."""

    table: str
    version: int
    key: Mapping[str, str]
    column: str
    value: Any
    moves: tuple[str, ...]
    told_by: tuple[str, ...]  # tools

    @property
    def asked(self) -> tuple[str, ...]:
        """The inputs of the tree that it is, on the way that was taken."""
        return tuple(each.removeprefix(INPUT) for each in self.moves if each.startswith(INPUT))


@dataclass(frozen=True)
class Learned:
    """A version of a model that was asked: what it learned is not told row by row, but at which versions of which tables."""

    name: str
    version: str
    fingerprint: str
    from_tables: Mapping[str, str]


@dataclass(frozen=True)
class Why:
    """What a decision is made of. `rows` are those that it looked at, each with all that it is made of in turn."""

    opened: Opened
    facts: tuple[Fact, ...]
    rows: tuple[Row, ...]
    sources: tuple[Source, ...]
    merges: tuple[Merge, ...]
    models: tuple[Learned, ...]
    notes: tuple[str, ...]  # what is not exact, and why

    def as_json(self) -> dict[str, Any]:
        """For programs. Rows go by numbers: what several are made of is told once."""
        numbers: dict[int, int] = {}
        told: list[dict[str, Any]] = []

        def number(row: Row) -> int:
            if id(row) not in numbers:
                below = [number(each) for each in row.sources]
                choices = [
                    {"alternatives": [[below[place] for place in rows] for rows in choice.alternatives], "more": choice.more}
                    for choice in row.choices
                ]
                plainly = {"table": row.table, "version": row.version, "key": row.key, "values": row.values}
                numbers[id(row)] = len(told)
                told.append({"row": len(told), **plainly, "sources": below, "choices": choices})
            return numbers[id(row)]

        return {
            "id": self.opened.capsule.digest,
            **{name: self.opened.capsule.manifest[name] for name in ("subject", "at", "agent", "agent_version")},
            "action": self.opened.output.get("action"),
            "reasons": self.opened.output.get("reasons"),
            "facts": [vars(each) for each in self.facts],
            "models": [vars(each) for each in self.models],
            "asked": [number(row) for row in self.rows],
            "rows": told,
            "sources": [vars(each) for each in self.sources],
            "merges": [asdict(each) for each in self.merges],
            "notes": list(self.notes),
        }


class Deciding:
    """Explains decisions over a lake. What it finds out about a table is kept for the next one."""

    def __init__(self, lake: Lake, explainer: Explainer) -> None:
        self._lake = lake
        self._explainer = explainer
        self._besides: dict[str, list[dict[str, Any]]] = {}
        self._measured: dict[int, tuple[Measured, Mapping[str, int]]] = {}
        self._then: tuple[Versions, Snapshot] | None = None

    @uncollected()
    def why(self, opened: Opened, agent: Agent) -> Why:
        """What a decision is made of. `agent` lends its code; AgentError where that no longer says what was heard then."""
        remade = Remade(opened, agent.as_defined(opened.definition), Watching(self._as_of(opened.versions)))
        versions = {entry.name: int(entry.version) for entry in opened.versions.read if entry.kind == "table"}
        facts, wanted = self._facts(remade, versions)
        notes: list[str] = []
        made, below = self._made(wanted, remade.looks, notes)
        rows = [made[at, key] for at, keys in wanted.items() for key in keys]
        for row, sources_of in below:
            row.sources = [made[each] for each in sources_of if each in made]
        connection = self._explainer.reading.connection()
        told, joined = sources(self._explainer, connection, rows), merges(self._explainer, connection, rows)
        self._explainer.reading.give_back(connection)
        return Why(
            opened, tuple(facts), tuple(rows), tuple(told), tuple(joined), tuple(_learned(remade.looks)), tuple(dict.fromkeys(notes))
        )

    def _as_of(self, versions: Versions) -> Snapshot:
        """The tables as they were. Those of the last decision stay open: the next one was often made of the same."""
        then = self._then
        if then is None or then[0] != versions:
            then = self._then = versions, Snapshot.of(self._lake, versions)
        return then[1]

    def _facts(self, remade: Remade, versions: Mapping[str, int]) -> tuple[list[Fact], Wanted]:
        """What was used, and the cells to explain. A row that came by a condition has to meet it, so what it was asked for counts."""
        facts: list[Fact] = []
        wanted: Wanted = defaultdict(lambda: defaultdict(set))
        for each in used(remade, lambda table: self._rows_besides(At(table, versions[table]))):
            look = remade.looks[each.cell.look]
            at, row = At(look.table, versions[look.table]), look.rows[each.cell.row]
            key = self._called(look, row)
            calls = tuple(dict.fromkeys(heard.name for heard in remade.calls_of[each.cell.look]))
            wanted[at][tuple(key.values())] |= ({each.cell.column} if each.cell.column else set()) | (look.where.keys() - key.keys())
            facts.append(Fact(look.table, at.version, key, each.cell.column, each.value, each.moves, calls))
        return facts, wanted

    def _key_of(self, table: str) -> tuple[str, ...]:
        model = self._explainer.model_of(table)
        return model.key if model is not None else ANALYSED[table].key if table in ANALYSED else ()

    def _made(
        self, wanted: Wanted, looks: Sequence[Look], notes: list[str]
    ) -> tuple[dict[tuple[At, Key], Row], list[tuple[Row, list[tuple[At, Key]]]]]:
        """The rows that are asked for with all that they are made of. Of rows that Python made: the rows, and what stands below them."""
        cells: Wanted = defaultdict(lambda: defaultdict(set))
        by_hand: dict[tuple[At, Key], Row] = {}
        below: list[tuple[Row, list[tuple[At, Key]]]] = []
        order = next((str(row["order_id"]) for look in looks if look.table == "marts/fct_order" for row in look.rows), "")
        for at, rows in wanted.items():
            for key, columns in rows.items():
                if self._explainer.model_of(at.table) is not None:
                    cells[at][key] |= columns
                    continue
                rows_of = ((look, row) for look in looks if look.table == at.table for row in look.rows)
                named, seen = next((called, row) for look, row in rows_of if tuple((called := self._called(look, row)).values()) == key)
                row = by_hand[at, key] = Row(at.table, at.version, named, sorted(columns))
                row.values = {name: value for name, value in seen.items() if name in columns or name in named}
                if at.table == _MEASURES:
                    below.append((row, self._measures(at, key[0], columns, order, cells, notes)))
                elif not at.table.startswith(RAW):
                    notes.append(f"{at.table} is no table that a model makes: what its rows are made of is not told")
        return self._explainer.why_all(cells) | by_hand, below

    def _called(self, look: Look, row: Mapping[str, Any]) -> dict[str, str]:
        """What a row is called: by its table's key, a version of a raw row by identity and moment, any other by what it was asked for."""
        if look.table.startswith(RAW):
            seen = datetime.fromisoformat(row["_seen_at"]) - _EPOCH
            return dict(zip(RAW_KEY, (str(row["_row_id"]), str(seen // timedelta(microseconds=1))), strict=True))
        return {name: str(row[name]) for name in self._key_of(look.table) or tuple(look.where)}

    def _measures(self, at: At, firm: str, columns: set[str], order: str, cells: Wanted, notes: list[str]) -> list[tuple[At, Key]]:
        """Ask for what a firm's measures are made of; returns which rows these are."""
        if at.version not in self._measured:
            told = [*Notes(self._lake).told_of(self._lake.table(at.table), at.version)]
            if not told:
                raise AgentError(
                    f"{at.table}: nothing tells what version {at.version} was made of", hint="`pilothouse graph measure --anew`"
                )
            read = {name: each.version for name, each in told[-1].inputs.items()}
            read |= self._explainer.reading.inputs(At(_EXPOSURE, read[_EXPOSURE]))  # which sums up the invoices that are needed
            marts = {name: self._lake.table(name).scan(read[name]) for name in MARTS}
            self._measured[at.version] = Measured(marts), read
        measured, inputs = self._measured[at.version]
        made = measured.made_of(firm, columns, order)
        notes += made.notes
        found = []
        for table, rows in made.rows.items():
            for key, its in rows.items():
                source = At(table, inputs[table])
                cells[source][key] |= its
                found.append((source, key))
        return found

    def _rows_besides(self, at: At) -> list[dict[str, Any]]:
        """Rows of a table that say something else than one that was seen: those that say the least and the most in each column, one
        that says nothing wherever some row does, and a few as they stand there."""
        if at.table not in self._besides:
            connection = self._explainer.reading.connection()
            rows = self._explainer.reading.rows_of(at)
            some = connection.duck.execute(f"SELECT * FROM ({rows}) LIMIT {_SOME}")
            names = [column[0] for column in some.description or ()]
            found = [dict(zip(names, map(plain, values), strict=True)) for values in some.fetchall()]
            quoted = ['"' + name.replace('"', '""') + '"' for name in names]
            told = ", ".join(f"min({name}), max({name}), count({name})" for name in quoted)
            (whole,) = connection.duck.execute(f"SELECT count(*), {told} FROM ({rows})").fetchall()
            least, most = ({name: plain(whole[1 + place * 3 + which]) for place, name in enumerate(names)} for which in (0, 1))
            nothing = {name: None for place, name in enumerate(names) if whole[3 + place * 3] < whole[0]}
            self._besides[at.table] = [least, most, {**least, **nothing}, *found]
            self._explainer.reading.give_back(connection)
        return self._besides[at.table]


def _learned(looks: Sequence[Look]) -> list[Learned]:
    found = []
    for look in looks:
        for row in look.rows if look.table.startswith(LEARNED) else ():
            read = Versions.from_json(json.loads(row.get("versions") or "{}")).read
            tables = {entry.name: entry.version for entry in read if entry.kind == "table"}
            found.append(Learned(look.table.removeprefix(LEARNED), str(row.get("version")), str(row.get("fingerprint")), tables))
    return found
