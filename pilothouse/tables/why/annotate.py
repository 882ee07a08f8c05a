"""A query rewritten so that every row carries its trace: which rows it was made of, and how it was decided.

Beside the query stand recipes (`recipes.py`), one for the rows' existence and one for each column, which take from the trace what a
value depends on. That is atoms: a base table's row with one of its columns, or with none where the row only has to be there. It is
an atom of a value if taking it away changes the value. So a sum is made of what is not zero, the first row of a group by itself
alone, the second by itself and the first, a `case` by its conditions and the branch that was taken.

Where any one of several would do (a group is there as long as one of its rows is, a maximum as long as one row reaches it), the
atoms are alternatives. Which of them matter can only be said once everything else is known that the row depends on (`needed.py`).

Of rows that are numbered, the one with number 1 stands for all that come after it: were it gone, the next would take its place. So
its value is made of the first rows that say the same, any one of them. Versions of a raw row are no rows of their own: a row is taken
away with all of them, and the newest is what it says.

What is known not to be told exactly is refused (`Unexplained`); a test asks for every model of the project. One thing is not: a row that
adds nothing to a group, or that a condition leaves out, and would count with less of what it is made of, joined to or looked for in
(docs/decisions/0008).
Whether a row is synthetic is no part of what it says, and is not explained.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from sqlglot import exp, parse_one
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.pushdown_projections import pushdown_projections
from sqlglot.optimizer.qualify import qualify

from pilothouse.tables.why.answer import Answer, Select, marked
from pilothouse.tables.why.cells import DIALECT, Cells, Unexplained, any_row, both, first_of, nothing, partition
from pilothouse.tables.why.expressions import FROM_IT, Blurred, Expressions, Scope, Source, aggregates
from pilothouse.tables.why.hidden import behind_first, handed_on
from pilothouse.tables.why.needed import THERE
from pilothouse.tables.why.recipes import NOTHING, Fields, Recipe, all_of

ASKED: Final = "asked"  # the schema of the rows that are asked for: they choose, and explain nothing
_SYNTHETIC: Final = "_synthetic"

Schema = Mapping[str, Mapping[str, Sequence[str]]]  # schema → table → columns


@dataclass(frozen=True)
class Base:
    """How a base table's row is named: SQL of its atom, over the alias, which ends with the separator. It stands where rows are told,
    behind all that leaves rows out. Of a table that is `told`, traces tell the values of the columns that matter. `row` is the column
    in which all versions of a row say the same, where rows have versions: a row is taken away with all of them."""

    atom: str = "{alias}._id"
    told: bool = False
    row: str = ""


@dataclass(frozen=True)
class Annotated:
    """A query with traces, and how to read them: of its columns, and under their names with a mark (`THERE`) of these being there.
    `asked` are the columns that it uses of the rows that are asked for."""

    text: str
    traces: tuple[str, ...]
    exists: Recipe
    columns: Mapping[str, Recipe]
    asked: tuple[str, ...]


_Of = Callable[[exp.Expr, Scope], Cells]


def annotated(text: str, schema: Schema, columns: Sequence[str] = (), bases: Mapping[tuple[str, str], Base] | None = None) -> Annotated:
    """The query with its traces and recipes; of these columns alone, if any are named, each for what it says or (marked) for its being
    there. `bases` are what is known of base tables, by schema and name."""
    wanted = ", ".join(f'"{name}"' for name in dict.fromkeys(each.removesuffix(THERE) for each in columns))
    tree = qualified(f"SELECT {wanted} FROM ({text}) AS made" if columns else text, schema)
    if columns:  # what no wanted column needs would only be planned, which takes longer than to answer
        tree = pushdown_projections(tree)
    annotator = _Annotator(schema, bases or {})
    answer = annotator.query(tree, {})
    source, fields = answer.source(""), _Plain()
    told = columns or [*answer.columns, *marked(answer.columns)]
    exists, recipes = source.exists(fields), {name: source.columns(name)(fields) for name in told}
    annotator.attach()
    asked = tuple(sorted({each.name for each in tree.find_all(exp.Column) if each.table in annotator.asked}))
    return Annotated(tree.sql(DIALECT, comments=False), tuple(fields.names), exists, recipes, asked)


class _Plain(Fields):
    """The columns of the answer itself, which are named as they are."""

    def __init__(self) -> None:
        super().__init__()
        self.names: dict[str, None] = {}

    def add(self, text: str, rendered: object = None) -> str:  # noqa: ARG002 - as in Fields
        self.names[text] = None
        return text


def qualified(text: str, schema: Schema) -> exp.Expr:
    """The query, in which every column names its table."""
    tables: dict[str, object] = {
        name: {table: dict.fromkeys(map(str.lower, columns), "unknown") for table, columns in tables.items()}
        for name, tables in schema.items()
    }
    try:
        tree = parse_one(text, dialect=DIALECT)
        for table in tree.find_all(exp.Table):
            table.set("catalog", None)
        return qualify(tree, schema=tables, dialect=DIALECT, validate_qualify_columns=False, canonicalize_table_aliases=False)
    except SqlglotError as error:
        raise Unexplained(f"a query cannot be read: {str(error).splitlines()[0]}", hint="write it in SQL that sqlglot knows") from error


class _Annotator:
    def __init__(self, schema: Schema, bases: Mapping[tuple[str, str], Base]) -> None:
        self.asked: set[str] = set()  # aliases
        self._schema = schema
        self._bases = bases
        self._answers: list[Answer] = []

    def attach(self) -> None:
        """Put all traces out, once everything was asked for that shall be told."""
        for answer in self._answers:
            answer.attach()

    def query(self, node: exp.Expr, known: Mapping[str, Answer], outer: Scope | None = None) -> Answer:
        """Rewrite a query in place. `known` are the common table expressions that it may name, `outer` is what it stands in."""
        if isinstance(node, exp.Subquery):
            return self.query(node.this, known, outer)
        if isinstance(node, exp.SetOperation):
            answer = self._union(node, known)
        elif isinstance(node, exp.Select):
            answer = self._select(node, known, outer)
        else:
            raise Unexplained(f"a query of kind {type(node).__name__} cannot be explained", hint="write it as SELECT")
        self._answers.append(answer)
        return answer

    def _with(self, node: exp.Expr, known: Mapping[str, Answer]) -> dict[str, Answer]:
        found = dict(known)
        told = node.args.get("with_") or exp.With()
        for each in told.expressions:
            if told.args.get("recursive"):
                raise Unexplained("a recursive query cannot be explained", hint="write out as many levels as there are")
            found[each.alias] = self.query(each.this, found)
        return found

    def _union(self, node: exp.SetOperation, known: Mapping[str, Answer]) -> Answer:
        if not isinstance(node, exp.Union) or node.args.get("distinct"):
            raise Unexplained(f"{node.key.upper()} cannot be explained", hint="UNION ALL and GROUP BY say the same, and can")
        known = self._with(node, known)
        left, right = self._part(node.left, known), self._part(node.right, known)
        return Answer(left.columns, [*left.parts, *right.parts], left.plain and right.plain)

    def _part(self, node: exp.Expr, known: Mapping[str, Answer]) -> Answer:
        """A part of a union, whose traces the whole union puts out."""
        answer = self.query(node, known)
        self._answers.remove(answer)
        return answer

    def _select(self, node: exp.Select, known: Mapping[str, Answer], outer: Scope | None) -> Answer:
        if node.args.get("limit") or node.args.get("offset"):
            raise Unexplained("LIMIT cannot be explained", hint="number the rows and choose by the number")
        known = self._with(node, known)
        cells = Expressions(lambda each, scope: self._subquery(each, scope, known))
        scope, plain = self._sources(node, known, cells, outer)
        blurred = scope.blurred or any(map(scope.hangs_on_places, _conditions(node)))
        outputs = [(each.alias_or_name, each.unalias()) for each in node.expressions]
        having = node.args.get("having")
        grouped = bool(node.args.get("group")) or any(aggregates(value) for _, value in outputs) or bool(having)
        if node.args.get("distinct"):
            if grouped:
                raise Unexplained("DISTINCT of groups cannot be explained", hint="leave DISTINCT out: groups are distinct")
            node.set("distinct", None)
            node.set("group", exp.Group(expressions=[value.copy() for _, value in outputs]))
            grouped = True
        told = [(name, exp.Null() if name == _SYNTHETIC else value) for name, value in outputs]
        if grouped:
            keys = [_meant(key, outputs) for key in node.args["group"].expressions] if node.args.get("group") else []
            values = [each for each in (*(value for _, value in outputs), having) if each]
            if blurred or any(map(scope.hangs_on_places, keys)) or any(map(scope.hangs_on_number, values)):
                raise Blurred
            # A row counts in its group: for that, its key has to say what it says.
            scope.exists = both(scope.exists, *(cells.of(key, scope) for key in keys))
            # All rows taken together are one group, be there any or not.
            exists = any_row(scope.exists) if node.args.get("group") else nothing
            exists = both(exists, cells.grouped(having.this, scope) if having else nothing)
            made = Select(node, _outputs(told, cells.grouped, cells.grouped_there, scope), exists)
        else:
            chosen = node.args.get("qualify")
            exists = both(scope.exists, cells.condition(chosen.this, scope) if chosen else nothing)
            made = Select(node, _outputs(told, cells.of, cells.there, scope), exists)
            self._number(made, outputs, cells, scope)
            if not made.place and len(scope.hidden()) == 1:
                made.hidden = handed_on(node, outputs, scope.hidden()[0])
            several = len(scope.hidden()) > (0 if made.places else 1)
            chosen_by = [each for each in (chosen.find_all(exp.Window) if chosen else ()) if not scope.of_one_row(each)]
            made.blurred = blurred or several or bool(chosen_by) or any(scope.hangs_on_number(value) for _, value in outputs)
        return Answer(tuple(name for name, _ in outputs), [made], plain)

    @staticmethod
    def _number(made: Select, outputs: Sequence[tuple[str, exp.Expr]], cells: Expressions, scope: Scope) -> None:
        """Where a query numbers its rows, note what the one with number 1 says and depends on."""
        numbered = {name: value for name, value in outputs if isinstance(value, exp.Window) and isinstance(value.this, exp.RowNumber)}
        made.places = frozenset(name for name, window in numbered.items() if not scope.of_one_row(window))
        if len(numbered) != 1:
            return
        ((made.place, window),) = numbered.items()
        over, counted = f" OVER ({partition(window)} {FROM_IT})", cells.counted(window, scope, made.exists)
        if scope.of_one_row(window):  # whose newest version it is: the ones before go with it
            made.firsts = {name: both(counted, each) for name, each in made.outputs.items()}
            made.firsts |= dict.fromkeys((made.place, made.place + THERE), nothing)
            made.first_exists = counted
            return
        for name, value in outputs:
            for called, says in ((name, "{}"), (name + THERE, "{} IS NOT NULL")):
                if name in {made.place, _SYNTHETIC}:
                    made.firsts[called] = nothing
                elif value.find(exp.Window):  # over the same rows, which says the same of whatever row has number 1
                    made.firsts[called] = both(counted, made.outputs[called]) if _over_same(value, window) else _blurred
                else:
                    made.firsts[called] = first_of("first", over, says.format(value.sql(DIALECT)), made.outputs[called], counted)
        made.first_exists = any_row(counted, over)
        made.hidden = behind_first(made.node, outputs, window, over, counted)

    def _sources(self, node: exp.Select, known: Mapping[str, Answer], cells: Expressions, outer: Scope | None) -> tuple[Scope, bool]:
        """What a SELECT reads, and of what is left after its joins and conditions what the rows' existence depends on."""
        scope, plain, where = Scope(outer=outer), True, node.args.get("where")
        holders = [node.args["from_"], *(node.args.get("joins") or ())] if node.args.get("from_") else []
        for holder in holders:
            alias, source, bare = self._source(holder.this, known, where, holder.args.get("on"))
            plain = plain and bare
            scope.sources[alias] = source
            self._joined(holder, alias, scope, cells)
        if where:
            scope.exists = both(scope.exists, cells.condition(where.this, scope))
            if not all(table.db == ASKED for query in where.find_all(exp.Exists, exp.In) for table in query.find_all(exp.Table)):
                scope.sources = {alias: replace(source, row="") for alias, source in scope.sources.items()}  # versions come and go
        return scope, plain

    def _source(self, node: exp.Expr, known: Mapping[str, Answer], *conditions: exp.Expr | None) -> tuple[str, Source, bool]:
        """A source under its alias; of one whose rows are numbered, if these conditions choose number 1, what stands for a group."""
        alias = node.alias_or_name
        if isinstance(node, exp.Table) and node.db == ASKED:
            self.asked.add(alias)
            return alias, Source(lambda _: nothing, nothing), True
        if isinstance(node, exp.Table) and node.db:
            return alias, self._base(alias, node), False
        answer = known[node.name] if isinstance(node, exp.Table) else self.query(node, known)
        if answer.plain:
            return alias, Source(lambda _: nothing, nothing), True
        place = answer.parts[0].place if len(answer.parts) == 1 else ""
        firsts = bool(place) and any(_chooses_first(condition, alias, place) for condition in conditions)
        return alias, answer.source(alias, firsts=firsts), False

    def _base(self, alias: str, node: exp.Table) -> Source:
        names = {name.lower(): name for name in self._schema[node.db][node.name]}
        called, base = f"{node.db}.{node.name}", self._bases.get((node.db, node.name), Base())
        identity = base.atom.format(alias=f'"{alias}"')

        def atom(name: str) -> Cells:
            plain = name.removesuffix(THERE)
            column = names[plain] + name.removeprefix(plain)
            value = f'"{alias}"."{names[plain]}"'
            return lambda fields: ("atom", fields.add(identity), column, called, fields.add(value) if base.told else None)

        return Source(atom, lambda fields: ("atom", fields.add(identity), "", called, None), base.row)

    def _joined(self, holder: exp.Expr, alias: str, scope: Scope, cells: Expressions) -> None:
        source = scope.sources[alias]
        if isinstance(holder, exp.From):
            scope.exists = source.exists
            return
        side, kind, on = holder.args.get("side", ""), holder.args.get("kind", ""), holder.args.get("on")
        if holder.args.get("using") or side not in {"", "LEFT"} or kind not in {"", "INNER", "CROSS", "OUTER"}:
            raise Unexplained(f"{holder.sql(DIALECT)[:80]} cannot be explained", hint="write it as an inner or a left join with ON")
        match = cells.condition(on, scope) if on else nothing
        if side != "LEFT":
            scope.exists = both(scope.exists, source.exists, match)
            return
        if on and source.hidden and source.hidden.differs_in(on):
            raise Blurred
        found, hidden = both(source.exists, match), source.hidden and replace(source.hidden, optional=True)

        def columns(name: str) -> Cells:
            """What says nothing says what it would say if nothing had matched; unless it hides what says something."""
            value = both(source.columns(name), found)

            def told(fields: Fields) -> Recipe:
                recipe, column = value(fields), exp.column(name.removesuffix(THERE), alias, quoted=True)
                there = " OR ".join(f"{each.sql(DIALECT)} IS NOT NULL" for each in (column, hidden and hidden.instead(column)) if each)
                return NOTHING if recipe is NOTHING else ("given", fields.add(there), recipe)

            return told

        scope.sources[alias] = replace(source, columns=columns, exists=nothing, hidden=hidden)

    def _subquery(self, node: exp.Exists | exp.In, scope: Scope, known: Mapping[str, Answer]) -> Cells:
        """Of IN and EXISTS: any one of the rows that are found will do."""
        query = (node.this if isinstance(node, exp.Exists) else node.args["query"]).copy()
        others, self._answers = self._answers, []
        answer = self.query(query, known, scope if isinstance(node, exp.Exists) else None)
        mine, self._answers = self._answers, others
        if answer.plain:
            return nothing
        if any(part.blurred or part.hidden for part in answer.parts):
            raise Blurred
        source, same = answer.source("found"), ""
        value: Cells = nothing
        found = source.exists
        if isinstance(node, exp.In):
            wanted = node.this.unnest()
            values = list(wanted.expressions) if isinstance(wanted, exp.Tuple) else [wanted]
            pairs = zip(answer.columns, values, strict=True)
            same = " WHERE " + " AND ".join(f'found."{name}" = {each.sql(DIALECT)}' for name, each in pairs)
            found = both(found, *map(source.columns, answer.columns))
            value = Expressions(lambda each, inner: self._subquery(each, inner, known)).of(node.this, scope)
        text = query.this if isinstance(query, exp.Subquery) else query
        row = Fields()

        def rendered() -> str:
            for each in mine:
                each.attach()
            return f"(SELECT list({row.sql()}) FROM ({text.sql(DIALECT)}) AS found{same})"

        def told(fields: Fields) -> Recipe:
            recipe = found(row)
            mine = NOTHING if recipe is NOTHING else ("any", fields.add(f"{id(node)} finds", rendered), None, recipe)
            return all_of([value(fields), mine])

        return told


