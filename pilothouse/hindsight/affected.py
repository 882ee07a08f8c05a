"""Blast radius: the decisions that something touched, and what they would say without it or with what is known today.

A decision keeps which rows it asked for, of which tables at which versions (`looked` in its capsule). So what touched it is found
without guessing: for each version of a table that decisions looked at, the rows that depend on the bad ones are told by provenance
as that version was made (`tables/why/impact.py`), and a decision is touched if it asked for one of them. A bad row that came later
than the version that a decision read has not touched it, and one that was mended since has.

Of graph measures, what is traced is what a firm's group owes: by the rows of exposure and ownership of the firms in it. What was
not found because of a bad row is not traced: a decision is touched by rows that it saw.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import msgspec
import polars as pl

from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.capsules import Capsule, Ledger
from pilothouse.agents.capsules.capsule import Digest, canonical
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot, plain
from pilothouse.kernel.errors import AgentError, LakeError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Versions
from pilothouse.tables.record import Notes
from pilothouse.tables.why.impact import Dependent, Impact
from pilothouse.tables.why.row import Key

_MEASURES: Final = "graph/firm_measures"
_EXPOSURE: Final = "marts/fct_exposure"
_OWNERSHIP: Final = "marts/fct_ownership"
_MEMBERS: Final = "intermediate/int_firm_member"
Place = tuple[str, int]  # a table at a version


@dataclass(frozen=True)
class Touched:
    """A decision, and the rows through which it was touched: each by its table and key."""

    capsule: Capsule
    through: tuple[tuple[str, str], ...]

    def as_json(self) -> dict[str, Any]:
        """Plain."""
        said = self.capsule.body.get("output", {})
        return {
            "decision": self.capsule.digest,
            "subject": self.capsule.manifest["subject"],
            "agent": self.capsule.manifest["agent"],
            "at": self.capsule.manifest["at"],
            "action": said.get("action"),
            "through": [{"table": table, "row": row} for table, row in self.through],
        }


@dataclass(frozen=True)
class _Looked:
    capsule: Capsule
    rows: tuple[tuple[Place, Mapping[str, Any]], ...]
    versions: Versions


class Affected:
    """Finds the decisions of one ledger that something touched. `impact` is asked for once rows must be followed: it takes all models,
    which are parsed for seconds where nobody has, and what a model had a word in is known without."""

    def __init__(self, lake: Lake, ledger: Ledger, impact: Callable[[], Impact]) -> None:
        self._lake = lake
        self._ledger = ledger
        self._impact_of = impact
        self._notes = Notes(lake)

    @cached_property
    def _impact(self) -> Impact:
        return self._impact_of()

    def by_model(self, version: str) -> Iterator[Touched]:
        """The decisions that a version of a model had a word in: `late_payment_risk@3`, or its number where one model alone is asked."""
        name, _, number = version.rpartition("@")
        for looked in self._decisions():
            asked = [each for each in looked.versions.read if each.kind == "model" and name in ("", each.name) and each.version == number]
            if asked:
                yield Touched(looked.capsule, tuple((f"model/{each.name}", each.version) for each in asked))

    def by_merge(self, left: Key, right: Key) -> Iterator[Touched]:
        """The decisions that looked at rows which depend on two records (source and number) being one firm, where they were one then."""
        return self._by(_MEMBERS, lambda version: self._one_firm(left, right, version))

    def by_rows(self, table: str, keys: Collection[Key]) -> Iterator[Touched]:
        """The decisions that looked at rows which depend on these, as their tables were made then. AgentError where it cannot be told.
        Rows of a raw table go by their identity, alone or with the moment when a version of them was seen; others by their key."""
        return self._by(table, lambda _: keys)

    def _by(self, table: str, keys_at: Callable[[int], Collection[Key]]) -> Iterator[Touched]:
        decisions = list(self._decisions())
        touched: dict[Place, Mapping[tuple[str, ...], Mapping[bytes, str]]] = {}
        wheres, among = self._wheres(decisions), self._among(decisions)
        for place in sorted(wheres):
            rows = self._rows_at(place, table, keys_at, among.get(place))
            if rows:
                touched[place] = self._by_where(place, rows, wheres[place])
        for looked in decisions:
            through = [
                (place[0], row)
                for place, where in looked.rows
                if (row := touched.get(place, {}).get(tuple(sorted(where)), {}).get(canonical(where))) is not None
            ]
            if through:
                yield Touched(looked.capsule, tuple(dict.fromkeys(through)))

    def _decisions(self) -> Iterator[_Looked]:
        """Every decision with what it looked at, the first one first."""
        capsules = list(self._ledger.entries(kind="decision"))
        named = {capsule.blobs[name] for capsule in capsules for name in ("looked", "versions") if name in capsule.blobs}
        blobs = self._ledger.blobs(named)
        vectors = {each: Versions.from_json(msgspec.json.decode(blobs[each])) for each in {_blob(c, "versions") for c in capsules} if each}
        for capsule in reversed(capsules):
            vector, asked = _blob(capsule, "versions"), _blob(capsule, "looked")
            if vector is not None and asked is not None:
                rows = msgspec.json.decode(blobs[asked])
                yield _Looked(capsule, tuple(((row["table"], row["version"]), row["where"]) for row in rows), vectors[vector])

    @staticmethod
    def _wheres(decisions: Iterable[_Looked]) -> dict[Place, set[tuple[str, ...]]]:
        """By which columns rows were asked for, of each table at each version."""
        found: dict[Place, set[tuple[str, ...]]] = defaultdict(set)
        for looked in decisions:
            for place, where in looked.rows:
                found[place].add(tuple(sorted(where)))
        return found

    def _one_firm(self, left: Key, right: Key, version: int) -> Collection[Key]:
        """Both records, if they were one firm at a version."""
        rows = self._lake.table(_MEMBERS).scan(version).select("source", "record_id", "firm_id").collect()
        firms: dict[Key, str] = {(source, record): firm for source, record, firm in rows.iter_rows()}
        return (left, right) if firms.get(left) is not None and firms.get(left) == firms.get(right) else ()

    def _among(self, decisions: Iterable[_Looked]) -> dict[Place, set[Key]]:
        """The keys that were asked for, of tables whose rows were asked for by their keys alone: of others nothing need be found out."""
        found: dict[Place, set[Key]] = defaultdict(set)
        other: set[Place] = set()
        for looked in decisions:
            for place, where in looked.rows:
                key = self._impact.key_of(place[0])
                if key is None or set(where) != set(key):
                    other.add(place)
                else:
                    found[place].add(tuple(str(where[name]) for name in key))
        return {place: keys for place, keys in found.items() if place not in other}

    def _rows_at(self, place: Place, table: str, keys_at: Callable[[int], Collection[Key]], among: Collection[Key] | None) -> set[Key]:
        """The rows of a table at a version that depend on those in question; among some, where these alone matter."""
        made_of = self._made_of(place)
        if table not in made_of:
            return set()
        keys = keys_at(made_of[table])
        if place[0] == table:
            return set(keys)
        if place[0] == _MEASURES:
            return self._measures(place, made_of, table, keys)
        return {tuple(each.key.values()) for each in self._dependents(table, keys, made_of, {place[0]: among})}

    def _dependents(
        self, table: str, keys: Collection[Key], versions: Mapping[str, int], tell: Mapping[str, Collection[Key] | None]
    ) -> Iterator[Dependent]:
        try:
            yield from self._impact.of_rows(table, keys, versions, tell)
        except LakeError as error:
            raise AgentError(f"what depends on {table} as it was then cannot be told: {error.message}", hint=error.hint) from error

    def _made_of(self, place: Place) -> dict[str, int]:
        """A table at a version and all that it was made of, each at the newest version that had a part in it."""
        found: dict[str, int] = {}
        waiting = [place]
        while waiting:
            name, version = waiting.pop()
            if found.get(name, -1) >= version:
                continue
            found[name] = version
            record = next(iter(self._notes.told_of(self._lake.table(name), version)), None)
            waiting += [(each, read.version) for each, read in (record.inputs.items() if record is not None else ())]
        return found

    def _measures(self, place: Place, made_of: Mapping[str, int], table: str, keys: Collection[Key]) -> set[Key]:
        """The firms whose group is made of rows that depend on these."""
        firms: set[str] = set()
        for mart, columns in ((_EXPOSURE, ("firm_id",)), (_OWNERSHIP, ("owner_firm_id", "owned_firm_id"))):
            if mart not in made_of:
                continue
            below = self._made_of((mart, made_of[mart]))
            if table == mart:
                firms |= {key[number] for key in keys for number in range(len(columns))}
            elif table in below:
                firms |= {each.key[name] for each in self._dependents(table, keys, below, {mart: None}) for name in columns}
        if not firms:
            return set()
        rows = self._lake.table(place[0]).scan(place[1]).select("firm_id", "group_id").collect()
        groups = rows.filter(pl.col("firm_id").is_in(list(firms)))["group_id"]
        return {(firm,) for firm in rows.filter(pl.col("group_id").is_in(groups.implode()))["firm_id"]}

    def _by_where(self, place: Place, rows: set[Key], wheres: Collection[tuple[str, ...]]) -> Mapping[tuple[str, ...], Mapping[bytes, str]]:
        """These rows by the values that they would be asked for with."""
        key = self._key_of(place[0])
        columns = sorted({*key, *(name for where in wheres for name in where)})
        frame = self._lake.table(place[0]).scan(place[1]).select(columns).collect()
        keys = pl.DataFrame(sorted(rows), schema=[f"_{name}" for name in key], orient="row")
        texts = [pl.col(name).cast(pl.String).alias(f"_{name}") for name in key]
        found = frame.with_columns(texts).join(keys, on=keys.columns, how="semi")
        known: dict[tuple[str, ...], dict[bytes, str]] = {where: {} for where in wheres}
        for row in found.iter_rows(named=True):
            told = ", ".join(str(row[name]) for name in key)
            for where in wheres:
                known[where].setdefault(canonical({name: plain(row[name]) for name in where}), told)
        return known

    def _key_of(self, table: str) -> Sequence[str]:
        if table == _MEASURES:
            return ("firm_id",)
        found = self._impact.key_of(table)
        if found is None:
            raise AgentError(
                f"{table}: nothing tells by what its rows are named", hint="name rows of a raw table, or of one that a model makes"
            )
        return found


def _blob(capsule: Capsule, name: str) -> Digest | None:
    return capsule.blobs.get(name)


@dataclass(frozen=True)
class Again:
    """A decision beside what its agent says now, of the same order by today's data. `why_not` tells why it says nothing."""

    touched: Touched
    action: str | None
    changes: Mapping[str, tuple[Any, Any]]  # of the output, what is another: then and now
    why_not: str = ""

    def as_json(self) -> dict[str, Any]:
        """Plain."""
        changes = {name: {"then": then, "now": now} for name, (then, now) in self.changes.items()}
        return {**self.touched.as_json(), "now": self.action, "changes": changes, "why_not": self.why_not}


