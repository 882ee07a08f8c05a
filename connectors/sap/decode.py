"""JSON rows into Arrow with the types that $metadata declares.

A page goes through Arrow's JSON reader and its cast kernels as a whole. If anything in it does not fit, that page
alone is read again value by value: what fits is kept, what does not is null, and `_defect` says what was wrong and
what came. No row is dropped and no row stops the read.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.json as pj

from connectors.sap.edm import FLOATS, INTEGERS, Misfit
from connectors.sap.metadata import EntityShape, Property
from pilothouse.kernel.streams import DEFECT

BLOCK = 1 << 19  # bytes that one thread parses at a time
NEWLINE, MINUS, POINT, SMALL_E = b"\n-.e"
LONG_FRACTION = 23  # digits; more than any double is written with
SAMPLE = 20  # rows that tell whether a server writes its numbers as text
SHOWN = 200  # characters of a bad value in `_defect`
TEXTUAL_IN_V2 = frozenset({"Edm.Int64", "Edm.Single", "Edm.Double"})

REFUSALS = (pa.ArrowInvalid, pa.ArrowNotImplementedError, UnicodeDecodeError, msgspec.DecodeError, Misfit)

JsonRow = bytes | msgspec.Raw  # one JSON object; raw is a view of its page, which is not copied before all rows are joined

_fields = msgspec.json.Decoder(dict[str, msgspec.Raw])
_tiny = re.compile(rb"[:\"\s][-+]?[0-9.]+[eE]-(?:0{32}|0*(?:1[6-9]|[2-9][0-9]|[1-9][0-9]{2,})[\",}\s])")
_long = re.compile(rb"\.[0-9]{%d}" % LONG_FRACTION)
_any = msgspec.json.Decoder(Any, float_hook=Decimal)


class PageDecoder:
    """Turns the rows of one stream into record batches. Holds no state between pages."""

    def __init__(self, shape: EntityShape, version: int) -> None:
        self._properties = shape.properties
        self._codecs = [each.codec for each in shape.properties]
        self._structured = any(each.structured for each in shape.properties)
        self._decimal = any(each.edm == "Edm.Decimal" for each in shape.properties)
        self._numbers = [each for each in shape.properties if each.edm in INTEGERS or each.edm in FLOATS]
        self._textual = frozenset(each.name for each in self._numbers if version == 2 and each.edm in TEXTUAL_IN_V2)
        self.schema = shape.schema().append(pa.field(DEFECT, pa.string()))

    def decode(self, rows: Sequence[JsonRow]) -> pa.RecordBatch:
        """The rows of one page, in their order."""
        if not rows:
            return pa.RecordBatch.from_pylist([], schema=self.schema)
        if not self._structured:
            try:
                return self._in_bulk(rows)
            except REFUSALS:
                return self._one_by_one(rows)
        return self._one_by_one(rows)

    def _in_bulk(self, rows: Sequence[JsonRow]) -> pa.RecordBatch:
        lines = b"\n".join(rows)
        if not lines.isascii():
            lines.decode()  # Arrow does not check that text is UTF-8
        characters = np.frombuffer(lines, np.uint8)
        if self._decimal and _too_fine(lines, characters):
            raise Misfit("a number of too many decimal places")
        ends = np.flatnonzero(characters == NEWLINE)
        broken_up = len(ends) != len(rows) - 1  # a row goes over several lines
        longest = len(lines) if broken_up else int(np.diff(ends, prepend=-1, append=len(lines)).max())
        textual = self._written_as_text(rows)
        wire = [(each.name, codec.wire(each.name in textual)) for each, codec in zip(self._properties, self._codecs, strict=True)]
        table = pj.read_json(
            pa.BufferReader(lines),
            read_options=pj.ReadOptions(block_size=max(BLOCK, 2 * longest)),  # a row must fit into a block
            parse_options=pj.ParseOptions(
                explicit_schema=pa.schema(wire),
                unexpected_field_behavior="ignore",
                newlines_in_values=broken_up,
            ),
        )
        if table.num_rows != len(rows):
            raise pa.ArrowInvalid(f"{len(rows)} rows were read as {table.num_rows}")
        columns = [codec.bulk(table.column(name).combine_chunks()) for (name, _), codec in zip(wire, self._codecs, strict=True)]
        return pa.RecordBatch.from_arrays([*columns, pa.nulls(len(rows), pa.string())], schema=self.schema)

    def _written_as_text(self, rows: Sequence[JsonRow]) -> frozenset[str]:
        """The number fields that come as text. The standards say which, and not every server follows them."""
        if not self._numbers:
            return frozenset()
        sample = [_fields.decode(row) for row in rows[:SAMPLE]]
        textual = set(self._textual)
        for each in self._numbers:
            values = (bytes(row[each.name]) for row in sample if each.name in row)
            first = next((value for value in values if value != b"null"), None)
            if first is not None:
                (textual.add if first.startswith(b'"') else textual.discard)(each.name)
        return frozenset(textual)

    def _one_by_one(self, rows: Sequence[JsonRow]) -> pa.RecordBatch:
        columns: list[list[Any]] = [[] for _ in self._properties]
        defects: list[str | None] = []
        for row in rows:
            values, defect = self._row(row)
            for column, value in zip(columns, values, strict=True):
                column.append(value)
            defects.append(defect)
        arrays = [pa.array(column, codec.type) for column, codec in zip(columns, self._codecs, strict=True)]
        return pa.RecordBatch.from_arrays([*arrays, pa.array(defects, pa.string())], schema=self.schema)

    def _row(self, row: JsonRow) -> tuple[list[Any], str | None]:
        """The values of one row, and what is wrong with it."""
        try:
            fields = _fields.decode(row)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return [None] * len(self._properties), f"not a row ({error}): {_shown(bytes(row))}"
        values: list[Any] = []
        wrong: list[str] = []
        for each in self._properties:
            raw = fields.get(each.name)
            try:
                values.append(None if raw is None else self._value(bytes(raw), each))
            except Misfit as error:
                values.append(None)
                wrong.append(f"{each.name}: {error}: {_shown(bytes(raw or b''))}")
        return values, "; ".join(wrong) or None

    @staticmethod
    def _value(raw: bytes, prop: Property) -> Any:
        try:
            value: Any = _any.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError, ArithmeticError) as error:
            raise Misfit(f"unreadable ({error})") from error
        return None if value is None else prop.codec.value(value)


def _too_fine(lines: bytes, characters: npt.NDArray[np.uint8]) -> bool:
    """Whether a number may have so many decimal places that Arrow's reader goes astray: it looks the power of ten to divide by up
    in a table of 38, does not mind the table's end, and takes 1e-42 for zero. Fewer than 16 by exponent and 23 written out are safe.
    """
    minus = np.flatnonzero(characters == MINUS)
    powers = minus[characters[minus - 1] | 0x20 == SMALL_E]
    points = np.flatnonzero(characters[:-LONG_FRACTION] == POINT)
    fractions = points[characters[points + LONG_FRACTION] - ord("0") < 10]  # unsigned: what is below "0" wraps around
    return any(_tiny.search(lines, max(0, at - 64), at + 64) for at in powers.tolist()) or any(
        _long.match(lines, at) for at in fractions.tolist()
    )


def _shown(raw: bytes) -> str:
    text = bytes(raw[: SHOWN * 4]).decode("utf-8", errors="backslashreplace")
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
