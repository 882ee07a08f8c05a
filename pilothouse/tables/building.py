"""Which tables are out of date, in which order they are made, and how they come into the lake.

Tables are made in waves: what a wave reads was published by earlier ones, so that every model reads the lake at versions that
can be named (law 1) and read again. A model whose inputs say what they said when it was made last is left alone, so a change
goes only as far as it changes something. A wave is built and tested in a database of its own in memory; what passed is
published, table by table, each by one commit. A build that dies in between leaves whole tables behind, and the next one goes on.

An incremental model (`dbt_project/macros/touched.sql`) is given the rows of its inputs that changed since the versions it was
made of, makes the rows they touch, and is merged; whatever stands in the way of that (other code, an expired version, an engine
that cannot) makes it anew as a whole, with the same result.

Which engine runs the models is a setting (`engines`); what is said here holds on each of them. Models in Python run in this
process on all.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import duckdb

from pilothouse.kernel.errors import LakeError, PilothouseError
from pilothouse.kernel.lake import Lake, Table
from pilothouse.kernel.lake.duck import Scan
from pilothouse.kernel.lake.opened import Opened
from pilothouse.kernel.settings import TableSettings
from pilothouse.kernel.versions import Pinned
from pilothouse.tables.dbt import Dbt, Ran
from pilothouse.tables.engines import Engine, Outcome, Part, Relation, Wave
from pilothouse.tables.engines.choice import chosen
from pilothouse.tables.engines.duck import DuckEngine
from pilothouse.tables.project import Model, Project, changes_of, relation
from pilothouse.tables.publishable import quoted, refuse_duplicates, refuse_nulls, why_not
from pilothouse.tables.record import Notes, Read, Record

_BATCH_ROWS = 100_000  # held in memory until they are written
How = Literal["unchanged", "in full", "in part", "failed", "not reached"]


@dataclass(frozen=True)
class Made:
    """What became of one table."""

    model: Model
    how: How
    table: Pinned | None = None
    changed: bool = False  # whether there is a new version
    rows: int = 0
    seconds: float = 0.0
    inputs: Mapping[str, Read] = field(default_factory=dict)
    tests: tuple[Ran, ...] = ()
    reason: str = ""  # why it failed, or which failed table it needs


@dataclass(frozen=True)
class _Plan:
    """A model that is made in this wave. `since` are the versions it was made of, where only what changed is made."""

    model: Model
    record: Record
    since: Mapping[str, Read] | None
    inputs: Mapping[str, Opened]  # at the versions that the record names
    before: Opened | None


class Builder:
    """Builds a project's tables over a lake."""

    def __init__(self, lake: Lake, project: Project, work: Path, settings: TableSettings) -> None:
        self.lake = lake
        self.project = project
        self._dbt = Dbt(project.folder, work)
        self._here = DuckEngine(lake, self._dbt, settings)
        self._engine = chosen(lake, project.folder, work, settings) or self._here
        self._notes = Notes(lake)
        self._settings = settings
        self._seen: dict[str, Opened] = {}  # the tables of one build, each opened once: what it was and what it was made

    def outdated(self, names: Iterable[str] | None = None) -> dict[str, str]:
        """The tables that a build would make, as far as is known before their inputs are, each with a word for what it would be
        made of."""
        self._seen = {}
        found: dict[str, Model] = {}
        for wave in self.project.waves(names if names is not None else self.project.published):
            for model in wave:
                inputs = self.project.inputs(model)
                if found.keys() & set(inputs) or (self._there(inputs) and not self._fresh(model)):
                    found[model.table] = model
        return {table: self._state(model) for table, model in found.items()}

    def _state(self, model: Model) -> str:
        inputs = {name: Read.of(there) for name in self.project.inputs(model) if (there := self._standing(name)) is not None}
        return f"{self.project.code(model)} {[(name, read.identity, read.content) for name, read in inputs.items()]}"

    def build(self, names: Iterable[str] | None = None, *, full: bool = False, learn: bool = False) -> Iterator[Made]:
        """Bring these tables (all by default) up to their inputs, telling each as it is done. `full` makes them anew as a whole, but
        for those that are kept as they were learned, which `learn` does. What fails is told like the rest, as is everything that
        needs it; all others are made."""
        self._seen = {}
        lacking: dict[str, str] = {}  # table → the failed one that it waits for
        for wave in self.project.waves(names if names is not None else self.project.published):
            plans = []
            for model in wave:
                broken = next((lacking[name] for name in self.project.inputs(model) if name in lacking), None)
                if broken is not None:
                    lacking[model.table] = broken
                    yield Made(model, "not reached", reason=f"{model.table}: needs {broken}, which failed")
                    continue
                try:
                    plan = self._planned(model, full=learn if model.kept else full)
                except LakeError as error:  # an input was never there
                    lacking[model.table] = model.table
                    yield Made(model, "failed", reason=str(error))
                    continue
                if plan is None:
                    there = self._open(model.table)
                    yield Made(model, "unchanged", there.pinned, rows=there.rows, inputs=self._record(model).inputs)
                else:
                    plans.append(plan)
            for made in self._made(plans):
                if made.how == "failed":
                    lacking[made.model.table] = made.model.table
                yield made

    def _table(self, model: Model) -> Table:
        return self.lake.table(model.table)

    def _record(self, model: Model) -> Record:
        return self._record_of(model, self._inputs(model))

    def _record_of(self, model: Model, inputs: Mapping[str, Opened]) -> Record:
        return Record(self.project.code(model), {name: Read.of(there) for name, there in inputs.items()})

    def _inputs(self, model: Model) -> dict[str, Opened]:
        return {name: self._open(name) for name in self.project.inputs(model)}

    def _open(self, table: str) -> Opened:
        if table not in self._seen:
            self._seen[table] = self.lake.table(table).opened()
        return self._seen[table]

    def _standing(self, table: str) -> Opened | None:
        """A table as it is; None where there is none."""
        return self._open(table) if table in self._seen or self.lake.table(table).exists() else None

    def _there(self, tables: Iterable[str]) -> bool:
        """Whether all of them exist: what was never read cannot be built upon, and is no reason to try."""
        return all(self._standing(name) is not None for name in tables)

    def _fresh(self, model: Model) -> bool:
        return self._up_to_date(model, self._noted(model), self._record(model))

    def _noted(self, model: Model) -> Record | None:
        there = self._standing(model.table)
        return self._notes.read(self._table(model), there) if there is not None else None

    @staticmethod
    def _up_to_date(model: Model, last: Record | None, now: Record) -> bool:
        return last is not None and (last.same_as(now) or (model.kept and last.code == now.code))

    def _planned(self, model: Model, *, full: bool) -> _Plan | None:
        inputs = self._inputs(model)
        last, record = self._noted(model), self._record_of(model, inputs)
        if self._up_to_date(model, last, record) and not full:
            return None
        partly = last is not None and model.incremental and not full and last.code == record.code and last.of_the_same_tables_as(record)
        return _Plan(model, record, last.inputs if last is not None and partly else None, inputs, self._standing(model.table))

    def prepare(self) -> None:
        """Read the project, so that the next build costs what its models cost."""
        self._dbt.prepare()

    def close(self) -> None:
        """Give back what engines hold."""
        self._engine.close()

    def _made(self, plans: Sequence[_Plan]) -> Iterator[Made]:
        """Build one wave, each model where it runs."""
        for engine in dict.fromkeys((self._engine, self._here)):
            mine = [plan for plan in plans if (self._here if plan.model.python else self._engine) is engine]
            if mine:
                yield from self._made_by(engine, mine)

    def _made_by(self, engine: Engine, plans: Sequence[_Plan]) -> Iterator[Made]:
        """Let an engine make them, and publish what passed."""
        began = time.monotonic()
        wave = self._wave(plans, in_part=engine.in_part)
        with engine.making(wave) as outcome, ThreadPoolExecutor(self._settings.threads, "publish") as publishers:
            works = [
                publishers.submit(copy_context().run, self._finished, plan, outcome, in_part=plan.model.name in wave.parts)
                for plan in plans
            ]
            for work in works:
                made = work.result()
                yield replace(made, seconds=time.monotonic() - began)

    def _finished(self, plan: _Plan, outcome: Outcome, in_part: bool) -> Made:  # noqa: FBT001 - by place, through a pool
        """Publish what was made of one model, unless there is a reason not to."""
        tests = tuple(each for each in outcome.ran if each.model == plan.model.name and each.kind != "model")
        try:
            reason = next(filter(None, (why_not(each, outcome) for each in (*self.project.views(plan.model), plan.model))), "")
            if reason:
                return Made(plan.model, "failed", reason=reason, tests=tests)
            return replace(self._published(plan, outcome.cursor(), in_part=in_part), tests=tests)
        except PilothouseError as error:
            return Made(plan.model, "failed", reason=str(error), tests=tests)
        except duckdb.Error as error:  # out of memory or of disk, while the rows are read out
            hint = "give it more by `tables.memory`, or free some disk; the table stays as it was"
            return Made(plan.model, "failed", reason=f"{plan.model.table}: {error}\n  hint: {hint}", tests=tests)

    def _wave(self, plans: Sequence[_Plan], *, in_part: bool) -> Wave:
        """These models with everything that they read, at its versions."""
        inputs: dict[Relation, Scan] = {}
        parts: dict[str, Part] = {}
        for plan in plans:
            for name, there in plan.inputs.items():
                if relation(name) not in inputs:
                    inputs[relation(name)] = there.files()
            part = self._part(plan) if in_part else None
            if part is not None:
                parts[plan.model.name] = part
        for model in self._tested_against(plans):
            if (model.layer, model.name) not in inputs:
                inputs[model.layer, model.name] = self._open(model.table).files()
        models = [each for plan in plans for each in (*self.project.views(plan.model), plan.model)]
        return Wave(tuple(dict.fromkeys(models)), inputs, parts)

    def _part(self, plan: _Plan) -> Part | None:
        """What changed for a model since it was made; None where it has to be made as a whole."""
        if plan.since is None or plan.before is None:
            return None
        changes: dict[str, tuple[Scan, Scan]] = {}
        for name, last in plan.since.items():
            try:
                changes[changes_of(plan.model.name, name)] = self.lake.table(name).lost_and_gained(last.version, plan.inputs[name])
            except LakeError:  # the version has expired
                return None
        return Part(plan.before.files(), changes)

    def _tested_against(self, plans: Sequence[_Plan]) -> Iterator[Model]:
        """Tables further up that tests may name, as far as they are there."""
        building = {plan.model.name for plan in plans}
        above = {model.name: model for plan in plans for model in self.project.ancestors(plan.model)}
        return (model for name, model in above.items() if name not in building and self._standing(model.table) is not None)

    def _published(self, plan: _Plan, connection: duckdb.DuckDBPyConnection, *, in_part: bool) -> Made:
        model, table = plan.model, self._table(plan.model)
        refuse_nulls(model, connection)
        refuse_duplicates(model, connection)
        metadata = plan.record.as_metadata()
        if in_part:
            removed, added = (connection.sql(text).to_arrow_table() for text in _merge_queries(model))
            if plan.before is not None and not removed.num_rows and not added.num_rows:
                pinned = plan.before.pinned
            else:
                pinned = table.merge(model.key, removed, added, metadata)
        else:
            # In order of the key, so that a later merge finds the rows that it changes in few files.
            rows = connection.sql(f'SELECT * FROM "{model.layer}"."{model.name}" ORDER BY {quoted(model.key)}')
            pinned = table.replace(rows.to_arrow_reader(_BATCH_ROWS), metadata, key=model.key)
        # At this version: by now somebody else may have written another one, which is not what was made.
        now = plan.before if plan.before is not None and plan.before.pinned == pinned else table.opened(int(pinned.version))
        self._seen[model.table] = now
        self._notes.write(table, plan.record, now)
        return Made(
            model,
            "in part" if in_part else "in full",
            pinned,
            changed=plan.before is None or Read.of(plan.before).said != Read.of(now).said,
            rows=now.rows,
            inputs=plan.record.inputs,
        )


def _merge_queries(model: Model) -> tuple[str, str]:
    """The rows that go and the rows that come, where one that is the same as before does neither."""
    key = quoted(model.key)
    made = f'SELECT * FROM "{model.layer}"."{model.name}__made"'
    before = f'SELECT * FROM before."{model.name}" WHERE ({key}) IN (SELECT ({key}) FROM "{model.layer}"."{model.name}__touched")'
    return f"({before}) EXCEPT ({made})", f"({made}) EXCEPT ({before})"
