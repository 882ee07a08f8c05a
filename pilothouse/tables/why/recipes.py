"""How to tell from a row's trace what a value depends on.

A query is asked for its rows and, beside each, its trace: which rows it was made of and how it was decided. A recipe says what to
take from a trace. It is plain nested tuples, so that it can be kept beside the text of its query.

Of a value that is one of several choices the trace tells which was taken; of a group it holds the rows. What to make of them is said
here, once, and not in SQL: a query that carried lists of atoms through every expression took DuckDB ten times as long to plan as
the query alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from pilothouse.tables.why.needed import SEPARATOR, THERE, Needed, row_of

Recipe = Sequence[Any]  # what to do, and with which fields of the trace
Trace = Mapping[str, Any]
NOTHING: Final[Recipe] = ("nothing",)


class Fields:
    """What a query puts out beside its columns, as one struct: the fields of its rows' trace. A field that nobody asked for is not
    there, and costs no planning."""

    def __init__(self) -> None:
        self._texts: dict[str, Callable[[], str]] = {}
        self._names: dict[str, str] = {}
        self._rows: dict[str, Fields] = {}

    def add(self, text: str, rendered: Callable[[], str] | None = None) -> str:
        """The field that holds this expression. One that is not complete yet is rendered at the end."""
        if text not in self._names:
            self._names[text] = f"f{len(self._names)}"
            self._texts[text] = rendered or (lambda: text)
        return self._names[text]

    def rows(self, over: str = "", function: str = "list") -> tuple[str, Fields]:
        """The field that holds the traces of a group's rows, or of the rows in this window, and the fields that these have. Another
        function takes one of them."""
        text = f"{function}({{}}){over}"
        if text not in self._rows:
            inner = self._rows[text] = Fields()
            self.add(text, lambda: f"{function}({inner.sql()}){over}" if inner else "")
        return self._names[text], self._rows[text]

    def __bool__(self) -> bool:
        return any(text not in self._rows or bool(self._rows[text]) for text in self._texts)

    def sql(self) -> str:
        """All fields as a struct."""
        told = ((self._names[text], rendered()) for text, rendered in self._texts.items())
        return "{" + ", ".join(f"'{name}': {text}" for name, text in told if text) + "}"


def all_of(recipes: Iterable[Recipe]) -> Recipe:
    """What all of these take."""
    found: dict[Recipe, None] = {}
    for recipe in recipes:
        found |= dict.fromkeys(recipe[1] if recipe[0] == "all" else () if recipe is NOTHING else (recipe,))
    return next(iter(found), NOTHING) if len(found) <= 1 else ("all", tuple(found))


def down(field: str, recipe: Recipe) -> Recipe:
    """What this recipe takes of the trace in a field."""
    return ("down", field, recipe)


def shared(recipe: Any, known: dict[Any, Any]) -> Any:
    """A recipe out of plain lists, of which equal parts are one and the same: what was told of one is known of the other."""
    if not isinstance(recipe, list | tuple):
        return recipe
    made = tuple(shared(part, known) for part in recipe)
    return known.setdefault(made, made)


def cells_in(recipe: Recipe) -> Iterator[tuple[str, str]]:
    """The columns of base tables, as the query calls them, that a recipe can find: "" is the existence of a row. A column whose being
    there is asked for has its mark."""
    if recipe[0] == "atom":
        yield recipe[3], recipe[2]
        return
    for part in recipe[1:]:
        if isinstance(part, list | tuple):
            for each in [part] if part and isinstance(part[0], str) else part:
                yield from cells_in(each)


class Telling:
    """Tells what values depend on, of the traces of one answer."""

    def __init__(self) -> None:
        self.values: dict[str, dict[str, Any]] = {}  # of source rows, where the trace tells them
        self._known: dict[tuple[int, int], tuple[Needed, Recipe, Trace | None]] = {}  # which holds what it is known of

    @property
    def whole(self) -> Telling:
        """Who tells the alternatives of a choice: each of them counts, whatever is asked."""
        return self

    def of(self, recipe: Recipe, trace: Trace | None) -> Needed:
        """What a value depends on. Nobody may change it: it is told again to whoever asks again."""
        while recipe[0] == "down" and trace is not None:  # to the trace of a source's row: no step that is worth keeping
            trace, recipe = trace[recipe[1]], recipe[2]
        key = id(recipe), id(trace)
        known = self._known.get(key)
        if known is None:
            found = _NONE if trace is None else _STEPS[recipe[0]](self, trace, *recipe[1:])
            known = self._known[key] = found, recipe, trace
        return known[0]

    def nothing(self, trace: Trace) -> Needed:  # noqa: ARG002 - one of many steps
        """What nothing can be taken from."""
        return _NONE

    def every(self, trace: Trace, recipes: Sequence[Recipe]) -> Needed:
        """What several recipes take. Most are columns of one row: these are put together without a value for each."""
        parts, columns = list[Needed](), set[str]()
        for each in recipes:
            if each[0] == "atom":
                columns.add(self._atom(trace, *each[1:]))
            else:
                parts.append(self.of(each, trace))
        columns.discard("")
        return _together([Needed(columns), *parts] if columns else parts)

    def atom(self, trace: Trace, field: str, column: str, table: str, value: str | None) -> Needed:
        """A column of a source row, or its existence."""
        found = self._atom(trace, field, column, table, value)
        return Needed({found}) if found else _NONE

    def _atom(self, trace: Trace, field: str, column: str, table: str, value: str | None) -> str:  # noqa: ARG002 - read by `cells_in`
        """The atom; nothing where an outer join found no row."""
        identity: str | None = trace[field]
        if identity is None:
            return ""
        if value is not None:
            self.values.setdefault(identity, {})[column.removesuffix(THERE)] = trace[value]
        return identity + column

    def given(self, trace: Trace, field: str, recipe: Recipe) -> Needed:
        """Of what a left join found, if it found anything."""
        return self.of(recipe, trace) if trace[field] else _NONE

    def case(self, trace: Trace, field: str, recipes: Sequence[Recipe]) -> Needed:
        """Of the branch that was taken."""
        return self.of(recipes[trace[field]], trace)

    def either(self, trace: Trace, field: str, mine: Recipe, others: Recipe) -> Needed:
        """Of two, whichever it takes: the one (1), the other (0), either of them (2) or both (3)."""
        which = trace[field]
        if which == 3:
            return _together((self.of(mine, trace), self.of(others, trace)))
        if which == 2:
            return _any([self.whole.of(mine, trace), self.whole.of(others, trace)])
        return self.of(mine if which else others, trace)

    def each(self, trace: Trace, rows: str, counts: str | None, recipe: Recipe) -> Needed:
        """All rows of a group."""
        return _together(self.of(recipe, row) for row in _counting(trace, rows, counts))

    def one_of(self, trace: Trace, rows: str, counts: str | None, recipe: Recipe) -> Needed:
        """Any one row of a group."""
        return _any([self.whole.of(recipe, row) for row in _counting(trace, rows, counts)])

    def extreme(self, trace: Trace, rows: str, counts: str | None, value: str, reached: str, recipe: Recipe) -> Needed:
        """Of a largest or smallest value: any row that reaches it."""
        best = trace[reached]
        if best is None:
            return _NONE
        return _any([self.whole.of(recipe, row) for row in _counting(trace, rows, counts) if row[value] == best])

    def values_of(self, trace: Trace, rows: str, counts: str | None, value: str, recipe: Recipe) -> Needed:
        """Of a count of different values: of each of them, any row that has it."""
        groups: dict[Any, list[Needed]] = {}
        for row in _counting(trace, rows, counts):
            if row[value] is not None:
                groups.setdefault(row[value], []).append(self.whole.of(recipe, row))
        return _together(map(_any, groups.values()))

    def summed(self, trace: Trace, rows: str, counts: str | None, value: str, mean: str | None, recipe: Recipe) -> Needed:
        """Of a sum, what is not zero; of a mean, what is not the mean: unless there is nothing else, when any one row makes the value."""
        adding = 0 if mean is None else trace[mean]
        found: list[Trace] = []
        idle: list[Trace] = []
        for row in _counting(trace, rows, counts):
            if row[value] is not None:
                (found if row[value] != adding else idle).append(row)
        return _together(self.of(recipe, row) for row in found) if found else _any([self.whole.of(recipe, row) for row in idle])

    def first(self, trace: Trace, rows: str, value: str, cells: Recipe, exists: Recipe) -> Needed:
        """Of the first row: what its value is made of beside the row itself, which the next one would replace, and any one of the
        first rows as long as they say the same."""
        return self._first(trace[rows] or (), value, cells, exists)

    def before(self, trace: Trace, rows: str, value: str, cells: Recipe, exists: Recipe) -> Needed:
        """Of the last of the rows before. Where none of them says anything, it says nothing whichever of them are there."""
        earlier = list(reversed(trace[rows] or ()))
        return self._first(earlier, value, cells, exists) if any(row[value] is not None for row in earlier) else _NONE

    def leaving(self, trace: Trace, rows: str, exists: Recipe) -> Needed:
        """What keeps a first row before the next one: the rows that it is made of, and the next is not."""
        first, *second = (self.whole.of(exists, row) for row in trace[rows][:2])
        shared = set(map(row_of, second[0].everything())) if second else ()
        return Needed({atom for atom in first.atoms if row_of(atom) not in shared})

    def hiding(self, trace: Trace, rows: str, kind: str, value: str, then: str, whole: str, recipe: Recipe) -> Needed:
        """Of first rows that add nothing to a value of their group, those that hide a next one which would."""
        changes, all_together = _HIDES[kind], set(trace[whole] or ()) if kind == "values" else trace[whole]
        return _together(self.of(recipe, row) for row in trace[rows] or () if changes(row[value], row[then], all_together))

    def _first(self, rows: Sequence[Trace], value: str, cells: Recipe, exists: Recipe) -> Needed:
        if len(rows) == 1:
            return _together((self.whole.of(exists, rows[0]), self.whole.of(cells, rows[0])))
        same = []
        for row in rows:
            if row[value] != rows[0][value]:
                break
            same.append(_together((self.whole.of(exists, row), self.whole.of(cells, row))))
        if not same:
            return _NONE
        mine, itself = self.whole.of(cells, rows[0]), self.whole.of(exists, rows[0])
        there = set(map(row_of, itself.atoms))
        beside = Needed(
            {atom for atom in mine.atoms if row_of(atom) not in there},
            {name: choice for name, choice in mine.choices.items() if name not in itself.choices},
        )
        return _together((beside, _any(same)))


class Pointing(Telling):
    """Tells of what values depend on only what leads to certain rows, and of each choice with one of them all alternatives. A row's
    features are made of a hundred rows, column by column; whoever asks what one of these changes need not hear of the others."""

    def __init__(self, whole: Telling, wanted: Callable[[str], bool]) -> None:
        super().__init__()
        self._whole = whole
        self._wanted = wanted  # by the identity that a trace has of a row
        self._leading: dict[int, tuple[bool, Trace]] = {}

    @property
    def whole(self) -> Telling:
        """The one that tells everything."""
        return self._whole

    def of(self, recipe: Recipe, trace: Trace | None) -> Needed:
        """The same, and nothing of a trace in which no such row is."""
        return super().of(recipe, trace) if trace is not None and self._leads(trace) else _NONE

    def _leads(self, trace: Trace) -> bool:
        known = self._leading.get(id(trace))
        if known is None:
            known = self._leading[id(trace)] = any(map(self._finds, trace.values())), trace
        return known[0]

    def _finds(self, value: Any) -> bool:
        if isinstance(value, str):
            return SEPARATOR in value and self._wanted(value)
        if isinstance(value, dict):
            return self._leads(value)
        return isinstance(value, list) and any(map(self._finds, value))


_NONE: Final = Needed()
_STEPS: Final[Mapping[str, Callable[..., Needed]]] = {
    "nothing": Telling.nothing,
    "all": Telling.every,
    "atom": Telling.atom,
    "given": Telling.given,
    "case": Telling.case,
    "either": Telling.either,
    "each": Telling.each,
    "any": Telling.one_of,
    "extreme": Telling.extreme,
    "values": Telling.values_of,
    "sum": Telling.summed,
    "first": Telling.first,
    "before": Telling.before,
    "leaving": Telling.leaving,
    "hiding": Telling.hiding,
}
# Whether a value that adds nothing to what all are together would, were it the one that it hides.
_HIDES: Final[Mapping[str, Callable[[Any, Any, Any], bool]]] = {
    "sum": lambda value, then, whole: not value and (bool(then) or (then is not None and whole is None)),
    "mean": lambda value, then, whole: value in {None, whole} and then not in {None, whole},
    "count": lambda value, then, _: value is None and then is not None,
    "max": lambda _, then, whole: then is not None and (whole is None or _placed(then) > _placed(whole)),
    "min": lambda _, then, whole: then is not None and (whole is None or _placed(then) < _placed(whole)),
    "values": lambda _, then, whole: then is not None and then not in whole,
    "there": lambda _, then, whole: then is not None and whole is None,
}


def _placed(value: Any) -> Any:
    """What DuckDB orders a value by: a struct by its fields, NaN after all numbers."""
    return (value != value, tuple(value.values()) if isinstance(value, dict) else value)  # noqa: PLR0124 - NaN is not itself


def _counting(trace: Trace, rows: str, counts: str | None) -> Iterable[Trace]:
    found: Sequence[Trace] = trace[rows] or ()
    return found if counts is None else (row for row in found if row[counts])


def _together(several: Iterable[Needed]) -> Needed:
    parts = [each for each in several if each.atoms or each.choices]
    if len(parts) <= 1:
        return parts[0] if parts else _NONE
    found = Needed()
    for each in parts:
        found.merge(each)
    return found


def _any(alternatives: Sequence[Needed]) -> Needed:
    """One of these has to be there; if one needs nothing, none has. Choices that are the same are named the same."""
    named = {_name(each): each for each in alternatives}
    if len(named) <= 1 or any(not each.atoms and not each.choices for each in alternatives):
        return alternatives[0] if len(named) == 1 else _NONE
    return Needed(choices={_digest(sorted(named)): named})


def _name(needed: Needed) -> str:
    return _digest([*sorted(needed.atoms), "", *sorted(needed.choices)])


def _digest(parts: Iterable[str]) -> str:
    return hashlib.blake2b("\0".join(parts).encode(), digest_size=9).hexdigest()
