"""A query rewritten so that every value carries the source cells it depends on.

A row of the answer gets a list for its existence (`_e`) and one for each column (`_w_<column>`). The elements are atoms: a base
table's row with one of its columns, or with none where the row only has to be there. It is an atom of a value if taking it away
changes the value. So a sum is made of what is not zero, the first row of a group by itself alone, the second by itself and the
first, a `case` by its conditions and the branch that was taken.

Where any one of several would do (a group is there as long as one of its rows is, a maximum as long as one row reaches it), the
atoms are marked as alternatives (`any_of`). Which of them matter can only be said once everything else is known that the row
depends on (`needed.py`).

Of rows that are numbered, the one with number 1 stands for all that come after it: were it gone, the next would take its place. So
its value is made of the first rows that say the same, any one of them.

What cannot be told exactly is refused (`Unexplained`), so that no answer is a guess; a test asks for every model of the project.
Whether a row is synthetic is no part of what it says, and is not explained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify

from pilothouse.kernel.errors import ConfigError

ASKED: Final = "asked"  # the schema of the rows that are asked for: they choose, and explain nothing
EXISTS: Final = "_e"
NOTHING: Final = "[]::VARCHAR[]"
_DIALECT: Final = "duckdb"
_SYNTHETIC: Final = "_synthetic"
_FIRST: Final = "_f_"  # before a column's name: the list of the row that has number 1
_FROM_IT: Final = "ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING"
_BEFORE: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING"
_UP_TO_IT: Final = "ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW"

# What annotated queries call. A list of rows is one of structs: `v`, what a row says, `c`, what that depends on, `e`, what the row's
# existence depends on, and `w`, both. A macro's argument is written out wherever it is used, and planned as often: so one that is
# used more than once goes through a lambda.
MACROS: Final = r"""
    CREATE OR REPLACE TEMP MACRO with_all(rows) AS list_transform(rows, LAMBDA each: each.w);
    CREATE OR REPLACE TEMP MACRO with_value(rows, value) AS with_all(list_filter(rows, LAMBDA each: each.v = value));
    CREATE OR REPLACE TEMP MACRO any_of(choices) AS list_transform([choices], LAMBDA several: CASE
        WHEN len(list_distinct(several)) <= 1 THEN flatten(list_distinct(several))
        ELSE flatten(list_transform(several, LAMBDA choice: list_transform(
            choice, LAMBDA atom: chr(30) || md5(several::VARCHAR)[:12] || chr(30) || md5(choice::VARCHAR)[:12] || chr(30) || atom
        ))) END)[1];
    -- Of a sum, what is not nothing; of a mean, what is not the mean: unless there is nothing else, when any one row makes the value.
    CREATE OR REPLACE TEMP MACRO of_sum(rows, nothing) AS list_transform([rows], LAMBDA all_rows: CASE
        WHEN len(list_filter(all_rows, LAMBDA each: each.v <> nothing)) = 0 THEN any_of(with_all(all_rows))
        ELSE flatten(with_all(list_filter(all_rows, LAMBDA each: each.v <> nothing))) END)[1];
    -- The first rows, as long as they say the same: the value stays until all of them are gone.
    CREATE OR REPLACE TEMP MACRO first_run(rows) AS list_slice(
        rows, 1, coalesce(list_position(list_transform(rows, LAMBDA each: each.v IS DISTINCT FROM rows[1].v), true) - 1, len(rows))
    );
    -- Of the first row's value, what it is made of beside the row itself, which the next one would replace.
    CREATE OR REPLACE TEMP MACRO rows_of(atoms) AS list_transform(atoms, LAMBDA atom: regexp_extract(atom, '^.*\x1f'));
    CREATE OR REPLACE TEMP MACRO beside(cells, exists_by) AS list_filter(
        cells, LAMBDA cell: NOT list_contains(rows_of(exists_by), regexp_extract(cell, '^.*\x1f'))
    );
    CREATE OR REPLACE TEMP MACRO of_first(rows) AS list_transform([rows], LAMBDA several:
        flatten([beside(several[1].c, several[1].e), any_of(with_all(first_run(several)))]))[1];
    -- Of the value before: where none of those before says anything, it says nothing whichever of them are there.
    CREATE OR REPLACE TEMP MACRO of_before(rows) AS list_transform([rows], LAMBDA earlier: CASE
        WHEN len(list_filter(earlier, LAMBDA each: each.v IS NOT NULL)) > 0 THEN of_first(earlier) ELSE []::VARCHAR[] END)[1];
    CREATE OR REPLACE TEMP MACRO of_each_value(rows) AS list_transform([rows], LAMBDA all_rows: flatten(list_transform(
        list_distinct(list_transform(all_rows, LAMBDA each: each.v)), LAMBDA value: any_of(with_value(all_rows, value))
    )))[1];