def again(ledger: Ledger, lake: Lake, agents: Mapping[str, Agent], touched: Iterable[Touched]) -> Iterator[Again]:
    """What each would say now: the agent as it is, over the newest tables. Nothing is kept of it, and nothing proposed."""
    snapshots: dict[str, Snapshot] = {}
    try:
        for each in touched:
            yield _again(ledger, lake, agents, each, snapshots)
    finally:
        for snapshot in snapshots.values():
            snapshot.close()


def _again(ledger: Ledger, lake: Lake, agents: Mapping[str, Agent], touched: Touched, snapshots: dict[str, Snapshot]) -> Again:
    name = str(touched.capsule.manifest["agent"])
    if name not in agents:
        return Again(touched, None, {}, f"there is no agent {name} any more")
    if name not in snapshots:
        snapshots[name] = Snapshot.take(lake, agents[name].tables)
    request = Request.from_json(msgspec.json.decode(ledger.blob(touched.capsule.blobs["request"])))
    try:
        said = msgspec.json.decode(run(agents[name], request, snapshots[name]).output)
    except AgentError as error:
        return Again(touched, None, {}, error.message)
    then = touched.capsule.body["output"]
    return Again(touched, said.get("action"), {field: (then.get(field), said[field]) for field in said if then.get(field) != said[field]})
