"""A table at one version, its log read once, and all that the log tells by itself.

Every opening reads the log anew, from a disk in two milliseconds, from an object store by several requests. Who asks more than one
thing opens the table once, and what is told is then of one version.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import pyarrow as pa
from deltalake import DeltaTable

from pilothouse.kernel.lake.digest import KEY as DIGEST
from pilothouse.kernel.lake.digest import Digest
from pilothouse.kernel.lake.duck import Scan
from pilothouse.kernel.lake.translation import translated
from pilothouse.kernel.versions import Pinned, note_read

OF_ROWS = frozenset({"WRITE", "MERGE", "DELETE", "UPDATE", "CREATE TABLE", "CREATE TABLE AS SELECT"})
_RECENT = 20  # commits in which the last one of rows is looked for


@dataclass(frozen=True)
class Opened:
    """What `Table.opened` found."""

    name: str
    uri: str
    delta: DeltaTable

    @property
    def pinned(self) -> Pinned:
        """It as an entry of a version vector."""
        return Pinned("table", self.name, str(self.delta.version()), str(self.delta.metadata().id))

    @property
    def schema(self) -> pa.Schema:
        """The Arrow schema, with the field metadata that sources gave."""
        return pa.schema(self.delta.schema().to_arrow())

    @property
    def rows(self) -> int:
        """How many rows it holds."""
        return int(self.delta.count())

    @cached_property
    def content(self) -> int:
        """The version since which it says what it says: upkeep commits too, and changes no row."""
        entries = self.history(_RECENT)
        return int(next((entry["version"] for entry in entries if entry.get("operation") in OF_ROWS), entries[-1]["version"]))

    @cached_property
    def seen_until(self) -> int | None:
        """When the last row of a raw table was seen, in microseconds, as the log tells of each file; None where it does not. Of files
        that Delta wrote together it tells the millisecond."""
        told, name = pa.table(self.delta.get_add_actions(flatten=True)), "max._seen_at"
        moments = told.column(name).cast(pa.int64()).to_pylist() if name in told.column_names else [None]
        return None if None in moments else max(moments, default=0)

    def history(self, limit: int | None = None) -> list[dict[str, Any]]:
        """Delta's own history, newest first."""
        with translated(self.uri):
            return self.delta.history(limit)

    def told_digest(self) -> Digest | None:
        """The digest that the newest commit of rows tells; upkeep may have committed since, and changes no content."""
        for entry in self.history(_RECENT):
            if DIGEST in entry:
                return Digest.from_metadata(entry, self.schema)
            if entry.get("operation") in OF_ROWS:
                return None
        return None

    def files(self) -> Scan:
        """Its files, recorded like any read: what DuckDB reads."""
        pinned = self.pinned
        note_read(pinned)
        return Scan(tuple(self.delta.file_uris()), self.schema, pinned)
