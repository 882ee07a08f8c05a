"""Which columns of a table a query uses, for a value, a condition, a join, an order: told by taking each away.

A query that is the same without it, and still a query, does not use it. So nothing has to be known of all the places where a query may
name a column, and a comment, a text or another table's column of that name is none. What takes all columns there are (a whole row as
a value, `columns(...)`, `* exclude`) counts as using each: who asks decides whether a column may be missing, and no reader is to be missed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from sqlglot import exp, parse_one
from sqlglot.optimizer.pushdown_projections import pushdown_projections

from pilothouse.tables.why.annotate import Schema, qualified
from pilothouse.tables.why.cells import DIALECT, Unexplained

_EVERYTHING = (exp.Columns, exp.Pivot, exp.PositionalColumn)


def used(text: str, schema: Schema, table: tuple[str, str], columns: Iterable[str]) -> set[str]:
    """Those of these columns of a table that a query uses; the table is named as the text does. Unexplained where it cannot be read."""
    query = _Query(text, schema, table)
    return {column for column in columns if query.uses(column)}


def names(column: str, text: str) -> bool:
    """Whether a text names a column, or anything that is called so: where more cannot be told."""
    return re.search(rf"\b{re.escape(column)}\b", text, re.IGNORECASE) is not None


class _Query:
    """A query, and what it says without a column of a table that it reads."""

    def __init__(self, text: str, schema: Schema, table: tuple[str, str]) -> None:
        self._text, self._schema, (self._place, self._name) = text, schema, table
        self._whole = qualified(text, schema)
        self._takes_all = _takes_all(parse_one(text, dialect=DIALECT), self._whole)
        self._needed = _needed(self._whole.copy())

    def uses(self, column: str) -> bool:
        """Whether it needs that one."""
        wanted, known = column.lower(), self._schema.get(self._place, {}).get(self._name, ())
        left = [each for each in known if each.lower() != wanted]
        if len(left) == len(known):
            raise Unexplained(f"{self._place}.{self._name}: no column {column}", hint="name one that it has")
        try:
            without = qualified(self._text, {**self._schema, self._place: {**self._schema[self._place], self._name: left}})
        except Unexplained:
            return True
        named = any(_may_be(each, wanted) for query in (self._whole, without) for each in query.find_all(exp.Column))
        return named or self._takes_all or self._needed != _needed(without)


def _needed(query: exp.Expr) -> str:
    """A query without what stars bring into it and nothing takes out again."""
    return pushdown_projections(query).sql(DIALECT, comments=False)


def _may_be(column: exp.Column, wanted: str) -> bool:
    """Whether a column that is no known table's may be the one, or a part of it."""
    return (not column.table and column.name.lower() == wanted) or column.table.lower() == wanted


def _takes_all(query: exp.Expr, qualified: exp.Expr) -> bool:
    """Whether it takes all columns there are otherwise than to hand them on: by a star, or by a table's name in place of a column's."""
    rows = {each.alias_or_name.lower() for each in query.find_all(exp.Table, exp.Subquery, exp.CTE)}
    if qualified.find(exp.TableColumn) or any(not each.table and each.name.lower() in rows for each in qualified.find_all(exp.Column)):
        return True
    return query.find(*_EVERYTHING) is not None or any(_is_chosen(each) for each in query.find_all(exp.Star))


def _is_chosen(star: exp.Star) -> bool:
    holder = star.parent.parent if isinstance(star.parent, exp.Column) else star.parent
    return any(star.args.values()) or not isinstance(holder, exp.Select | exp.Count)