"""

Cells = tuple[str, ...]  # SQL expressions of lists of atoms; their union is meant
Schema = Mapping[str, Mapping[str, Sequence[str]]]  # schema → table → columns


class Unexplained(ConfigError):
    """A query holds something of which nobody knows yet how to tell exactly what it depends on."""


@dataclass(frozen=True)
class _Source:
    """What a query reads under one alias."""

    columns: Mapping[str, Cells]
    exists: Cells


@dataclass
class _Scope:
    """One SELECT: its sources by alias, and what its rows' existence depends on."""

    sources: dict[str, _Source] = field(default_factory=dict)
    exists: Cells = ()
    outer: _Scope | None = None  # of a subquery that looks at the row it stands in

    def of(self, column: exp.Column) -> Cells:
        source = self.sources.get(column.table)
        if source is None and self.outer is not None:
            return self.outer.of(column)
        if source is None:
            raise Unexplained(
                f"{column.sql(_DIALECT)} belongs to no table of its query", hint="only EXISTS may look at the row it stands in"
            )
        return source.columns[column.name]


@dataclass(frozen=True)
class _Answer:
    """The columns of a rewritten query, whether it reads no base table at all, and which column numbers its rows."""

    columns: tuple[str, ...]
    plain: bool
    place: str = ""


def annotated(text: str, schema: Schema, columns: Sequence[str] = ()) -> str:
    """The query, with its atoms beside it; of these columns alone, if any are named. Every base table must have a column `_id`: the
    atom of its row, which ends with the separator, and to which a column's name is added."""
    wanted = ", ".join(f'"{name}"' for name in columns)
    tree = qualified(f"SELECT {wanted} FROM ({text}) AS made" if columns else text, schema)
    if columns:  # what no wanted column needs would only be planned, which takes longer than to answer
        tree = pushdown_projections(tree)
    _Annotator(schema).query(tree, {})
    return tree.sql(_DIALECT, comments=False)


def qualified(text: str, schema: Schema) -> exp.Expr:
    """The query, in which every column names its table."""
    tables: dict[str, object] = {
        name: {table: dict.fromkeys(map(str.lower, columns), "unknown") for table, columns in tables.items()}
        for name, tables in schema.items()
    }
    try:
        tree = parse_one(text, dialect=_DIALECT)
        for table in tree.find_all(exp.Table):
            table.set("catalog", None)
        return qualify(tree, schema=tables, dialect=_DIALECT, validate_qualify_columns=False, canonicalize_table_aliases=False)
    except SqlglotError as error:
        raise Unexplained(f"a query cannot be read: {str(error).splitlines()[0]}", hint="write it in SQL that sqlglot knows") from error


def cells_of(column: str) -> str:
    """The name of the list that belongs to a column."""
    return f"_w_{column}"


