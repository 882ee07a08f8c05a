"""What an expression depends on: of each kind of expression, what to put into the trace, and the recipe that reads it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp

from pilothouse.tables.why.cells import DIALECT, Cells, Unexplained, both, first_of, nothing, of_version, over_rows, partition
from pilothouse.tables.why.choosing import Of, case, decided, first_said
from pilothouse.tables.why.hidden import Hidden, hiding
from pilothouse.tables.why.needed import THERE
from pilothouse.tables.why.presence import always, asks_presence, presence
from pilothouse.tables.why.recipes import Fields

FROM_IT: Final = "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"
_BEFORE: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_UP_TO_IT: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"


class Blurred(Unexplained):
    """Rows are chosen by their places in a way of which nobody knows how to tell what comes instead of one that is taken away."""

    def __init__(
        self,
        message: str = "rows that are chosen by their places cannot be explained where others come instead of them",
        *,
        hint: str = "choose row_number() = 1 alone, and before that whatever else",
    ) -> None:
        super().__init__(message, hint=hint)


@dataclass(frozen=True)
class Source:
    """What a query reads under one alias: the cells of its columns and of its rows' existence. Versions of one row, if it has such, say
    the same in the column `row`. `places` number its rows, of which all are read; where rows were chosen by their places in a way of
    which it cannot be told what comes instead of one, it is `blurred`."""

    columns: Callable[[str], Cells]
    exists: Cells
    row: str = ""
    hidden: Hidden | None = None
    places: frozenset[str] = frozenset()
    blurred: bool = False


@dataclass
class Scope:
    """One SELECT: its sources by alias, and what its rows' existence depends on."""

    sources: dict[str, Source] = field(default_factory=dict)
    exists: Cells = nothing
    outer: Scope | None = None  # of a subquery that looks at the row it stands in

    def of(self, column: exp.Column, mark: str = "") -> Cells:
        """The cells of a column, or of its being there."""
        source = self.sources.get(column.table)
        if source is None and self.outer is not None:
            return self.outer.of(column, mark)
        if source is None:
            raise Unexplained(
                f"{column.sql(DIALECT)} belongs to no table of its query", hint="only EXISTS may look at the row it stands in"
            )
        return source.columns(column.name + mark)

    @property
    def blurred(self) -> bool:
        """Whether it cannot be told of one of its sources what comes instead of a row."""
        return any(source.blurred for source in self.sources.values())

    def hangs_on_number(self, node: exp.Expr) -> bool:
        """Whether an expression uses the number of a row among others."""
        placed = {(alias, name) for alias, source in self.sources.items() for name in source.places}
        return bool(placed) and any((each.table, each.name) in placed for each in node.find_all(exp.Column))

    def hangs_on_places(self, node: exp.Expr) -> bool:
        """Whether an expression may be another once a row takes another's place."""
        return self.hangs_on_number(node) or any(each.differs_in(node) for each in self.hidden())

    def hidden(self) -> list[Hidden]:
        """What first rows hide, of those sources that are read as such."""
        return [source.hidden for source in self.sources.values() if source.hidden]

    def of_one_row(self, window: exp.Window) -> bool:
        """Whether a window looks at nothing but versions of one row, which come and go together."""
        row = next(iter(self.sources.values())).row if len(self.sources) == 1 else ""
        return any(isinstance(each, exp.Column) and each.name == row for each in window.args.get("partition_by") or ())


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
        return decided(node, lambda each: self.of(each, scope))

    def of(self, node: exp.Expr, scope: Scope) -> Cells:
        """What the value of an expression depends on."""
        if isinstance(node, exp.Column):
            return scope.of(node)
        if isinstance(node, exp.Window):
            return self._window(node, scope)
        if isinstance(node, exp.Case | exp.Coalesce) or asks_presence(node):
            return _told_apart(node, lambda each: self.of(each, scope), lambda each: self.there(each, scope))
        if isinstance(node, exp.Not) and node.find(exp.Subquery, exp.Exists, exp.Select):
            for each in node.find_all(exp.Exists, exp.In):
                if isinstance(each, exp.Exists) or (isinstance(each, exp.In) and each.args.get("query")):
                    self._subquery(each, scope)  # which refuses where something may come instead of what is taken away
            return nothing  # nothing else that is taken away ends an absence
        if isinstance(node, exp.Exists) or (isinstance(node, exp.In) and node.args.get("query")):
            return self._subquery(node, scope)
        if isinstance(node, exp.Select | exp.Subquery):
            raise Unexplained(f"a subquery cannot be explained here: {node.sql(DIALECT)[:80]}", hint="join it, or choose by IN or EXISTS")
        return both(*(self.of(each, scope) for each in node.iter_expressions()))

    def there(self, node: exp.Expr, scope: Scope) -> Cells:
        """What it depends on that an expression says anything."""
        if isinstance(node, exp.Column):
            return scope.of(node, THERE)
        return presence(node, lambda each: self.there(each, scope), lambda each: self.of(each, scope))

    def grouped(self, node: exp.Expr, scope: Scope) -> Cells:
        """What the value of an expression over a group depends on. The group's own key is the same in all of its rows."""
        if isinstance(node, exp.AggFunc | exp.Filter):
            return both(self._aggregate(node, scope), hiding(node, scope.hidden()))
        if isinstance(node, exp.Column):
            return nothing
        if isinstance(node, exp.Case | exp.Coalesce) or asks_presence(node):
            return _told_apart(node, lambda each: self.grouped(each, scope), lambda each: self.grouped_there(each, scope))
        if isinstance(node, exp.Window):
            raise Unexplained("a window over groups cannot be explained", hint="group in a common table expression first")
        return both(*(self.grouped(each, scope) for each in node.iter_expressions()))

    def grouped_there(self, node: exp.Expr, scope: Scope) -> Cells:
        """What it depends on that an expression over a group says anything."""
        if isinstance(node, exp.AggFunc | exp.Filter):
            return self._aggregate_there(node, scope)
        if isinstance(node, exp.Column):
            return nothing
        return presence(node, lambda each: self.grouped_there(each, scope), lambda each: self.grouped(each, scope))

    def counted(self, window: exp.Window, scope: Scope, exists: Cells) -> Cells:
        """What it takes that a row counts among those of its part."""
        return both(exists, *(self.of(each, scope) for each in window.args.get("partition_by") or ()))

    def _aggregate(self, node: exp.Expr, scope: Scope) -> Cells:
        function, only, exists = self._filtered(node, scope)
        value, whole = function.this, node.sql(DIALECT)
        different = isinstance(value, exp.Distinct)
        value = value.expressions[0] if different else value
        if isinstance(function, exp.Count) and (value is None or isinstance(value, exp.Star)):
            return over_rows(exists, lambda _, name, row, told: ("each", name, _told(row, only), told))
        text = value.sql(DIALECT)
        if isinstance(function, exp.Count) and not different:
            cells, says = both(exists, self.there(value, scope)), _and(only, f"{text} IS NOT NULL")
            return over_rows(cells, lambda _, name, row, told: ("each", name, row.add(says), told))
        cells = both(exists, self.of(value, scope))
        if isinstance(function, exp.Max | exp.Min):
            return over_rows(cells, lambda f, name, row, told: ("extreme", name, _told(row, only), row.add(text), f.add(whole), told))
        if isinstance(function, exp.Count):
            return over_rows(cells, lambda _, name, row, told: ("values", name, _told(row, only), row.add(text), told))
        if isinstance(function, exp.Sum) and not different:
            return over_rows(cells, lambda _, name, row, told: ("sum", name, _told(row, only), row.add(text), None, told))
        if isinstance(function, exp.Avg) and not different:
            number = f"CAST({text} AS DOUBLE)"
            return over_rows(cells, lambda f, name, row, told: ("sum", name, _told(row, only), row.add(number), f.add(whole), told))
        raise Unexplained(f"{function.sql(DIALECT)} cannot be explained", hint="count, sum, avg, min and max can")

    def _aggregate_there(self, node: exp.Expr, scope: Scope) -> Cells:
        """There is a sum, a mean or an extreme as long as one of the values is; a count always is."""
        function, only, exists = self._filtered(node, scope)
        if always(function):
            return nothing
        value = function.this.expressions[0] if isinstance(function.this, exp.Distinct) else function.this
        says = _and(only, f"{value.sql(DIALECT)} IS NOT NULL")
        any_one = over_rows(both(exists, self.there(value, scope)), lambda _, name, row, told: ("any", name, row.add(says), told))
        return both(any_one, hiding(node, scope.hidden(), "there"))

    def _filtered(self, node: exp.Expr, scope: Scope) -> tuple[exp.Expr, str | None, Cells]:
        """The function of an aggregate, the condition of the rows that count, and what it takes that one does."""
        if not isinstance(node, exp.Filter):
            return node, None, scope.exists
        condition = node.expression.this
        return node.this, condition.sql(DIALECT), both(scope.exists, self.condition(condition, scope))

    def _window(self, node: exp.Window, scope: Scope) -> Cells:
        if scope.blurred or scope.hangs_on_places(node):
            raise Blurred
        function, value, parts = node.this, node.this.this, partition(node)
        exists = self.counted(node, scope, scope.exists)
        if isinstance(function, exp.RowNumber):  # a row's place is made by those before it
            return over_rows(exists, lambda _, name, __, told: ("each", name, None, told), f" OVER ({parts} {_BEFORE})")
        frame = " OVER " + node.sql(DIALECT).partition(" OVER ")[2]
        if isinstance(function, exp.Count) and (value is None or isinstance(value, exp.Star)):
            return over_rows(exists, lambda _, name, __, told: ("each", name, None, told), frame)
        if value is None:
            raise Unexplained(f"{function.sql(DIALECT)} OVER cannot be explained", hint="row_number can")
        cells, text = self.of(value, scope), value.sql(DIALECT)
        if isinstance(function, exp.FirstValue | exp.Lag) and len(function.args) == 1:
            step, which = ("first", _UP_TO_IT) if isinstance(function, exp.FirstValue) else ("before", _BEFORE)
            if scope.of_one_row(node):
                return of_version(function.sql_name().lower(), f" OVER ({parts} {_UP_TO_IT})", cells)
            return first_of(step, f" OVER ({parts} {which})", text, cells, exists)
        if isinstance(function, exp.Sum):
            return over_rows(both(exists, cells), lambda _, name, row, told: ("sum", name, None, row.add(text), None, told), frame)
        if isinstance(function, exp.Count):
            cells = both(exists, self.there(value, scope))
            return over_rows(cells, lambda _, name, row, told: ("each", name, row.add(f"{text} IS NOT NULL"), told), frame)
        raise Unexplained(f"{function.sql(DIALECT)} OVER cannot be explained", hint="row_number, first_value, lag, sum and count can")


def aggregates(node: exp.Expr) -> bool:
    """Whether an expression holds an aggregate that is not one over a window."""
    if isinstance(node, exp.Window | exp.Query):
        return False
    return isinstance(node, exp.AggFunc) or any(aggregates(each) for each in _parts(node))


def _told_apart(node: exp.Expr, of: Of, there: Of) -> Cells:
    """Of what does not hang on all that its parts say."""
    if isinstance(node, exp.Case):
        return case(node, of, of)
    return first_said([node.this, *node.expressions], of) if isinstance(node, exp.Coalesce) else there(node.this)


def _parts(node: exp.Expr) -> Iterable[exp.Expr]:
    return node.iter_expressions()


def _and(one: str | None, other: str) -> str:
    return other if one is None else f"({one}) AND {other}"


def _told(row: Fields, only: str | None) -> str | None:
    """The field that tells whether a row counts, where not all do."""
    return None if only is None else row.add(only)
