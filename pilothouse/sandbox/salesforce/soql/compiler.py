"""A SOQL tree and the org's objects to one SQL statement over the store."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Final

from pilothouse.sandbox.company.schema import Field
from pilothouse.sandbox.company.store import Value
from pilothouse.sandbox.salesforce.errors import ApiError
from pilothouse.sandbox.salesforce.objects import Objects, SObject, relationship
from pilothouse.sandbox.salesforce.soql.conditions import SQL, compare, stands_for
from pilothouse.sandbox.salesforce.soql.expressions import Expression, comparable, of_column
from pilothouse.sandbox.salesforce.soql.syntax import (
    Aggregate,
    AllFields,
    Both,
    Comparison,
    Condition,
    Either,
    Membership,
    Negation,
    Order,
    Path,
    Select,
)
from pilothouse.sandbox.salesforce.soql.tokens import malformed, pointed

_DEEPEST_PARENT: Final = 5
_FURTHEST_OFFSET: Final = 2000
_MOST_FIELDS: Final = 200


@dataclass(frozen=True)
class Output:
    """One value of a result row: the names that lead to it, and how it is computed."""

    names: tuple[str, ...]
    value: Expression


@dataclass
class Record:
    """How one record is written: its own values and its parents, in the order in which they were asked for."""

    object: SObject
    table: str
    values: dict[str, Expression | Record] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """A query over the store: what comes out of a row, and everything behind SELECT."""

    object: SObject
    outputs: tuple[Output, ...]
    record: Record | None  # None for aggregates
    source: str
    parameters: tuple[Value, ...]
    counts: bool = False  # SELECT COUNT()
    offset: int = 0


def compiled(select: Select, query: str, objects: Objects, today: date, *, deleted: bool = False) -> Compiled:
    """The SQL of a query. `deleted` includes the recycle bin, as queryAll does."""
    found = objects.find(select.object_name)
    if found is None:
        raise _unknown_object(select, query)
    return _Compiler(query, objects, found, today, select.alias, deleted=deleted).compile(select)


class _Compiler:
    def __init__(
        self, query: str, objects: Objects, root: SObject, today: date, alias: str | None, *, deleted: bool, prefix: str = "t"
    ) -> None:
        self._query = query
        self._objects = objects
        self._today = today
        self._deleted = deleted
        self._prefix = prefix
        self._root = root
        self._own_names = {root.name.lower(), *([alias.lower()] if alias else [])}
        self._tables: dict[tuple[str, ...], tuple[SObject, str]] = {(): (root, f"{prefix}0")}
        self._joins: list[str] = []
        self._record = Record(root, f"{prefix}0")

    def compile(self, select: Select) -> Compiled:
        grouped = bool(select.group) or any(isinstance(item, Aggregate) for item in select.items)
        self._check(select, grouped=grouped)
        outputs = tuple(self._aggregated(select)) if grouped else tuple(self._selected(select))
        where, parameters = self._where(select)
        group = self._group(select)
        having, having_parameters = self._having(select)
        order = self._order(select.order)
        limit = "" if select.limit is None and not select.offset else f" LIMIT {-1 if select.limit is None else select.limit}"
        offset = f" OFFSET {select.offset}" if select.offset else ""
        source = f" FROM {self._root.entity.table} AS {self._prefix}0{''.join(self._joins)}{where}{group}{having}{order}{limit}{offset}"
        return Compiled(
            object=self._root, outputs=outputs, record=None if grouped else self._record, source=source,
            parameters=(*parameters, *having_parameters), counts=not select.items, offset=select.offset,
        )  # fmt: skip

    def nested(self, select: Select) -> SQL:
        """The semi-join's own statement."""
        if len(select.items) != 1 or not isinstance(select.items[0], Path):
            raise ApiError(400, "MALFORMED_QUERY", "a semi-join selects exactly one field")
        _, value = self._resolve(select.items[0])
        where, parameters = self._where(select)
        return f"SELECT {value.sql} FROM {self._root.entity.table} AS {self._prefix}0{''.join(self._joins)}{where}", parameters

    def _check(self, select: Select, *, grouped: bool) -> None:
        if select.offset > _FURTHEST_OFFSET:
            raise ApiError(400, "NUMBER_OUTSIDE_VALID_RANGE", f"Maximum SOQL offset allowed is {_FURTHEST_OFFSET}")
        wildcard = next((item for item in select.items if isinstance(item, AllFields)), None)
        if wildcard is None:
            return
        if grouped:
            raise malformed(self._query, wildcard.at, "The FIELDS function cannot be used with aggregates")
        if wildcard.scope != "STANDARD" and (select.limit is None or select.limit > _MOST_FIELDS):
            raise malformed(self._query, wildcard.at, "The SOQL FIELDS function must have a LIMIT of at most 200")

    def _selected(self, select: Select) -> Iterable[Output]:
        seen: set[tuple[str, ...]] = set()
        for path in self._paths(select.items):
            names, value = self._resolve(path)
            if names in seen:
                raise malformed(self._query, path.at, f"duplicate field selected: {path}")
            seen.add(names)
            self._place(names, value)
            yield Output(names, value)

    def _paths(self, items: Sequence[Path | Aggregate | AllFields]) -> Iterable[Path]:
        explicit = {str(item).lower() for item in items if isinstance(item, Path)}
        for item in items:
            if isinstance(item, Path):
                yield item
            elif isinstance(item, AllFields):
                for column in self._root.columns:
                    wanted = item.scope == "ALL" or column.name.endswith("__c") == (item.scope == "CUSTOM")
                    if wanted and column.name.lower() not in explicit:
                        yield Path((column.name,), item.at)

    def _place(self, names: tuple[str, ...], value: Expression) -> None:
        record = self._record
        for depth in range(1, len(names)):
            found, table = self._tables[tuple(name.lower() for name in names[:depth])]
            inner = record.values.setdefault(names[depth - 1], Record(found, table))
            assert isinstance(inner, Record)
            record = inner
        record.values[names[-1]] = value

    def _aggregated(self, select: Select) -> Iterable[Output]:
        grouped = {self._resolve(path)[0] for path in select.group}
        unnamed = 0
        for item in select.items:
            if isinstance(item, Aggregate):
                name = item.alias or f"expr{unnamed}"
                unnamed += item.alias is None
                yield Output((name,), self._aggregate(item))
                continue
            assert isinstance(item, Path)
            names, value = self._resolve(item)
            if names not in grouped:
                raise malformed(self._query, item.at, f"Field must be grouped or aggregated: {item}")
            yield Output((names[-1],), value)

    def _aggregate(self, item: Aggregate) -> Expression:
        if item.path is None:
            return _number("COUNT(*)", "int")
        _, value = self._resolve(item.path)
        if item.function in {"COUNT", "COUNT_DISTINCT"}:
            distinct = "DISTINCT " if item.function == "COUNT_DISTINCT" else ""
            return _number(f"COUNT({distinct}{comparable(value)})", "int")
        numeric = value.field.kind in {"int", "decimal", "double"}
        if item.function in {"SUM", "AVG"} and not numeric:
            raise self._invalid(item.at, f"field {item.path} does not support aggregate operator {item.function}")
        if item.function == "SUM" and value.field.kind == "int":
            return _number(f"SUM({value.sql})", "int")
        if numeric:
            return _number(f"{item.function}({comparable(value)})", "double")
        return replace(value, sql=f"{item.function}({value.sql})")

    def _where(self, select: Select) -> SQL:
        sql, parameters = ("", []) if select.where is None else self._condition(select.where)
        terms = [f"({sql})"] if sql else []
        if self._root.soft_deletes and not self._deleted:
            terms.append(f'{self._prefix}0."IsDeleted" = 0')
        return (f" WHERE {' AND '.join(terms)}" if terms else ""), parameters

    def _group(self, select: Select) -> str:
        if not select.group:
            return ""
        return f" GROUP BY {', '.join(comparable(self._resolve(path)[1]) for path in select.group)}"

    def _having(self, select: Select) -> SQL:
        if select.having is None:
            return "", []
        sql, parameters = self._condition(select.having)
        return f" HAVING {sql}", parameters

    def _order(self, order: Sequence[Order]) -> str:
        if not order:
            return ""
        terms = [
            f"{comparable(self._value(term.by))} {'DESC' if term.descending else 'ASC'} NULLS {'FIRST' if term.nulls_first else 'LAST'}"
            for term in order
        ]
        return f" ORDER BY {', '.join(terms)}"

    def _condition(self, condition: Condition) -> SQL:
        if isinstance(condition, Both):
            return self._joined(condition.terms, " AND ")
        if isinstance(condition, Either):
            return self._joined(condition.terms, " OR ")
        if isinstance(condition, Negation):
            sql, parameters = self._condition(condition.term)
            return f"NOT ifnull(({sql}), 0)", parameters
        if isinstance(condition, Membership):
            return self._membership(condition)
        return compare(self._value(condition.left), condition.operator, condition.right, _name(condition), self._today)

    def _joined(self, terms: Sequence[Condition], word: str) -> SQL:
        rendered = [self._condition(term) for term in terms]
        return word.join(f"({sql})" for sql, _ in rendered), [value for _, parameters in rendered for value in parameters]

    def _membership(self, condition: Membership) -> SQL:
        _, left = self._resolve(condition.left)
        sql = comparable(left)
        if isinstance(condition.members, Select):
            inner, parameters = self._semi_join(condition.members)
            return (f"{sql} NOT IN ({inner})" if condition.negated else f"{sql} IN ({inner})"), parameters
        terms: list[str] = []
        parameters = []
        plain: list[Value] = []
        for member in condition.members:
            covered = None if member is None else stands_for(left, member, str(condition.left), self._today)
            if covered is not None and covered.first == covered.last:
                plain.append(covered.first)
                continue
            term, values = compare(left, "=", member, str(condition.left), self._today)
            terms.append(term)
            parameters.extend(values)
        if plain:
            terms.append(f"{sql} IN ({', '.join('?' * len(plain))})")
            parameters.extend(plain)
        either = " OR ".join(terms)
        return (f"NOT ifnull(({either}), 0)" if condition.negated else f"({either})"), parameters

    def _semi_join(self, select: Select) -> SQL:
        found = self._objects.find(select.object_name)
        if found is None:
            raise _unknown_object(select, self._query)
        inner = _Compiler(self._query, self._objects, found, self._today, select.alias, deleted=self._deleted, prefix=f"{self._prefix}s")
        return inner.nested(select)

    def _value(self, item: Path | Aggregate) -> Expression:
        return self._aggregate(item) if isinstance(item, Aggregate) else self._resolve(item)[1]

    def _resolve(self, path: Path) -> tuple[tuple[str, ...], Expression]:
        """The names under which the field is shown, and its expression; parents are joined on the way."""
        parts = path.parts
        if len(parts) > 1 and parts[0].lower() in self._own_names and self._root.parent(parts[0]) is None:
            parts = parts[1:]
        if len(parts) > _DEEPEST_PARENT + 1:
            raise malformed(self._query, path.at, f"a relationship path may have {_DEEPEST_PARENT} levels")
        shown: tuple[str, ...] = ()
        for depth in range(1, len(parts)):
            shown = (*shown, self._join(parts[:depth], path))
        found, table = self._tables[tuple(part.lower() for part in parts[:-1])]
        column = found.column(parts[-1])
        if column is None:
            raise self._invalid(path.at, no_such_column(found, parts[-1]))
        return (*shown, column.name), of_column(column, table)

    def _join(self, parts: tuple[str, ...], path: Path) -> str:
        """Join the parent at the end of these parts, once; returns its proper name."""
        key = tuple(part.lower() for part in parts)
        child, table = self._tables[key[:-1]]
        column = child.parent(parts[-1])
        if column is None or column.source is None:
            raise self._invalid(path.at, f"Didn't understand relationship '{parts[-1]}' in field path.")
        if key not in self._tables:
            target = self._objects.get(column.field.reference.partition(".")[0])
            alias = f"{self._prefix}{len(self._tables)}"
            self._tables[key] = target, alias
            self._joins.append(f' LEFT JOIN {target.entity.table} AS {alias} ON {alias}."Id" = {table}."{column.source}"')
        return relationship(column)

    def _invalid(self, at: int, message: str) -> ApiError:
        return ApiError(400, "INVALID_FIELD", pointed(self._query, at, message))


def no_such_column(found: SObject, name: str) -> str:
    """Salesforce's words for a field that an object does not have."""
    return (
        f"No such column '{name}' on entity '{found.name}'. If you are attempting to use a custom field, be sure to append the '__c' "
        "after the custom field name. Please reference your WSDL or the describe call for the appropriate names."
    )


def _number(sql: str, kind: str) -> Expression:
    shown = Field("", "int" if kind == "int" else "double")
    return Expression(sql, shown, shown)


def _name(condition: Comparison) -> str:
    left = condition.left
    return str(left) if isinstance(left, Path) else f"{left.function}({left.path or ''})"


def _unknown_object(select: Select, query: str) -> ApiError:
    message = (
        f"sObject type '{select.object_name}' is not supported. If you are attempting to use a custom object, be sure to append the '__c' "
        "after the entity name. Please reference your WSDL or the describe call for the appropriate names."
    )
    return ApiError(400, "INVALID_TYPE", pointed(query, select.object_at, message))