class _Annotator:
    def __init__(self, schema: Schema) -> None:
        self._schema = schema

    def query(self, node: exp.Expr, known: Mapping[str, _Answer], outer: _Scope | None = None) -> _Answer:
        """Rewrite a query in place. `known` are the common table expressions that it may name, `outer` is what it stands in."""
        if isinstance(node, exp.Subquery):
            return self.query(node.this, known, outer)
        if isinstance(node, exp.SetOperation):
            return self._union(node, known)
        if isinstance(node, exp.Select):
            return self._select(node, known, outer)
        raise Unexplained(f"a query of kind {type(node).__name__} cannot be explained", hint="write it as SELECT")

    def _with(self, node: exp.Expr, known: Mapping[str, _Answer]) -> dict[str, _Answer]:
        found = dict(known)
        told = node.args.get("with_") or exp.With()
        for each in told.expressions:
            if told.args.get("recursive"):
                raise Unexplained("a recursive query cannot be explained", hint="write out as many levels as there are")
            found[each.alias] = self.query(each.this, found)
        return found

    def _union(self, node: exp.SetOperation, known: Mapping[str, _Answer]) -> _Answer:
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            raise Unexplained(f"{node.key.upper()} cannot be explained", hint="UNION ALL and GROUP BY say the same, and can")
        known = self._with(node, known)
        left, right = self.query(node.left, known), self.query(node.right, known)
        return _Answer(left.columns, left.plain and right.plain)

    def _select(self, node: exp.Select, known: Mapping[str, _Answer], outer: _Scope | None) -> _Answer:
        if node.args.get("limit") or node.args.get("offset"):
            raise Unexplained("LIMIT cannot be explained", hint="number the rows and choose by the number")
        known = self._with(node, known)
        scope, plain = _Scope(outer=outer), True
        holders = [node.args["from_"], *(node.args.get("joins") or ())] if node.args.get("from_") else []
        where, having = node.args.get("where"), node.args.get("having")
        for holder in holders:
            alias, source, bare = self._source(holder.this, known, where, holder.args.get("on"))
            plain = plain and bare
            scope.sources[alias] = source
            self._joined(holder, alias, scope, known)
        if where:
            scope.exists = _union(scope.exists, self._condition(where.this, scope, known))
        outputs = [(each.alias_or_name, each.unalias()) for each in node.expressions]
        grouped = bool(node.args.get("group")) or any(_aggregates(value) for _, value in outputs) or bool(having)
        if node.args.get("distinct"):
            if grouped:
                raise Unexplained("DISTINCT of groups cannot be explained", hint="leave DISTINCT out: groups are distinct")
            node.set("distinct", None)
            node.set("group", exp.Group(expressions=[value.copy() for _, value in outputs]))
            grouped = True
        if grouped:
            keys = node.args["group"].expressions if node.args.get("group") else ()
            # A row counts in its group: for that, its key has to say what it says.
            scope.exists = _union(scope.exists, *(self._cells(_meant(key, outputs), scope, known) for key in keys))
            cells = {name: self._grouped(value, scope) for name, value in outputs if name != _SYNTHETIC}
            # All rows taken together are one group, be there any or not.
            exists: Cells = (f"any_of(list({_list(scope.exists)}))",) if node.args.get("group") else ()
            exists = _union(exists, self._grouped(having.this, scope) if having else ())
        else:
            cells = {name: self._cells(value, scope, known) for name, value in outputs if name != _SYNTHETIC}
            qualified = node.args.get("qualify")
            exists = _union(scope.exists, self._condition(qualified.this, scope, known) if qualified else ())
        for name, _ in outputs:
            node.append("expressions", _raw(_list(cells.get(name, ())), cells_of(name)))
        node.append("expressions", _raw(_list(exists), EXISTS))
        numbered = {name: value for name, value in outputs if isinstance(value, exp.Window) and isinstance(value.this, exp.RowNumber)}
        if len(numbered) != 1:
            return _Answer(tuple(name for name, _ in outputs), plain)
        ((place, window),) = numbered.items()
        parts, counted = _partition(window), self._counted(window, scope, exists)
        for name, value in outputs:
            told = _list(_union(counted, cells.get(name, ())))
            if name in {place, _SYNTHETIC}:
                told = NOTHING
            elif not value.find(exp.Window):  # which says the same of whatever row has number 1
                told = f"of_first(list({_row(value, cells[name], counted)}) OVER ({parts} {_FROM_IT}))"
            node.append("expressions", _raw(told, f"{_FIRST}{name}"))
        node.append("expressions", _raw(f"any_of(list({_list(counted)}) OVER ({parts} {_FROM_IT}))", f"{_FIRST}{EXISTS}"))
        return _Answer(tuple(name for name, _ in outputs), plain, place)

    def _source(self, node: exp.Expr, known: Mapping[str, _Answer], *conditions: exp.Expr | None) -> tuple[str, _Source, bool]:
        """A source under its alias; of one whose rows are numbered, if these conditions choose number 1, what stands for a group."""
        alias = node.alias_or_name
        quoted = f'"{alias}"'
        if isinstance(node, exp.Table) and node.db:
            if node.db == ASKED:
                return alias, _Source(dict.fromkeys(self._schema[ASKED].get(node.name, ()), ()), ()), True
            columns = self._schema[node.db][node.name]
            atoms = {name.lower(): (f"[{quoted}._id || '{name}']",) for name in columns}
            return alias, _Source(atoms, (f"[{quoted}._id]",)), False
        answer = known[node.name] if isinstance(node, exp.Table) else self.query(node, known)
        if answer.plain:
            return alias, _Source(dict.fromkeys(answer.columns, ()), ()), True
        if answer.place and any(_chooses_first(condition, alias, answer.place) for condition in conditions):
            firsts = {name: (f'{quoted}."{_FIRST}{name}"',) for name in answer.columns}
            return alias, _Source({**firsts, answer.place: ()}, (f'{quoted}."{_FIRST}{EXISTS}"',)), False
        cells = {name: (f'{quoted}."{cells_of(name)}"',) for name in answer.columns}
        return alias, _Source(cells, (f'{quoted}."{EXISTS}"',)), False

    def _joined(self, holder: exp.Expr, alias: str, scope: _Scope, known: Mapping[str, _Answer]) -> None:
        """Whose existence a row needs: of what is joined inwards, all; of what is left joined, none, but its values need the match."""
        source = scope.sources[alias]
        if isinstance(holder, exp.From):
            scope.exists = source.exists
            return
        side, kind, on = holder.args.get("side", ""), holder.args.get("kind", ""), holder.args.get("on")
        if holder.args.get("using") or side not in {"", "LEFT"} or kind not in {"", "INNER", "CROSS", "OUTER"}:
            raise Unexplained(f"{holder.sql(_DIALECT)[:80]} cannot be explained", hint="write it as an inner or a left join with ON")
        match = self._condition(on, scope, known) if on else ()
        if side != "LEFT":
            scope.exists = _union(scope.exists, source.exists, match)
            return
        # What says nothing says what it would say if nothing had matched.
        found = _union(source.exists, match)
        columns = {
            name: (f'CASE WHEN "{alias}"."{name}" IS NOT NULL THEN {_list(_union(cells, found))} ELSE {NOTHING} END',)
            for name, cells in source.columns.items()
        }
        scope.sources[alias] = _Source(columns, ())

    def _condition(self, node: exp.Expr, scope: _Scope, known: Mapping[str, _Answer]) -> Cells:
        """What a row's passing a condition depends on."""
        if isinstance(node, exp.And):
            return _union(self._condition(node.left, scope, known), self._condition(node.right, scope, known))
        if isinstance(node, exp.Paren):
            return self._condition(node.this, scope, known)
        return self._cells(node, scope, known)

    def _cells(self, node: exp.Expr, scope: _Scope, known: Mapping[str, _Answer]) -> Cells:
        """What the value of an expression depends on."""
        if isinstance(node, exp.Column):
            return scope.of(node)
        if isinstance(node, exp.Window):
            return self._window(node, scope)
        if isinstance(node, exp.Case | exp.Coalesce):
            return self._chosen(node, lambda each: self._cells(each, scope, known))
        if isinstance(node, exp.Not) and node.find(exp.Subquery, exp.Exists, exp.Select):
            return ()  # nothing that is taken away ends an absence
        if isinstance(node, exp.Exists) or (isinstance(node, exp.In) and node.args.get("query")):
            return self._within(node, scope, known) if isinstance(node, exp.In) else self._exists(node, scope, known)
        if isinstance(node, exp.Select | exp.Subquery):
            raise Unexplained(f"a subquery cannot be explained here: {node.sql(_DIALECT)[:80]}", hint="join it, or choose by IN or EXISTS")
        return _union(*(self._cells(each, scope, known) for each in node.iter_expressions()))

    def _exists(self, node: exp.Exists, scope: _Scope, known: Mapping[str, _Answer]) -> Cells:
        """Any one of the rows that are found will do."""
        query = node.this.copy()
        if self.query(query, known, scope).plain:
            return ()
        return (f"(SELECT any_of(list(found.{EXISTS})) FROM ({query.sql(_DIALECT)}) AS found)",)

    def _within(self, node: exp.In, scope: _Scope, known: Mapping[str, _Answer]) -> Cells:
        query = node.args["query"].copy()
        answer = self.query(query, known)
        if answer.plain:
            return ()
        wanted = node.this.unnest()
        values = list(wanted.expressions) if isinstance(wanted, exp.Tuple) else [wanted]
        same = " AND ".join(f'found."{name}" = {value.sql(_DIALECT)}' for name, value in zip(answer.columns, values, strict=True))
        lists = [f"found.{EXISTS}", *(f'found."{cells_of(name)}"' for name in answer.columns)]
        text = query.this.sql(_DIALECT) if isinstance(query, exp.Subquery) else query.sql(_DIALECT)
        matching = f"(SELECT any_of(list(flatten([{', '.join(lists)}]))) FROM ({text}) AS found WHERE {same})"
        return _union(self._cells(node.this, scope, known), (matching,))

    def _chosen(self, node: exp.Case | exp.Coalesce, cells: Callable[[exp.Expr], Cells]) -> Cells:
        """Of a value that is one of several, what chose it and what it is."""
        return self._case(node, cells) if isinstance(node, exp.Case) else self._coalesce(node, cells)

    def _case(self, node: exp.Case, cells: Callable[[exp.Expr], Cells]) -> Cells:
        subject = node.args.get("this")
        seen: Cells = cells(subject) if subject is not None else ()
        parts = [f"CASE {subject.sql(_DIALECT)}" if subject is not None else "CASE"]
        for branch in node.args["ifs"]:
            seen = _union(seen, cells(branch.this)) if subject is None else seen
            parts.append(f"WHEN {branch.this.sql(_DIALECT)} THEN {_list(_union(seen, cells(branch.args['true'])))}")
        default = node.args.get("default")
        parts.append(f"ELSE {_list(_union(seen, cells(default) if default is not None else ()))} END")
        return (" ".join(parts),)

    def _coalesce(self, node: exp.Coalesce, cells: Callable[[exp.Expr], Cells]) -> Cells:
        """The first choice that says something, unless those after it would say the same: then any of them will do."""
        first, *rest = [node.this, *node.expressions]
        if not rest:
            return cells(first)
        instead = exp.Coalesce(this=rest[0].copy(), expressions=[each.copy() for each in rest[1:]]) if rest[1:] else rest[0]
        mine, others = _list(cells(first)), _list(self._coalesce(instead, cells) if isinstance(instead, exp.Coalesce) else cells(instead))
        value = first.sql(_DIALECT)
        either = NOTHING if others == NOTHING else f"CASE WHEN len({others}) = 0 THEN {NOTHING} ELSE any_of([{mine}, {others}]) END"
        return (
            f"CASE WHEN {value} IS NULL THEN {others} WHEN {value} IS DISTINCT FROM {instead.sql(_DIALECT)} THEN {mine} ELSE {either} END",
        )

    def _grouped(self, node: exp.Expr, scope: _Scope) -> Cells:
        """What the value of an expression over a group depends on. The group's own key is the same in all of its rows."""
        if isinstance(node, exp.AggFunc | exp.Filter):
            return (self._aggregate(node, scope),)
        if isinstance(node, exp.Column):
            return ()
        if isinstance(node, exp.Case | exp.Coalesce):
            return self._chosen(node, lambda each: self._grouped(each, scope))
        if isinstance(node, exp.Window):
            raise Unexplained("a window over groups cannot be explained", hint="group in a common table expression first")
        return _union(*(self._grouped(each, scope) for each in node.iter_expressions()))

    def _aggregate(self, node: exp.Expr, scope: _Scope) -> str:
        function, only = (node.this, [node.expression.this.sql(_DIALECT)]) if isinstance(node, exp.Filter) else (node, [])
        value = function.this
        different = isinstance(value, exp.Distinct)
        value = value.expressions[0] if different else value
        if isinstance(function, exp.Count) and (value is None or isinstance(value, exp.Star)):
            return f"flatten(list({_list(scope.exists)}){_filter(only)})"
        row = _row(value, self._cells(value, scope, {}), scope.exists)
        rows = f"list({row}){_filter([*only, f'{value.sql(_DIALECT)} IS NOT NULL'])}"
        if isinstance(function, exp.Max | exp.Min):
            return f"any_of(with_value({rows}, {node.sql(_DIALECT)}))"
        if isinstance(function, exp.Count):
            return f"of_each_value({rows})" if different else f"flatten(with_all({rows}))"
        if isinstance(function, exp.Sum) and not different:
            return f"of_sum({rows}, 0)"
        if isinstance(function, exp.Avg) and not different:
            return f"of_sum({rows}, {node.sql(_DIALECT)})"
        raise Unexplained(f"{function.sql(_DIALECT)} cannot be explained", hint="count, sum, avg, min and max can")

    def _counted(self, window: exp.Window, scope: _Scope, exists: Cells) -> Cells:
        """What it takes that a row counts among those of its part."""
        return _union(exists, *(self._cells(each, scope, {}) for each in window.args.get("partition_by") or ()))

    def _window(self, node: exp.Window, scope: _Scope) -> Cells:
        function, value, parts = node.this, node.this.this, _partition(node)
        exists = self._counted(node, scope, scope.exists)
        if isinstance(function, exp.RowNumber):  # a row's place is made by those before it
            return (f"flatten(list({_list(exists)}) OVER ({parts} {_BEFORE}))",)
        if isinstance(function, exp.Count) and (value is None or isinstance(value, exp.Star)):
            return (f"flatten(list({_list(exists)}) OVER {node.sql(_DIALECT).partition(' OVER ')[2]})",)
        if value is None:
            raise Unexplained(f"{function.sql(_DIALECT)} OVER cannot be explained", hint="row_number can")
        row = _row(value, self._cells(value, scope, {}), exists)
        if isinstance(function, exp.FirstValue):
            return (f"of_first(list({row}) OVER ({parts} {_UP_TO_IT}))",)
        if isinstance(function, exp.Lag) and len(function.args) == 1:
            return (f"of_before(list_reverse(list({row}) OVER ({parts} {_BEFORE})))",)
        rows = f"list({row}) FILTER (WHERE {value.sql(_DIALECT)} IS NOT NULL) OVER {node.sql(_DIALECT).partition(' OVER ')[2]}"
        if isinstance(function, exp.Sum):
            return (f"of_sum({rows}, 0)",)
        if isinstance(function, exp.Count):
            return (f"flatten(with_all({rows}))",)
        raise Unexplained(f"{function.sql(_DIALECT)} OVER cannot be explained", hint="row_number, first_value, lag, sum and count can")


