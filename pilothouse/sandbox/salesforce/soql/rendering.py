"""The SELECT list of a compiled query, written so that each result row is one finished text: a JSON record or a CSV line."""

from __future__ import annotations

import json

from pilothouse.sandbox.salesforce.soql.compiler import Compiled, Record
from pilothouse.sandbox.salesforce.soql.expressions import as_json, csv_row, quoted


def json_statement(query: Compiled, base: str) -> str:
    """SQL whose rows are JSON records. `base` is the path of the API version, for the records' own addresses."""
    if query.record is not None:
        return f"SELECT {_record(query.record, base)}{query.source}"
    pairs = [("attributes", quoted('{"type":"AggregateResult"}'))]
    pairs += [(output.names[-1], as_json(output.value)) for output in query.outputs]
    return f"SELECT {_object(pairs)}{query.source}"


def csv_statement(query: Compiled, delimiter: str, line_end: str) -> str:
    """SQL whose rows are CSV lines."""
    return f"SELECT {csv_row((output.value for output in query.outputs), delimiter, line_end)}{query.source}"


def csv_header(query: Compiled, delimiter: str, line_end: str) -> str:
    """The line that names the columns."""
    return delimiter.join(f'"{".".join(output.names)}"' for output in query.outputs) + line_end


def count_statement(query: Compiled) -> str:
    """SQL that counts the rows."""
    return f"SELECT COUNT(*) FROM (SELECT 1{query.source})"


def _record(record: Record, base: str) -> str:
    address = f'{{"type":"{record.object.name}","url":"{base}/sobjects/{record.object.name}/'
    pairs = [("attributes", f"""{quoted(address)} || {record.table}."Id" || '"}}'""")]
    for name, value in record.values.items():
        if isinstance(value, Record):
            pairs.append((name, f"""CASE WHEN {value.table}."Id" IS NULL THEN 'null' ELSE {_record(value, base)} END"""))
        else:
            pairs.append((name, as_json(value)))
    return _object(pairs)


def _object(pairs: list[tuple[str, str]]) -> str:
    pieces = [f"{quoted((',' if position else '{') + json.dumps(name) + ':')} || {sql}" for position, (name, sql) in enumerate(pairs)]
    return " || ".join([*pieces, "'}'"])
