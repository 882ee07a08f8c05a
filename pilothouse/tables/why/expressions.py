"""What an expression depends on: of each kind of expression, what to put into the trace, and the recipe that reads it.

A recipe is made when somebody asks for it, and of the fields it is to be read from: those of a row, or those of the rows of a group
or of a window. So of a query of forty columns, of which one is in question, the trace holds what that one takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from pilothouse.kernel.errors import ConfigError
from pilothouse.tables.why.recipes import NOTHING, Fields, Recipe, all_of

DIALECT: Final = "duckdb"
FROM_IT: Final = "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"
_BEFORE: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_UP_TO_IT: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"

Cells = Callable[[Fields], Recipe]  # what something depends on, as told by these fields


class Unexplained(ConfigError):
    """A query holds something of which nobody knows yet how to tell exactly what it depends on."""


def nothing(fields: Fields) -> Recipe:  # noqa: ARG001 - one of many cells
    """What is taken away changes nothing."""
    return NOTHING


@dataclass(frozen=True)
class Source:
    """What a query reads under one alias: the cells of its columns and of its rows' existence."""

    columns: Callable[[str], Cells]
    exists: Cells


@dataclass
class Scope:
    """One SELECT: its sources by alias, and what its rows' existence depends on."""

    sources: dict[str, Source] = field(default_factory=dict)
    exists: Cells = nothing
    outer: Scope | None = None  # of a subquery that looks at the row it stands in

    def of(self, column: exp.Column) -> Cells:
        """The cells of a column."""
        source = self.sources.get(column.table)
        if source is None and self.outer is not None:
            return self.outer.of(column)
        if source is None:
            raise Unexplained(
                f"{column.sql(DIALECT)} belongs to no table of its query", hint="only EXISTS may look at the row it stands in"
            )
        return source.columns(column.name)


Subquery = Callable[[exp.Exists | exp.In, Scope], Cells]


