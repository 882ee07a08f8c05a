"""Whether why and impact are right: against brute force, over every row of every table of a small company that has lived some days.

Raw rows are drawn at random. Each is taken away alone, with all versions of it, and whatever can depend on it is made again by the
models' own texts: the rows that then say something else are those that need it. Every one of them has to name it (recall). A row that
names it and stays the same without it has to need it once others are gone, of which any one would do (precision, of as many such rows
as `CHECKED`); but for records that are named because a resolver compared them. Impact has to tell the very rows that name it.
"""

from __future__ import annotations

import random
import tempfile
from collections import defaultdict
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path

from bench.figure import Figure, figure
from graph.resolution.corrections import Corrections
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.sandbox.company.company import Company
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Model, Project
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.impact import Impact
from pilothouse.tables.why.reading import At
from pilothouse.tables.why.row import RAW, Key
from tests.integration.tables.conftest import NOW
from tests.integration.tables.remade import Raw, Remade, by_itself, compiled, rows_of
from tests.integration.tables.removal import is_cause
from tests.integration.tables.test_building import lived
from tests.raw_company import RawCompany

REMOVED = 150  # raw rows
BEATS = 40  # of the company's life, so that rows have several versions, or are gone
CHECKED = 400  # rows that name a raw row and stay as they are without it
Depending = set[tuple[str, Key]]


def figures(scale: float = 0.005, removed: int = REMOVED) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        return Proof(folder, scale).figures(removed)


class Proof:
    """One small company, its tables, and what is told of them."""

    def __init__(self, folder: str, scale: float) -> None:
        work = Path(folder) / "work"
        company = Company.open(Path(folder), seed=11, scale=scale, now=NOW)
        self.lake = Lake(f"{folder}/lake")
        raw = RawCompany(company, self.lake)
        raw.sync()
        lived(raw, BEATS)
        Corrections(self.lake).ensure()
        company.close()
        self.project = Project.load(FOLDER, work)
        failed = [made.reason for made in Builder(self.lake, self.project, work, TableSettings()).build() if made.reason]
        if failed:
            raise RuntimeError("\n".join(failed))
        self.texts = compiled(self.lake, self.project, work)
        self.explainer = Explainer(self.lake, self.project, work)
        # What a resolver compared is named whether or not less would have done: firms are no part of this proof.
        compared = {"int_firm_link", "int_firm_member"}
        self.models = [model for model in self.project.published.values() if not model.kept and model.name not in compared]

    def figures(self, removed: int) -> list[Figure]:
        """Recall and precision of both."""
        named, dice = self.named(), random.Random(5)
        remade = Remade(self.lake, self.project, self.texts)
        before = {model.name: self.said(remade, model) for model in self.models}
        missing = pairs = wrong = 0
        unsettled: list[tuple[Raw, tuple[str, Key]]] = []
        impact = Impact(self.explainer, self.models_all())
        for raw in self.drawn(dice, removed):
            changed = self.changed(remade, raw, before)
            pairs += len(changed)
            missing += len(changed - named[raw])
            unsettled += [(raw, each) for each in sorted(named[raw] - changed)]
            forward = {(each.table, tuple(each.key.values())) for each in impact.of(*raw)}
            told = {each for each in forward if each[0] in {model.table for model in self.models}}
            wrong += len(told ^ named[raw])
        checked = dice.sample(unsettled, min(CHECKED, len(unsettled)))
        idle = sum(not self.causes(raw, each) for raw, each in checked)
        rows = sum(map(len, before.values()))
        return [
            figure(
                f"why, rows that need one of {removed} raw rows and do not name it, of {pairs:,} over {rows:,} rows",
                missing,
                "rows",
                better="lower",
                bar=0,
            ),
            figure(
                f"why, rows that name one without cause, {len(checked)} of {len(unsettled):,} that stay the same without it",
                idle,
                "rows",
                better="lower",
                bar=0,
            ),
            figure("impact, rows that it tells too much or too little", wrong, "rows", better="lower", bar=0),
        ]

    def models_all(self) -> list[Model]:
        """All models, in the order of their making."""
        return list(self.project.published.values())

    def drawn(self, dice: random.Random, count: int) -> list[Raw]:
        """Raw rows of whatever table, be they named or not."""
        tables = sorted({name for model in self.project.models.values() for name in model.raw})
        rows = {
            (name, each.hex().upper()) for name in tables for each in self.lake.table(name).scan().select("_row_id").collect()["_row_id"]
        }
        return dice.sample(sorted(rows), min(count, len(rows)))

    def named(self) -> dict[Raw, Depending]:
        """The rows that name each raw row: what is to be proved."""
        found: dict[Raw, Depending] = defaultdict(set)
        for model in self.models:
            keys = self.lake.table(model.table).scan().select(model.key).collect()
            at = At(model.table, self.explainer.reading.newest(model.table))
            with self.explainer.walk() as walk:
                wanted = {tuple(map(str, row)): _columns(model) for row in keys.iter_rows()}
                for key, rows in walk.needs(at, wanted).items():
                    for raw in rows:
                        if raw[0].startswith(RAW):
                            found[raw].add((model.table, key))
        return found

    def changed(self, remade: Remade, raw: Raw, before: Mapping[str, Mapping[Key, object]]) -> Depending:
        """The rows that say something else, or are gone, without a raw row."""
        remade.take(frozenset({raw}))
        found: Depending = set()
        for model in self.models:
            if raw[0] in self.reads(model):
                now = self.said(remade, model)
                found |= {(model.table, key) for key, said in before[model.name].items() if now.get(key) != said}
        return found

    @cache  # noqa: B019 - a proof lives as long as its process
    def reads(self, model: Model) -> frozenset[str]:
        """The raw tables at the end of all that a model reads."""
        raw = {name for name in self.project.inputs(model) if name.startswith("raw/")}
        return frozenset(raw).union(*(self.reads(each) for each in self.project.ancestors(model)))

    @staticmethod
    def said(remade: Remade, model: Model) -> dict[Key, object]:
        """What all rows of a table say."""
        width, names = len(model.key), ", ".join(f'"{name}"' for name in sorted(_columns(model)))
        keys = ", ".join(f'CAST("{name}" AS VARCHAR)' for name in model.key)
        rows = remade.connection.execute(f'SELECT {keys}, {names} FROM "{model.layer}"."{model.name}"').fetchall()
        return {row[:width]: row[width:] for row in rows}

    def causes(self, raw: Raw, row: tuple[str, Key]) -> bool:
        """Whether a row needs a raw row once others are gone."""
        model = self.project.model(row[0])
        key = dict(zip(model.key, row[1], strict=True))
        explained = self.explainer.why(model.table, key)
        if raw not in by_itself(explained):
            return True
        remade = Remade(self.lake, self.project, self.texts, explained.raw())
        return is_cause(raw, sorted(rows_of(explained.raw())), cache(partial(remade.row, model, key)))


def _columns(model: Model) -> set[str]:
    return {column.name for column in model.columns if not column.name.startswith("_")}