def _outputs(told: Sequence[tuple[str, exp.Expr]], of: _Of, there: _Of, scope: Scope) -> dict[str, Cells]:
    """The cells of a SELECT's columns, and of their being there: few are asked for that."""

    def when_asked(value: exp.Expr, fields: Fields) -> Recipe:
        return there(value, scope)(fields)

    return {name: of(value, scope) for name, value in told} | {name + THERE: partial(when_asked, value) for name, value in told}


def _conditions(node: exp.Select) -> list[exp.Expr]:
    """By what a query chooses among the rows that it reads."""
    held = [node.args.get("where"), *(join.args.get("on") for join in node.args.get("joins") or ())]
    return [each for each in held if each]


def _over_same(value: exp.Expr, window: exp.Window) -> bool:
    """Whether all windows of an expression look at the rows among which this one numbers."""
    parts = [set(each.args.get("partition_by") or ()) for each in (window, *value.find_all(exp.Window))]
    return all(each == parts[0] for each in parts)


def _blurred(fields: Fields) -> Recipe:  # noqa: ARG001 - as all cells
    raise Blurred


def _meant(key: exp.Expr, outputs: Sequence[tuple[str, exp.Expr]]) -> exp.Expr:
    """A key of a group that is told by its place, or by the name of what is put out."""
    if isinstance(key, exp.Literal) and key.is_int:
        return outputs[int(key.name) - 1][1]
    if isinstance(key, exp.Column) and not key.table:
        return next((value for name, value in outputs if name == key.name), key)
    return key


def _chooses_first(condition: exp.Expr | None, alias: str, place: str) -> bool:
    """Whether a condition, among others, asks for number 1."""
    node = condition.this if isinstance(condition, exp.Where) else condition
    if isinstance(node, exp.And):
        return _chooses_first(node.left, alias, place) or _chooses_first(node.right, alias, place)
    if isinstance(node, exp.Paren):
        return _chooses_first(node.this, alias, place)
    return node is not None and node.sql(DIALECT) == f'"{alias}"."{place}" = 1'