class Expressions:
    """The cells of expressions. `subquery` tells those of IN and EXISTS."""

    def __init__(self, subquery: Subquery) -> None:
        self._subquery = subquery

    def condition(self, node: exp.Expr, scope: Scope) -> Cells:
        """What a row's passing a condition depends on."""
        if isinstance(node, exp.And):
            return both(self.condition(node.left, scope), self.condition(node.right, scope))
        if isinstance(node, exp.Paren):
            return self.condition(node.this, scope)
        return self._decided(node, lambda each: self.of(each, scope))

    def of(self, node: exp.Expr, scope: Scope) -> Cells:
        """What the value of an expression depends on."""
        if isinstance(node, exp.Column):
            return scope.of(node)
        if isinstance(node, exp.Window):
            return self._window(node, scope)
        if isinstance(node, exp.Case | exp.Coalesce):
            return self._chosen(node, lambda each: self.of(each, scope))
        if isinstance(node, exp.Not) and node.find(exp.Subquery, exp.Exists, exp.Select):
            return nothing  # nothing that is taken away ends an absence
        if isinstance(node, exp.Exists) or (isinstance(node, exp.In) and node.args.get("query")):
            return self._subquery(node, scope)
        if isinstance(node, exp.Select | exp.Subquery):
            raise Unexplained(f"a subquery cannot be explained here: {node.sql(DIALECT)[:80]}", hint="join it, or choose by IN or EXISTS")
        return both(*(self.of(each, scope) for each in node.iter_expressions()))

    def grouped(self, node: exp.Expr, scope: Scope) -> Cells:
        """What the value of an expression over a group depends on. The group's own key is the same in all of its rows."""
        if isinstance(node, exp.AggFunc | exp.Filter):
            return self._aggregate(node, scope)
        if isinstance(node, exp.Column):
            return nothing
        if isinstance(node, exp.Case | exp.Coalesce):
            return self._chosen(node, lambda each: self.grouped(each, scope))
        if isinstance(node, exp.Window):
            raise Unexplained("a window over groups cannot be explained", hint="group in a common table expression first")
        return both(*(self.grouped(each, scope) for each in node.iter_expressions()))

    def counted(self, window: exp.Window, scope: Scope, exists: Cells) -> Cells:
        """What it takes that a row counts among those of its part."""
        return both(exists, *(self.of(each, scope) for each in window.args.get("partition_by") or ()))

    def _chosen(self, node: exp.Case | exp.Coalesce, cells: Callable[[exp.Expr], Cells]) -> Cells:
        """Of a value that is one of several, what chose it and what it is."""
        return self._case(node, cells) if isinstance(node, exp.Case) else self._coalesce([node.this, *node.expressions], cells)

    def _case(self, node: exp.Case, cells: Callable[[exp.Expr], Cells]) -> Cells:
        subject, default = node.args.get("this"), node.args.get("default")
        seen = cells(subject) if subject is not None else nothing
        parts, taken = [f"CASE {subject.sql(DIALECT)}" if subject is not None else "CASE"], []
        for number, branch in enumerate(node.args["ifs"]):
            seen = both(seen, self._decided(branch.this, cells)) if subject is None else seen
            parts.append(f"WHEN {branch.this.sql(DIALECT)} THEN {number}")
            taken.append(both(seen, cells(branch.args["true"])))
        taken.append(both(seen, cells(default) if default is not None else nothing))
        text = " ".join([*parts, f"ELSE {len(taken) - 1} END"])

        def told(fields: Fields) -> Recipe:
            recipes = tuple(each(fields) for each in taken)
            return recipes[0] if len(set(recipes)) == 1 else ("case", fields.add(text), recipes)

        return told

    def _decided(self, node: exp.Expr, cells: Callable[[exp.Expr], Cells]) -> Cells:
        """What it depends on that a condition holds, or that it does not: of several that must hold together, any one that does not is
        enough."""
        if isinstance(node, exp.Paren):
            return self._decided(node.this, cells)
        if not isinstance(node, exp.And | exp.Or):
            return cells(node)
        mine, others = self._decided(node.left, cells), self._decided(node.right, cells)
        first, second = node.left.sql(DIALECT), node.right.sql(DIALECT)
        if isinstance(node, exp.And):
            text = f"CASE WHEN ({first}) AND ({second}) THEN 3 WHEN {first} THEN 0 WHEN {second} THEN 1 ELSE 2 END"
        else:
            text = f"CASE WHEN ({first}) AND ({second}) THEN 2 WHEN {first} THEN 1 WHEN {second} THEN 0 ELSE 3 END"

        def told(fields: Fields) -> Recipe:
            one, other = mine(fields), others(fields)
            return one if one == other else ("either", fields.add(text), one, other)

        return told

    def _coalesce(self, values: list[exp.Expr], cells: Callable[[exp.Expr], Cells]) -> Cells:
        """The first choice that says something, unless those after it would say the same: then any of them will do."""
        first, *rest = values
        mine = cells(first)
        if not rest:
            return mine
        others = self._coalesce(rest, cells)
        value, instead = first.sql(DIALECT), ", ".join(each.sql(DIALECT) for each in rest)
        text = f"CASE WHEN {value} IS NULL THEN 0 WHEN {value} IS DISTINCT FROM coalesce({instead}) THEN 1 ELSE 2 END"

        def told(fields: Fields) -> Recipe:
            recipe, otherwise = mine(fields), others(fields)
            return NOTHING if recipe is NOTHING and otherwise is NOTHING else ("either", fields.add(text), recipe, otherwise)

        return told

    def _aggregate(self, node: exp.Expr, scope: Scope) -> Cells:
        function, only = (node.this, node.expression.this.sql(DIALECT)) if isinstance(node, exp.Filter) else (node, None)
        value, whole = function.this, node.sql(DIALECT)
        different = isinstance(value, exp.Distinct)
        value = value.expressions[0] if different else value
        if isinstance(function, exp.Count) and (value is None or isinstance(value, exp.Star)):
            return _over_rows(scope.exists, lambda _, name, row, told: ("each", name, _told(row, only), told))
        cells, text = both(scope.exists, self.of(value, scope)), value.sql(DIALECT)
        if isinstance(function, exp.Max | exp.Min):
            return _over_rows(cells, lambda f, name, row, told: ("extreme", name, _told(row, only), row.add(text), f.add(whole), told))
        if isinstance(function, exp.Count) and different:
            return _over_rows(cells, lambda _, name, row, told: ("values", name, _told(row, only), row.add(text), told))
        if isinstance(function, exp.Count):
            says = f"{text} IS NOT NULL" if only is None else f"({only}) AND {text} IS NOT NULL"
            return _over_rows(cells, lambda _, name, row, told: ("each", name, row.add(says), told))
        if isinstance(function, exp.Sum) and not different:
            return _over_rows(cells, lambda _, name, row, told: ("sum", name, _told(row, only), row.add(text), None, told))
        if isinstance(function, exp.Avg) and not different:
            number = f"CAST({text} AS DOUBLE)"
            return _over_rows(cells, lambda f, name, row, told: ("sum", name, _told(row, only), row.add(number), f.add(whole), told))
        raise Unexplained(f"{function.sql(DIALECT)} cannot be explained", hint="count, sum, avg, min and max can")

    def _window(self, node: exp.Window, scope: Scope) -> Cells:
        function, value, parts = node.this, node.this.this, partition(node)
        exists = self.counted(node, scope, scope.exists)
        if isinstance(function, exp.RowNumber):  # a row's place is made by those before it
            return _over_rows(exists, lambda _, name, __, told: ("each", name, None, told), f" OVER ({parts} {_BEFORE})")
        frame = " OVER " + node.sql(DIALECT).partition(" OVER ")[2]
        if isinstance(function, exp.Count) and (value is None or isinstance(value, exp.Star)):
            return _over_rows(exists, lambda _, name, __, told: ("each", name, None, told), frame)
        if value is None:
            raise Unexplained(f"{function.sql(DIALECT)} OVER cannot be explained", hint="row_number can")
        cells, text = self.of(value, scope), value.sql(DIALECT)
        if isinstance(function, exp.FirstValue):
            return first_of("first", f" OVER ({parts} {_UP_TO_IT})", text, cells, exists)
        if isinstance(function, exp.Lag) and len(function.args) == 1:
            return first_of("before", f" OVER ({parts} {_BEFORE})", text, cells, exists)
        cells = both(exists, cells)
        if isinstance(function, exp.Sum):
            return _over_rows(cells, lambda _, name, row, told: ("sum", name, None, row.add(text), None, told), frame)
        if isinstance(function, exp.Count):
            return _over_rows(cells, lambda _, name, row, told: ("each", name, row.add(f"{text} IS NOT NULL"), told), frame)
        raise Unexplained(f"{function.sql(DIALECT)} OVER cannot be explained", hint="row_number, first_value, lag, sum and count can")


