"""What is told of a row: where it stands, what it says, and the rows that it is made of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Final

from pilothouse.tables.why.needed import Needed

RAW: Final = "raw/"  # what the names of raw tables begin with
Key = tuple[str, ...]  # a row's key, each part as text


@dataclass(frozen=True)
class Choice:
    """Alternatives of which any one would do, each by the places of its rows among the sources; and how many more there are."""

    alternatives: tuple[tuple[int, ...], ...]
    more: int = 0


@dataclass
class Row:
    """One row, with what it says and the rows that it is made of. Rows that several are made of are told once, and stand below each.
    Of the sources in a choice any one alternative would do."""

    table: str
    version: int
    key: dict[str, str]
    columns: list[str]  # the ones that matter to what is explained
    values: dict[str, Any] = field(default_factory=dict)
    sources: list[Row] = field(default_factory=list)
    choices: list[Choice] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For programs. A source that is one of several alternatives says of which choice, and which of its alternatives; of a choice
        too wide to be told whole it says how many more there are."""
        told = {"table": self.table, "version": self.version, "key": self.key, "values": self.values}
        sources = [source.as_json() for source in self.sources]
        for number, choice in enumerate(self.choices):
            for place, rows in enumerate(choice.alternatives):
                for each in rows:
                    sources[each] |= {"choice": number + 1, "alternative": place + 1, **({"more": choice.more} if choice.more else {})}
        return {**told, "sources": sources}

    def raw(self) -> dict[tuple[str, str], Row]:
        """The raw rows at the end of it all, by table and key."""
        found: dict[tuple[str, str], Row] = {}
        seen, pending = set(), [self]
        while pending:
            row = pending.pop()
            if row.table.startswith(RAW):
                found[row.table, row.key["_row_id"] + row.key["_seen_at"]] = row
            pending += [source for source in row.sources if id(source) not in seen]
            seen |= set(map(id, row.sources))
        return found


def alternatives(needed: Needed, place: Callable[[str], int | None]) -> list[Choice]:
    """The choices among a row's sources, by the places of these. A source that is needed anyway is no alternative, one of several
    choices is told with the first, and of a choice of which one alternative is left nothing has to be told."""
    taken: set[int | None] = {None, *(place(atom) for atom in needed.atoms)}
    found: list[Choice] = []
    for name, choice in needed.choices.items():
        places = [{place(atom) for atom in each.everything()} - taken for each in choice.values()]
        in_how_many = Counter(chain.from_iterable(places))
        told = {tuple(sorted(each for each in rows if each is not None and in_how_many[each] == 1)) for rows in places} - {()}
        if len(told) > 1:
            found.append(Choice(tuple(sorted(told)), needed.left_out.get(name, 0)))
            taken |= {each for rows in told for each in rows}
    return found
