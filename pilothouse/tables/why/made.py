"""How the tables were made that come from one table: what of, by which text, and what is asked of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import chain

from pilothouse.kernel.errors import PilothouseError
from pilothouse.tables.project import Model, relation
from pilothouse.tables.why.annotate import Annotated
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.needed import THERE
from pilothouse.tables.why.reading import At
from pilothouse.tables.why.recipes import Recipe, cells_in


@dataclass(frozen=True)
class Made:
    """How a version of a table was made: what of, by which text, and of which columns it is asked for no more than whether they are
    there (marked)."""

    model: Model
    at: At
    inputs: list[At]
    text: Annotated
    asked_there: frozenset[str]

    @property
    def reads(self) -> set[str]:
        """The tables that it was made of."""
        return {each.table for each in self.inputs}

    def recipes(self) -> dict[str, Recipe]:
        """Of the columns that anything can be made of, and (marked) of their being there where that is asked for."""
        return {
            name: recipe
            for name, recipe in self.text.columns.items()
            if (name in self.asked_there if name.endswith(THERE) else not name.startswith("_"))
        }


@dataclass(frozen=True)
class Unknown:
    """A table of which it cannot be said how it was made, which is an error for whoever gets there."""

    reads: set[str]
    error: PilothouseError


def made_of(explainer: Explainer, table: str, models: Sequence[Model], versions: Mapping[str, int]) -> list[Made | Unknown]:
    """The tables of these models that come from that one, in the order of their making, but for those that were never made."""
    below, found = {table}, list[Made | Unknown]()
    for model in models:
        if not below.isdisjoint(explainer.inputs_of(model)) and (model.table in versions or explainer.lake.table(model.table).exists()):
            below.add(model.table)
            try:
                at = at_of(explainer, model.table, versions)
                inputs = [At(*each) for each in explainer.reading.inputs(at).items()]
                found.append(Made(model, at, inputs, explainer.text(model, (), inputs), frozenset()))
            except PilothouseError as error:
                found.append(Unknown(set(explainer.inputs_of(model)), error))
    asked: dict[str, set[str]] = defaultdict(set)  # by a table as texts call it, for what comes after it
    for place, each in reversed([*enumerate(found)]):
        if isinstance(each, Made):
            made = found[place] = replace(each, asked_there=frozenset(asked[called(each.at.table)]))
            for name, column in chain.from_iterable(map(cells_in, [made.text.exists, *made.recipes().values()])):
                if column.endswith(THERE):
                    asked[name].add(column)
    return found


def at_of(explainer: Explainer, table: str, versions: Mapping[str, int]) -> At:
    """A table at the version that is named, or as it is now."""
    return At(table, versions[table] if table in versions else explainer.reading.newest(table))


def called(table: str) -> str:
    """A table as recipes call it."""
    return ".".join(relation(table))
