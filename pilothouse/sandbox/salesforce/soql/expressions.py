"""A value of a result as SQL that writes it: as JSON, as CSV, or in a form that compares as Salesforce compares.

SQLite renders whole rows to text, in C and outside of Python's lock: about 100,000 rows of 25 fields a second as JSON and
200,000 as CSV, as fast as Python reads the bare values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from pilothouse.sandbox.company.schema import Field, Kind
from pilothouse.sandbox.drift import Column

_ARGUMENTS: Final = 100  # SQLite was built to take 127 in one call


@dataclass(frozen=True)
class Expression:
    """An SQL expression and what it holds: `field` as it is shown, `stored` as it is stored where that differs."""

    sql: str
    field: Field
    stored: Field
    constant: str | None = None  # JSON text that replaces the value

    @property
    def identifies(self) -> bool:
        """Whether it is the Id of a record, which compares with regard to capitals."""
        return self.field.name == "Id" or bool(self.field.reference)


def of_column(column: Column, table: str) -> Expression:
    """A column of one of the query's tables."""
    sql = "NULL" if column.source is None else f'{table}."{column.source}"'
    return Expression(sql, column.field, column.stored or column.field, column.constant)


def as_json(value: Expression) -> str:
    """SQL that writes it as JSON."""
    if value.constant is not None:
        return quoted(value.constant)
    sql, shown, stored = value.sql, value.field.kind, value.stored.kind
    if shown in {"int", "double", "decimal"}:
        return _json_number(sql, shown, stored)
    if shown == "bool":
        return f"CASE WHEN {sql} THEN 'true' ELSE 'false' END"
    if shown == "string":
        return f"json_quote({sql if stored == 'string' else f'CAST({sql} AS TEXT)'})"
    moment = f"substr({sql}, 1, 10)" if shown == "date" else _moment(sql, stored, "+0000")
    return f"""ifnull('"' || {moment} || '"', 'null')"""


def _json_number(sql: str, shown: Kind, stored: Kind) -> str:
    if shown == stored == "decimal":
        return f"ifnull({sql}, 'null')"
    if shown == stored:
        return f"json_quote({sql})"
    # Retyped: text that is no number is served as it is. A client that trusts the schema has to notice.
    return f"CASE WHEN json_valid({sql}) AND json_type({sql}) IN ('integer', 'real') THEN {sql} ELSE json_quote({sql}) END"


def as_csv(value: Expression) -> tuple[str, bool]:
    """SQL that writes it as it stands between CSV's quotes, and whether it may hold a quote itself."""
    if value.constant is not None:
        content = json.loads(value.constant)
        text = "" if content is None else json.dumps(content) if isinstance(content, bool) else str(content)
        return quoted(text), True
    sql, shown, stored = value.sql, value.field.kind, value.stored.kind
    if shown == "bool":
        return f"CASE WHEN {sql} THEN 'true' ELSE 'false' END", False
    if shown == "date":
        return f"substr({sql}, 1, 10)", stored == "string"
    if shown == "datetime":
        return _moment(sql, stored, "Z"), stored == "string"
    return sql, stored == "string" and not value.identifies


def comparable(value: Expression) -> str:
    """SQL that sorts and compares as Salesforce does: numbers as numbers, text without regard to capitals."""
    if value.constant is not None:
        return _comparable_constant(value.constant)
    kind = value.field.kind
    if kind in {"decimal", "double"}:
        return f"CAST({value.sql} AS REAL)"
    if kind == "string" and not value.identifies:
        return f"{value.sql} COLLATE NOCASE"
    if kind == "bool" and value.stored.nullable:
        return f"ifnull({value.sql}, 0)"  # Salesforce's checkboxes are never null
    return value.sql


def csv_row(values: Iterable[Expression], delimiter: str, line_end: str) -> str:
    """SQL that writes one whole line. Bulk API quotes every value; null is the empty string."""
    rendered = [as_csv(value) for value in values]
    chunks = [rendered[start : start + _ARGUMENTS] for start in range(0, len(rendered), _ARGUMENTS)]
    pieces: list[str] = []
    for chunk in chunks:
        # %w doubles the quotes inside, %s is twice as fast.
        pattern = delimiter.join('"%w"' if quotes else '"%s"' for _, quotes in chunk)
        arguments = ", ".join(f"ifnull({sql}, '')" if quotes else sql for sql, quotes in chunk)
        last = line_end if chunk is chunks[-1] else delimiter
        pieces.append(f"printf({quoted(pattern + last)}, {arguments})")
    return " || ".join(pieces)


def quoted(text: str) -> str:
    """An SQL string literal."""
    doubled = text.replace("'", "''")
    return f"'{doubled}'"


def _moment(sql: str, stored: str, zone: str) -> str:
    if stored == "datetime":
        return f"substr({sql}, 1, 23) || '{zone}'"
    return f"{sql} || 'T00:00:00.000{zone}'" if stored == "date" else sql


def _comparable_constant(constant: str) -> str:
    content = json.loads(constant)
    if content is None:
        return "NULL"
    if isinstance(content, str):
        return f"{quoted(content)} COLLATE NOCASE"
    return repr(int(content) if isinstance(content, bool) else content)
