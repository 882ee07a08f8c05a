"""What a value needs: rows that have to be there, and choices, of each of which one alternative has to be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

SEPARATOR: Final = "\x1f"  # of a row and its column in an atom


@dataclass
class Needed:
    """Atoms that are all needed, and choices by name with their alternatives by name."""

    atoms: set[str] = field(default_factory=set)
    choices: dict[str, dict[str, Needed]] = field(default_factory=dict)

    def merge(self, other: Needed) -> None:
        """Need what the other needs, too."""
        self.atoms |= other.atoms
        self.choices |= other.choices

    def everything(self) -> set[str]:
        """All atoms, whether needed or one choice of several."""
        return self.atoms.union(*(each.everything() for choice in self.choices.values() for each in choice.values()))

    def lifted(self, source: Callable[[str], Needed], name: str) -> Needed:
        """The same in terms of what each atom needs in turn. Choices are named apart from those of other tables."""
        found = Needed()
        for atom in self.atoms:
            found.merge(source(atom))
        for choice, alternatives in self.choices.items():
            found.choices[f"{name} {choice}"] = {key: each.lifted(source, name) for key, each in alternatives.items()}
        return found

    def settled(self) -> set[str]:
        """The atoms that matter: those of all alternatives of a choice do, unless the rows of one of them are there anyway."""
        found, pending = set(self.atoms), dict(self.choices)
        rows, known = set(map(row_of, found)), set(pending)
        while pending:
            name = min(pending, key=lambda each: len(pending[each]))  # what leaves the least choice goes first, and may settle others
            choice = _least(pending.pop(name))
            if not any(alternative.met(rows, known - {name}) for alternative in choice.values()):
                for alternative in choice.values():
                    found |= alternative.atoms
                    pending |= {each: inner for each, inner in alternative.choices.items() if each not in known}
                rows, known = set(map(row_of, found)), known | set(pending)
        return found

    def met(self, rows: set[str], known: set[str]) -> bool:
        """Whether these rows are all that it takes, with the choices that are made anyway."""
        chosen = (name in known or any(each.met(rows, known) for each in choice.values()) for name, choice in self.choices.items())
        return all(row_of(atom) in rows for atom in self.atoms) and all(chosen)


def _least(choice: dict[str, Needed]) -> dict[str, Needed]:
    """The alternatives, without those that need all that another one does, and more."""
    rows = {name: set(map(row_of, each.everything())) for name, each in choice.items()}
    simple = [rows[name] for name, each in choice.items() if not each.choices]
    return {name: each for name, each in choice.items() if not any(less < rows[name] for less in simple)}


def row_of(atom: str) -> str:
    """The row that an atom is of, whatever its column."""
    return atom.rpartition(SEPARATOR)[0]
