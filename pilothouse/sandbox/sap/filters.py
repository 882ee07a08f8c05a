"""$filter: words, a recursive-descent parser, and SQL with bound values.

The grammar is OData's: `or`, `and`, `not`, comparisons, `in` (V4), parentheses, functions, and the literals of both
versions. Null follows OData, not SQL: `ne` is true where one side is null, and `not` of an unknown is true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pilothouse.sandbox.company.schema import Field, Kind
from pilothouse.sandbox.company.store import Value
from pilothouse.sandbox.drift import Column
from pilothouse.sandbox.sap.errors import bad_request, unknown_property
from pilothouse.sandbox.sap.literals import stored
from pilothouse.sandbox.sap.services import Version
from pilothouse.sandbox.sap.sql import Sql, joined
from pilothouse.sandbox.sap.words import Word, words

MAXIMUM_DEPTH: Final = 100  # deeper nesting is an attack or a mistake, and would exhaust Python's own stack
_COMPARISONS: Final[Mapping[str, str]] = {"eq": "IS", "ne": "IS NOT", "gt": ">", "ge": ">=", "lt": "<", "le": "<="}
_NUMBERS: Final[frozenset[Kind]] = frozenset({"int", "decimal", "double"})


@dataclass(frozen=True)
class Literal:
    """A value as it was written; its type is settled by what it is compared with."""

    value: str | bool | None
    kind: str


@dataclass(frozen=True)
class Expression:
    """A value in SQL, and the field whose type it has."""

    sql: Sql
    field: Field


@dataclass(frozen=True)
class Condition:
    """A truth value in SQL; null counts as false."""

    sql: Sql


Operand = Literal | Expression | Condition


def compiled(text: str, columns: Mapping[str, Column], alias: str, version: Version, type_name: str) -> Sql:
    """A filter as a condition over the columns of `alias`."""
    parser = _Parser(words(text), columns, alias, version, type_name)
    condition = parser.condition(parser.either(0))
    parser.done()
    return condition


def comparable(column: Column, alias: str) -> Sql:
    """A column in the form in which it is compared and ordered: decimals are stored as text, but are numbers."""
    if column.constant is not None:
        return Sql("json_extract(?, '$[0]')", (f"[{column.constant}]",))
    name = f'{alias}."{column.source}"'
    if column.stored is not None and column.field.kind == "string":
        return Sql(f"CAST({name} AS TEXT)")
    return Sql(f"CAST({name} AS REAL)" if column.field.kind == "decimal" or (column.stored and column.field.kind in _NUMBERS) else name)


class _Parser:
    def __init__(self, words: list[Word], columns: Mapping[str, Column], alias: str, version: Version, type_name: str) -> None:
        self._words = words
        self._at = 0
        self._columns = columns
        self._alias = alias
        self._version = version
        self._type_name = type_name

    def done(self) -> None:
        if self._at < len(self._words):
            raise bad_request(f"Unexpected '{self._words[self._at].text}' in $filter")

    def either(self, depth: int) -> Operand:
        return self._chain("or", self._all, depth)

    def _all(self, depth: int) -> Operand:
        return self._chain("and", self._negated, depth)

    def _chain(self, word: str, part: Callable[[int], Operand], depth: int) -> Operand:
        first = part(depth)
        if not self._next_is(word):
            return first
        conditions = [self.condition(first)]
        while self._taken(word):
            conditions.append(self.condition(part(depth)))
        return Condition("(" + joined(f" {word.upper()} ", conditions) + ")")

    def _negated(self, depth: int) -> Operand:
        if depth > MAXIMUM_DEPTH:
            raise bad_request("$filter is nested too deeply")
        if self._taken("not"):
            return Condition(Sql("(NOT ") + _known(self.condition(self._negated(depth + 1))) + ")")
        return self._compared(depth)

    def _compared(self, depth: int) -> Operand:
        left = self._operand(depth)
        word = self._peek()
        if word is not None and word.kind == "name" and word.text in _COMPARISONS:
            self._at += 1
            return _comparison(left, word.text, self._operand(depth))
        if self._version == 4 and self._taken("in"):
            return self._membership(left, depth)
        return left

    def _membership(self, left: Operand, depth: int) -> Operand:
        self._expect("(")
        conditions = [_comparison(left, "eq", self._operand(depth)).sql]
        while self._taken(","):
            conditions.append(_comparison(left, "eq", self._operand(depth)).sql)
        self._expect(")")
        return Condition("(" + joined(" OR ", conditions) + ")")

    def _operand(self, depth: int) -> Operand:
        word = self._peek()
        if word is None:
            raise bad_request("$filter ends where a value was expected")
        self._at += 1
        if word.text == "(":
            inner = self.either(depth + 1)
            self._expect(")")
            return inner
        if word.kind == "name":
            return self._named(word.text, depth)
        if word.kind == "mark":
            raise bad_request(f"Unexpected '{word.text}' in $filter")
        return _literal(word)

    def _named(self, name: str, depth: int) -> Operand:
        if name in {"true", "false"}:
            return Literal(name == "true", "bool")
        if name == "null":
            return Literal(None, "null")
        if self._taken("("):
            return self._function(name, depth)
        column = self._columns.get(name)
        if column is None:
            raise unknown_property(name, self._type_name)
        return Expression(comparable(column, self._alias), column.field)

    def _function(self, name: str, depth: int) -> Operand:
        arguments = [self.either(depth + 1)]
        while self._taken(","):
            arguments.append(self.either(depth + 1))
        self._expect(")")
        function = _FUNCTIONS.get(name)
        if function is None or len(arguments) != function.arguments or self._version not in function.versions:
            raise bad_request(f"Function '{name}' with {len(arguments)} arguments is not supported in $filter")
        return function.compile([_text(argument) for argument in arguments])

    def condition(self, operand: Operand) -> Sql:
        if isinstance(operand, Condition):
            return operand.sql
        if isinstance(operand, Expression) and operand.field.kind == "bool":
            return "(" + operand.sql + " IS 1)"
        if isinstance(operand, Literal) and isinstance(operand.value, bool):
            return Sql("1" if operand.value else "0")
        raise bad_request("$filter needs a condition where it has a value")

    def _peek(self) -> Word | None:
        return self._words[self._at] if self._at < len(self._words) else None

    def _next_is(self, text: str) -> bool:
        word = self._peek()
        return word is not None and word.text == text and word.kind in {"name", "mark"}

    def _taken(self, text: str) -> bool:
        if self._next_is(text):
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._taken(text):
            word = self._peek()
            raise bad_request(f"'{text}' expected in $filter, not '{word.text if word else 'the end'}'")


def _literal(word: Word) -> Literal:
    if word.kind == "text":
        return Literal(_unquoted(word.text), "string")
    if word.kind == "typed":
        kind, _, rest = word.text.partition("'")
        return Literal(_unquoted("'" + rest), "moment" if kind.startswith("datetime") else "string")
    if word.kind == "number":
        return Literal(word.text.rstrip("mMdDfFlL"), "number")
    return Literal(word.text, "moment" if word.kind == "moment" else "string")


def _unquoted(text: str) -> str:
    return text[1:-1].replace("''", "'")


def _comparison(left: Operand, operator: str, right: Operand) -> Condition:
    if isinstance(left, Literal) and not isinstance(right, Literal):
        mirrored = {"gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}.get(operator, operator)
        return _comparison(right, mirrored, left)
    return Condition("(" + _side(left, right) + f" {_COMPARISONS[operator]} " + _side(right, left) + ")")


def _known(condition: Sql) -> Sql:
    """A condition whose unknown is false. Only where it is negated or compared: elsewhere it would keep SQLite from its indexes."""
    return "COALESCE(" + condition + ", 0)"


def _side(operand: Operand, other: Operand) -> Sql:
    if isinstance(operand, Condition):
        return _known(operand.sql)
    if isinstance(operand, Expression):
        if isinstance(other, Expression) and not _alike(operand.field.kind, other.field.kind):
            raise bad_request(f"'{operand.field.name}' and '{other.field.name}' cannot be compared")
        return operand.sql
    if operand.value is None:
        return Sql("NULL")
    if isinstance(other, Expression):
        return Sql("?", (_fitted(operand, other.field),))
    if isinstance(operand.value, bool):
        return Sql(str(int(operand.value)))
    return Sql("?", (float(operand.value) if operand.kind == "number" else operand.value,))


def _alike(one: Kind, other: Kind) -> bool:
    return one == other or {one, other} <= _NUMBERS


def _fitted(literal: Literal, field: Field) -> Value:
    """The literal as the store writes values of this field."""
    wanted = {"string": "string", "bool": "bool", "date": "moment", "datetime": "moment"}.get(field.kind, "number")
    if literal.kind != wanted:
        raise bad_request(f"'{field.name}' of type {field.kind} cannot be compared with '{literal.value}'")
    if wanted == "number":
        return float(str(literal.value))
    if wanted == "string":
        return literal.value
    return stored(field, literal.value)


@dataclass(frozen=True)
class _Function:
    arguments: int
    compile: Callable[[list[Sql]], Operand]
    versions: frozenset[int] = frozenset({2, 4})


_TEXT = Field("text")
_LENGTH = Field("length", "int")


def _text(operand: Operand) -> Sql:
    if isinstance(operand, Expression) and operand.field.kind == "string":
        return operand.sql
    if isinstance(operand, Literal) and operand.kind == "string":
        return Sql("?", (str(operand.value),))
    raise bad_request("A function in $filter takes texts")


def _starts(arguments: list[Sql]) -> Operand:
    text, start = arguments
    return Condition("(substr(" + text + ", 1, length(" + start + ")) = " + start + ")")


def _ends(arguments: list[Sql]) -> Operand:
    text, end = arguments
    # substr(x, -0) is the whole text, so an empty end must not reach it.
    return Condition("(length(" + end + ") = 0 OR substr(" + text + ", -length(" + end + ")) = " + end + ")")


def _holds(arguments: list[Sql]) -> Operand:
    text, part = arguments
    return Condition("(instr(" + text + ", " + part + ") > 0)")


def _of_text(name: str) -> Callable[[list[Sql]], Operand]:
    return lambda arguments: Expression(f"{name}(" + arguments[0] + ")", _TEXT)


_FUNCTIONS: Final[Mapping[str, _Function]] = {
    "startswith": _Function(2, _starts),
    "endswith": _Function(2, _ends),
    "contains": _Function(2, _holds, frozenset({4})),
    "substringof": _Function(2, lambda arguments: _holds(arguments[::-1]), frozenset({2})),
    "tolower": _Function(1, _of_text("lower")),
    "toupper": _Function(1, _of_text("upper")),
    "trim": _Function(1, _of_text("trim")),
    "length": _Function(1, lambda arguments: Expression("length(" + arguments[0] + ")", _LENGTH)),
    "concat": _Function(2, lambda arguments: Expression("(" + arguments[0] + " || " + arguments[1] + ")", _TEXT)),
}