def both(*several: Cells) -> Cells:
    """The cells of all of these."""
    kept = [each for each in dict.fromkeys(several) if each is not nothing]
    if len(kept) <= 1:
        return kept[0] if kept else nothing
    return lambda fields: all_of(each(fields) for each in kept)


def any_row(exists: Cells, over: str = "") -> Cells:
    """A group is there as long as one of its rows is."""
    return _over_rows(exists, lambda _, name, __, told: ("any", name, told), over)


def first_of(step: str, over: str, value: str, cells: Cells, exists: Cells) -> Cells:
    """Of the first row in a window, or of the last one, where the window is of those before."""

    def told(fields: Fields) -> Recipe:
        name, row = fields.rows(over)
        mine, itself = cells(row), exists(row)
        return NOTHING if mine is NOTHING and itself is NOTHING else (step, name, row.add(value), mine, itself)

    return told


def partition(window: exp.Window) -> str:
    """By what a window is divided and ordered, without its frame."""
    plain = window.copy()
    plain.set("spec", None)
    return plain.sql(DIALECT).partition(" OVER (")[2].removesuffix(")")


def aggregates(node: exp.Expr) -> bool:
    """Whether an expression holds an aggregate that is not one over a window."""
    if isinstance(node, exp.Window | exp.Query):
        return False
    return isinstance(node, exp.AggFunc) or any(aggregates(each) for each in _parts(node))


def _parts(node: exp.Expr) -> Iterable[exp.Expr]:
    return node.iter_expressions()


def _told(row: Fields, only: str | None) -> str | None:
    """The field that tells whether a row counts, where not all do."""
    return None if only is None else row.add(only)


def _over_rows(cells: Cells, made: Callable[[Fields, str, Fields, Recipe], Recipe], over: str = "") -> Cells:
    """Of the rows of a group, or of those in a window: what these cells take of them."""

    def told(fields: Fields) -> Recipe:
        name, row = fields.rows(over)
        recipe = cells(row)
        return NOTHING if recipe is NOTHING else made(fields, name, row, recipe)

    return told
