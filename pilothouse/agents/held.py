"""A small table in memory, with the row of a key found by a dictionary: to plan a query takes DuckDB ten times as long."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa


class Held:
    """The rows of a table by what one of its columns of text says. It answers where one row has a value, or none; whoever asks for
    several, in an order, or by something else asks DuckDB."""

    def __init__(self, table: pa.Table) -> None:
        whole = table.combine_chunks()
        self._columns = {name: whole.column(name) for name in whole.column_names}
        self._places: dict[str, dict[str, int]] = {}  # of a column: where a value stands, -1 where in several rows

    def rows(self, where: Mapping[str, Any]) -> list[dict[str, Any]] | None:
        """The one row with this value, or none; None where it is not for this to say."""
        if len(where) != 1:
            return None
        ((name, value),) = where.items()
        if not isinstance(value, str) or not self._has_text(name):
            return None
        place = self._placed(name).get(value)
        if place is None:
            return []
        return None if place < 0 else [{column: values[place].as_py() for column, values in self._columns.items()}]

    def _has_text(self, name: str) -> bool:
        return name in self._columns and str(self._columns[name].type) in {"string", "large_string", "string_view"}

    def _placed(self, name: str) -> dict[str, int]:
        found = self._places.get(name)
        if found is None:
            found = {}
            for place, value in enumerate(self._columns[name].to_pylist()):
                found[value] = -1 if value in found else place
            self._places[name] = found
        return found
