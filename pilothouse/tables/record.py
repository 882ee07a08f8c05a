"""What a table was made of, kept beside it: the model's code and the version of every input.

The commit of a version tells it too, for ever. This note tells the newest build, which may have found nothing to publish: an
unchanged table gets no new version, and must still not be made again from the same inputs. Losing it costs one build.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass

import pyarrow.fs as pafs

from pilothouse.kernel.lake import Lake, Table
from pilothouse.kernel.lake.opened import Opened
from pilothouse.kernel.lake.translation import translated
from pilothouse.kernel.stores import filesystem

KEY = "model"  # of a commit's metadata
_NOTE = "_made.json"  # an underscore hides it from all who list a Delta table's files


@dataclass(frozen=True)
class Read:
    """One input: which table, at which version, and the version since which it says the same."""

    identity: str
    version: int
    content: int

    @classmethod
    def of(cls, table: Opened) -> Read:
        """A table as it was opened."""
        pinned = table.pinned
        return cls(pinned.identity, int(pinned.version), table.content)

    @property
    def said(self) -> tuple[str, int]:
        """What is the same as long as it says the same."""
        return self.identity, self.content


@dataclass(frozen=True)
class Record:
    """How a table was made."""

    code: str
    inputs: Mapping[str, Read]

    def as_metadata(self) -> dict[str, str]:
        """For the commit of a version."""
        return {KEY: json.dumps(asdict(self), sort_keys=True)}

    @classmethod
    def from_json(cls, text: str) -> Record:
        """The inverse."""
        plain = json.loads(text)
        return cls(plain["code"], {name: Read(**read) for name, read in plain["inputs"].items()})

    def same_as(self, other: Record) -> bool:
        """Whether both make the same rows: the same code over inputs that say the same."""
        return self.code == other.code and _said(self) == _said(other)

    def of_the_same_tables_as(self, other: Record) -> bool:
        """Whether no input was made anew under its name."""
        mine, theirs = ({name: read.identity for name, read in each.inputs.items()} for each in (self, other))
        return mine == theirs


def _said(record: Record) -> dict[str, tuple[str, int]]:
    return {name: read.said for name, read in record.inputs.items()}


def reading(table: Table) -> Read:
    """A table as an input, at its newest version."""
    return Read.of(table.opened())


class Notes:
    """The notes of a lake's tables."""

    def __init__(self, lake: Lake) -> None:
        self._lake = lake

    def text(self, table: Table) -> bytes:
        """A table's note as it stands there, by which to see whether it changed; nothing where there is none."""
        store, path = self._place(table)
        with translated(table.uri):
            if store.get_file_info(path).type == pafs.FileType.NotFound:
                return b""
            with store.open_input_stream(path) as stream:
                return bytes(stream.read())

    def read(self, table: Table, there: Opened | None = None) -> Record | None:
        """How the table that is there was made; None where nothing tells, or where somebody else has written it since."""
        text = self.text(table)
        if not text or (there is None and not table.exists()):
            return None
        plain = json.loads(text)
        return Record.from_json(plain["record"]) if plain["content"] == (there or table.opened()).content else None

    def told_of(self, table: Table, version: int) -> Iterator[Record]:
        """All that tells how a version was made: the note of a build that found the same content again, which is newer, and the
        commit of that content."""
        there = table.opened()
        note = self.read(table, there)
        if note is not None and version >= there.content:
            yield note
        entries = sorted(there.history(), key=lambda entry: -int(entry["version"]))
        told = next((entry[KEY] for entry in entries if entry["version"] <= version and KEY in entry), None)
        if told is not None:
            yield Record.from_json(told)

    def write(self, table: Table, record: Record, there: Opened | None = None) -> None:
        """Note it of the table as it was opened after it was made, or else of the newest version. A file that is moved into place is
        there as a whole or not at all, like an object of a store."""
        store, path = self._place(table)
        plain = {"record": json.dumps(asdict(record)), "content": (there or table.opened()).content}
        local = isinstance(store, pafs.LocalFileSystem)
        with translated(table.uri):
            with store.open_output_stream(f"{path}.new" if local else path) as stream:
                stream.write(json.dumps(plain).encode())
            if local:
                store.move(f"{path}.new", path)

    def _place(self, table: Table) -> tuple[pafs.FileSystem, str]:
        store, root = filesystem(self._lake.url, self._lake.options)
        return store, f"{root}/{table.name}/{_NOTE}"
