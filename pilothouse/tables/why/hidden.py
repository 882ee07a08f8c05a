"""What first rows hide: the next ones, which would take their places.

A first row that adds nothing to what a group says is needed all the same if the one that it hides would add something: were it gone,
the group would say another thing. So a query that takes first rows puts out, where that is asked, what the rows behind them say: the next
ones alone. That is enough as long as what the first two rows are both made of, such as the firm that two ratings are of, is behind
all rows of the window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from sqlglot import exp

from pilothouse.tables.why.cells import DIALECT, Cells, both, over_rows, partition
from pilothouse.tables.why.recipes import NOTHING, Fields, Recipe

_BEHIND: Final = "_behind_"  # and a column: what the row says that a first one hides
_KINDS: Final[Mapping[type[exp.Expr], str]] = {exp.Sum: "sum", exp.Avg: "mean", exp.Max: "max", exp.Min: "min", exp.Count: "count"}


@dataclass(frozen=True)
class Hidden:
    """The rows behind the first ones that are read, each of which would take the place of the one before it: in which column the query
    tells what it says in one, or without a name whether there is one; and what keeps it back. In the `same` columns it says what the
    first one does. Behind what is `optional`, where there is no other row, is one that says nothing."""

    column: Callable[[str], str]
    kept_back: Cells
    same: frozenset[str]
    alias: str = ""
    optional: bool = False

    def differs_in(self, node: exp.Expr) -> bool:
        """Whether an expression may be another with the hidden rows."""
        return any(each.table == self.alias and each.name not in self.same for each in node.find_all(exp.Column))

    def instead(self, node: exp.Expr) -> exp.Expr:
        """What an expression would be with the hidden rows, if there are any."""
        said = node.transform(lambda each: self._said(each.name) if isinstance(each, exp.Column) and each.table == self.alias else each)
        return said if self.optional else exp.Case().when(self._said(""), said)

    def _said(self, name: str) -> exp.Expr:
        return exp.column(self.column(name), self.alias, quoted=True)


def behind_first(node: exp.Select, outputs: Sequence[tuple[str, exp.Expr]], window: exp.Window, over: str, counted: Cells) -> Hidden:
    """What a query hides that numbers its rows by this window, where number 1 is read alone."""
    values, parts = dict(outputs), [each.sql(DIALECT) for each in window.args.get("partition_by") or ()]

    def next_one(name: str) -> exp.Expr | None:
        value = values[name] if name else exp.true()
        return None if value.find(exp.Window) else exp.Var(this=f"LEAD({value.sql(DIALECT)}) OVER ({partition(window)})")

    same = frozenset(name for name, value in outputs if value is window or value.sql(DIALECT) in parts)
    return Hidden(_beside(node, next_one), _kept_back(over, counted), same)


def handed_on(node: exp.Select, outputs: Sequence[tuple[str, exp.Expr]], hidden: Hidden) -> Hidden:
    """What a query hides that hands on first rows which it reads."""
    values = dict(outputs)
    same = frozenset(name for name, value in outputs if not hidden.differs_in(value))
    column = _beside(node, lambda name: hidden.instead(values[name] if name else exp.true()))
    return Hidden(column, hidden.kept_back, same)


def _beside(node: exp.Select, told: Callable[[str], exp.Expr | None]) -> Callable[[str], str]:
    """Of a query's columns, those that tell what a hidden row says there, or the same one where nothing is told; put out when asked."""

    @cache
    def column(name: str) -> str:
        value = told(name)
        if value is None:
            return name
        node.append("expressions", exp.alias_(value, _BEHIND + name))
        return _BEHIND + name

    return column


def hiding(node: exp.Expr, several: Iterable[Hidden], kind: str = "") -> Cells:
    """Of the first rows that add nothing to an aggregate, those that hide rows which would."""
    function, only = (node.this, node.expression.this) if isinstance(node, exp.Filter) else (node, None)
    value, whole = function.this, node
    if isinstance(value, exp.Distinct):
        value = value.expressions[0]
        if isinstance(function, exp.Count):
            kind = "values"
            whole = node.transform(lambda each: exp.ArrayAgg(this=each.this) if isinstance(each, exp.Count) else each)
    value = exp.Literal.number(1) if value is None or isinstance(value, exp.Star) else value
    counted = value if only is None else exp.Case().when(only.copy(), value.copy())
    if isinstance(function, exp.Avg):
        counted = exp.cast(counted.copy(), "double")
    kind, differing = kind or _KINDS[type(function)], (each for each in several if each.differs_in(counted))
    return both(*(_hiding(kind, counted, whole.sql(DIALECT), each) for each in differing))


def _hiding(kind: str, value: exp.Expr, whole: str, hidden: Hidden) -> Cells:
    """Of what one source hides: of its first rows, those that would add something if they were what they hide."""

    def made(fields: Fields, name: str, row: Fields, told: Recipe) -> Recipe:
        instead = hidden.instead(value).sql(DIALECT)
        return ("hiding", name, kind, row.add(value.sql(DIALECT)), row.add(instead), fields.add(whole), told)

    return over_rows(hidden.kept_back, made)


def _kept_back(over: str, exists: Cells) -> Cells:
    """What keeps the first row of a window before the next."""

    def told(fields: Fields) -> Recipe:
        name, row = fields.rows(over)
        recipe = exists(row)
        return NOTHING if recipe is NOTHING else ("leaving", name, recipe)

    return told