def _union(*several: Cells) -> Cells:
    return tuple(dict.fromkeys(cell for cells in several for cell in cells))


def _list(cells: Cells) -> str:
    """One list of atoms of several."""
    if not cells:
        return NOTHING
    return cells[0] if len(cells) == 1 else f"flatten([{', '.join(cells)}])"


def _meant(key: exp.Expr, outputs: Sequence[tuple[str, exp.Expr]]) -> exp.Expr:
    """A key of a group that is told by its place, or by the name of what is put out."""
    if isinstance(key, exp.Literal) and key.is_int:
        return outputs[int(key.name) - 1][1]
    if isinstance(key, exp.Column) and not key.table:
        return next((value for name, value in outputs if name == key.name), key)
    return key


def _partition(window: exp.Window) -> str:
    """By what a window is divided and ordered, without its frame."""
    plain = window.copy()
    plain.set("spec", None)
    return plain.sql(_DIALECT).partition(" OVER (")[2].removesuffix(")")


def _chooses_first(condition: exp.Expr | None, alias: str, place: str) -> bool:
    """Whether a condition, among others, asks for number 1."""
    node = condition.this if isinstance(condition, exp.Where) else condition
    if isinstance(node, exp.And):
        return _chooses_first(node.left, alias, place) or _chooses_first(node.right, alias, place)
    if isinstance(node, exp.Paren):
        return _chooses_first(node.this, alias, place)
    return node is not None and node.sql(_DIALECT) == f'"{alias}"."{place}" = 1'


def _row(value: exp.Expr, cells: Cells, exists: Cells) -> str:
    """What macros are told of a row."""
    return f"{{'v': {value.sql(_DIALECT)}, 'w': {_list(_union(exists, cells))}, 'c': {_list(cells)}, 'e': {_list(exists)}}}"


def _filter(conditions: Iterable[str]) -> str:
    told = " AND ".join(f"({condition})" for condition in conditions)
    return f" FILTER (WHERE {told})" if told else ""


def _aggregates(node: exp.Expr) -> bool:
    """Whether an expression holds an aggregate that is not one over a window."""
    if isinstance(node, exp.Window | exp.Query):
        return False
    if isinstance(node, exp.AggFunc):
        return True
    return any(_aggregates(each) for each in node.iter_expressions())


def _raw(text: str, alias: str) -> exp.Expr:
    return exp.alias_(exp.Var(this=text), alias, quoted=True)
