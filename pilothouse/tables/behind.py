"""All that stands behind versions of tables: what they were made of, and that in turn, down to raw tables.

Whoever must be able to explain a row in years keeps these, not the table alone: a mart's row can be read without its inputs, but
nobody could say any more why it says what it says.
"""

from __future__ import annotations

from pilothouse.kernel.lake import Lake
from pilothouse.kernel.versions import Pinned, Versions
from pilothouse.tables.record import Notes


def behind(lake: Lake, versions: Versions) -> Versions:
    """These table versions and everything that they were made of, as far as notes and commits tell."""
    notes = Notes(lake)
    found: set[Pinned] = set()
    waiting = {entry for entry in versions.read if entry.kind == "table"}
    while waiting:
        pinned = waiting.pop()
        found.add(pinned)
        table = lake.table(pinned.name)
        if not table.exists():
            continue  # what is gone cannot be held
        for record in notes.told_of(table, int(pinned.version)):
            inputs = {Pinned("table", name, str(read.version), read.identity) for name, read in record.inputs.items()}
            waiting |= inputs - found
    return Versions(read=tuple(sorted(found)))
