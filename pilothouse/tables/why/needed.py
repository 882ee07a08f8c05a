"""What a value needs: rows that have to be there, and choices, of each of which one alternative has to be."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, field
from heapq import heappop, heappush, nsmallest
from itertools import chain
from typing import Final

SEPARATOR: Final = "\x1f"  # of a row and its column in an atom
THERE: Final = "\x1e"  # behind a column: whether it says anything, whatever it says
WIDE: Final = 200  # alternatives, as a firm has invoices; what has more is as wide as a table
_TOLD: Final = 20  # of so many: nobody reads the rest, and each has a tree of its own


@dataclass(eq=False)
class Needed:
    """Atoms that are all needed, and choices by name with their alternatives by name."""

    atoms: set[str] = field(default_factory=set)
    choices: dict[str, dict[str, Needed]] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)  # by a choice's name, how many more alternatives it has

    def merge(self, other: Needed) -> None:
        """Need what the other needs, too."""
        self.atoms |= other.atoms
        self.choices |= other.choices

    def everything(self) -> set[str]:
        """All atoms, whether needed or one choice of several."""
        found: set[str] = set()
        self.gather(found)
        return found

    def gather(self, found: set[str]) -> None:
        """Add them to what was found elsewhere."""
        found |= self.atoms
        for choice in self.choices.values():
            for each in choice.values():
                each.gather(found)

    def narrowed(self) -> Needed:
        """The same, with no choice as wide as a table: the first alternatives of each are left, by their rows' keys, and none where
        one is there anyway. A country is there for any of its firms; nobody asks for the tree of each."""
        if all(len(choice) <= WIDE for choice in self.choices.values()):
            return self
        found, rows = Needed(self.atoms), set(map(row_of, self.atoms))
        for name, choice in self.choices.items():
            if len(choice) <= WIDE:
                found.choices[name] = choice
            elif not (rows and any(each.met(rows, (), name) for each in choice.values())):
                first = nsmallest(_TOLD, choice, key=lambda each: (min(choice[each].atoms, default=""), each))
                found.choices[name] = {each: choice[each] for each in first}
                found.left_out[name] = len(choice) - _TOLD
        return found

    def lifted(self, source: Callable[[str], Needed], name: str) -> Needed:
        """The same, not to be changed, in terms of what each atom needs in turn. Choices are named apart from those of other tables."""
        needs = set(map(source, self.atoms))  # columns of one row often need the very same
        if len(needs) == 1 and not self.choices:
            return needs.pop()
        found = Needed()
        for each in needs:
            found.merge(each)
        for choice, alternatives in self.choices.items():
            found.choices[f"{name} {choice}"] = {key: each.lifted(source, name) for key, each in alternatives.items()}
        return found

    def settled(self) -> set[str]:
        """The atoms that matter: those of all alternatives of a choice do, unless the rows of one of them are there anyway."""
        found, rows = set(self.atoms), set(map(row_of, self.atoms))
        known: dict[str, dict[str, Needed]] = {}
        pending: list[tuple[int, int, str]] = []  # what leaves the least choice goes first, and may settle others

        def ask(choices: Mapping[str, dict[str, Needed]]) -> None:
            for name, choice in choices.items():
                if name not in known:
                    heappush(pending, (len(choice), len(known), name))
                    known[name] = choice

        ask(self.choices)
        while pending:
            name = heappop(pending)[-1]
            choice = _least(known[name])
            if any(alternative.met(rows, known, name) for alternative in choice.values()):
                continue
            for alternative in choice.values():
                found |= alternative.atoms
                rows.update(map(row_of, alternative.atoms))
            for alternative in choice.values():
                ask(alternative.choices)
        return found

    def needs(self) -> frozenset[str]:
        """The rows that have to be there, and the names of the choices that these do not make."""
        rows = frozenset(map(row_of, self.atoms))
        if not self.choices:
            return rows
        made = {name for name, choice in self.choices.items() if any(each.met(rows, (), name) for each in choice.values())}
        return rows | (self.choices.keys() - made)

    def met(self, rows: Container[str], known: Container[str], asked: str) -> bool:
        """Whether these rows are all that it takes, with the choices that are made anyway: all that are known but the asked one."""
        chosen = (
            (name in known and name != asked) or any(each.met(rows, known, asked) for each in choice.values())
            for name, choice in self.choices.items()
        )
        return all(row_of(atom) in rows for atom in self.atoms) and all(chosen)


def _least(choice: Mapping[str, Needed]) -> dict[str, Needed]:
    """The alternatives, without those that are met nowhere but where another one is: those that need all that it does, and more, and those
    of which this holds whichever way one of their own choices goes. A choice may have as many alternatives as a table has rows, so none
    is held against all others: only against those whose rarest need it has."""
    needs = {name: each.needs() for name, each in choice.items()}
    occurs = Counter(chain.from_iterable(needs.values()))

    def rarest(several: frozenset[str]) -> str | None:
        return min(several, key=occurs.__getitem__, default=None)

    by_rarest: dict[str | None, set[frozenset[str]]] = defaultdict(set)
    for each in needs.values():
        by_rarest[rarest(each)].add(each)

    def another(there: frozenset[str], mine: frozenset[str]) -> bool:
        return any(less <= there and less != mine for need in (None, *there) for less in by_rarest.get(need, ()))

    def idle(name: str) -> bool:
        mine = needs[name]
        if another(mine, mine):
            return True
        own = ((made, choice[name].choices[made]) for made in mine & choice[name].choices.keys())
        return any(all(another((mine - {made}) | each.needs(), mine) for each in ways.values()) for made, ways in own)

    left = dict(choice)
    for name in choice:
        if idle(name):
            del left[name]
            by_rarest[rarest(needs[name])].discard(needs[name])  # what is idle makes nothing else idle
    return left


def row_of(atom: str) -> str:
    """The row that an atom is of, whatever its column."""
    return atom.rpartition(SEPARATOR)[0]
