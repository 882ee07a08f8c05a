"""What something depends on, as the fields of a trace will tell it, and how several such things are put together.

Cells become a recipe when somebody asks for it, and of the fields it is to be read from: those of a row, or those of the rows of a
group or of a window. So of a query of forty columns, of which one is in question, the trace holds what that one takes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from sqlglot import exp

from pilothouse.kernel.errors import ConfigError
from pilothouse.tables.why.recipes import NOTHING, Fields, Recipe, all_of, down

DIALECT: Final = "duckdb"

Cells = Callable[[Fields], Recipe]


class Unexplained(ConfigError):
    """A query holds something of which nobody knows yet how to tell exactly what it depends on."""


def nothing(fields: Fields) -> Recipe:  # noqa: ARG001 - one of many cells
    """What is taken away changes nothing."""
    return NOTHING


def both(*several: Cells) -> Cells:
    """The cells of all of these."""
    kept = [each for each in dict.fromkeys(several) if each is not nothing]
    if len(kept) <= 1:
        return kept[0] if kept else nothing
    return lambda fields: all_of(each(fields) for each in kept)


def all_hold(mine: Cells, first: str, others: Cells, second: str) -> Cells:
    """What it depends on that both of two conditions hold, or that they do not: then one that does not is enough."""
    return either(mine, others, f"CASE WHEN ({first}) AND ({second}) THEN 3 WHEN {first} THEN 0 WHEN {second} THEN 1 ELSE 2 END")


def one_holds(mine: Cells, first: str, others: Cells, second: str) -> Cells:
    """What it depends on that one of two conditions holds, or that none does."""
    return either(mine, others, f"CASE WHEN ({first}) AND ({second}) THEN 2 WHEN {first} THEN 1 WHEN {second} THEN 0 ELSE 3 END")


def either(mine: Cells, others: Cells, which: str) -> Cells:
    """Of two, whichever an expression says: the one (1), the other (0), either of them (2) or both (3)."""

    def told(fields: Fields) -> Recipe:
        one, other = mine(fields), others(fields)
        return one if one == other else ("either", fields.add(which), one, other)

    return told


def any_row(exists: Cells, over: str = "") -> Cells:
    """A group is there as long as one of its rows is."""
    return over_rows(exists, lambda _, name, __, told: ("any", name, None, told), over)


def first_of(step: str, over: str, value: str, cells: Cells, exists: Cells) -> Cells:
    """Of the first row in a window, or of the last one, where the window is of those before."""

    def told(fields: Fields) -> Recipe:
        name, row = fields.rows(over)
        mine, itself = cells(row), exists(row)
        return NOTHING if mine is NOTHING and itself is NOTHING else (step, name, row.add(value), mine, itself)

    return told


def of_version(function: str, over: str, cells: Cells) -> Cells:
    """Of another version of the row, which a window function takes: it is gone when the row is, and none takes its place."""

    def told(fields: Fields) -> Recipe:
        name, row = fields.rows(over, function)
        recipe = cells(row)
        return NOTHING if recipe is NOTHING else down(name, recipe)

    return told


def over_rows(cells: Cells, made: Callable[[Fields, str, Fields, Recipe], Recipe], over: str = "") -> Cells:
    """Of the rows of a group, or of those in a window: what these cells take of them."""

    def told(fields: Fields) -> Recipe:
        name, row = fields.rows(over)
        recipe = cells(row)
        return NOTHING if recipe is NOTHING else made(fields, name, row, recipe)

    return told


def partition(window: exp.Window) -> str:
    """By what a window is divided and ordered, without its frame."""
    plain = window.copy()
    plain.set("spec", None)
    return plain.sql(DIALECT).partition(" OVER (")[2].removesuffix(")")
