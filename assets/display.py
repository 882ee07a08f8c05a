"""What an engineer sees of a table in Dagster's UI: columns, counts, sample rows, and the versions read and written."""

from __future__ import annotations

from typing import Any

import dagster as dg
import polars as pl
import pyarrow as pa

from connectors.semantics import CURRENCY, KEY, LABEL, REFERENCE, TEXT, UNIT
from pilothouse.kernel.lake import Table
from pilothouse.kernel.versions import Versions

SAMPLE_ROWS = 5
_SAMPLE_COLUMNS = 12
_WORDS = {UNIT: "unit", CURRENCY: "currency", TEXT: "text", REFERENCE: "refers to"}


def column_schema(schema: pa.Schema) -> dg.TableSchema:
    """The columns with what the source says about them."""
    return dg.TableSchema(columns=[_column(field) for field in schema])


def _column(field: pa.Field) -> dg.TableColumn:
    told = field.metadata or {}
    words = [told[LABEL].decode()] if LABEL in told else []
    words += [f"{word}: {told[key].decode()}" for key, word in _WORDS.items() if key in told]
    constraints = dg.TableColumnConstraints(nullable=field.nullable, unique=False, other=["key"] if told.get(KEY) == b"true" else [])
    return dg.TableColumn(field.name, str(field.type), description="; ".join(words) or None, constraints=constraints)


def sample(table: Table) -> str:
    """A few of the newest rows as Markdown: identity first, then as many columns as fit on a screen."""
    rows = table.scan()
    names = rows.collect_schema().names()
    shown = ["_change", "_changed_at", "_synthetic", *[name for name in names if not name.startswith("_")][: _SAMPLE_COLUMNS - 3]]
    frame = rows.select("_seen_at", *shown).top_k(SAMPLE_ROWS, by="_seen_at").select(shown).collect(engine="streaming")
    return markdown(frame)


def preview(table: Table) -> str:
    """A few rows as Markdown, with as many columns as fit on a screen."""
    rows = table.scan()
    return markdown(rows.select(rows.collect_schema().names()[:_SAMPLE_COLUMNS]).head(SAMPLE_ROWS).collect())


def markdown(frame: pl.DataFrame) -> str:
    """A frame as a Markdown table."""
    lines = ["| " + " | ".join(frame.columns) + " |", "|" + "---|" * frame.width]
    lines += ["| " + " | ".join(_cell(value) for value in row) + " |" for row in frame.iter_rows()]
    return "\n".join(lines)


def _cell(value: Any) -> str:
    text = "" if value is None else str(value)
    return (text if len(text) <= 60 else text[:57] + "...").replace("|", "\\|").replace("\n", " ")


def version_vector(versions: Versions) -> dg.TableMetadataValue:
    """The version vector as a table of Dagster's."""
    columns = [dg.TableColumn(name) for name in ("direction", "kind", "name", "version", "identity")]
    records = [
        dg.TableRecord(
            {"direction": direction, "kind": entry.kind, "name": entry.name, "version": entry.version, "identity": entry.identity}
        )
        for direction, entries in (("read", versions.read), ("written", versions.written))
        for entry in entries
    ]
    return dg.MetadataValue.table(records, schema=dg.TableSchema(columns=columns))
