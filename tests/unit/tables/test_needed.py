"""What a value needs, settled: as the plain definition has it, and for a choice as wide as a table."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pilothouse.tables.why.needed import SEPARATOR, Needed, row_of

_atoms = st.sets(st.sampled_from([f"{row}{SEPARATOR}{column}" for row in "abcde" for column in ("", "x")]), max_size=3)
_flat = st.builds(Needed, _atoms)


def _choosing(alternatives: st.SearchStrategy[Needed], names: str) -> st.SearchStrategy[Needed]:
    choice = st.dictionaries(st.sampled_from("123"), alternatives, min_size=1, max_size=3)
    return st.builds(Needed, _atoms, st.dictionaries(st.sampled_from(names), choice, max_size=2))


# A choice has one meaning wherever its name occurs, so those inside of others have names of their own.
_nested = _choosing(st.one_of(_flat, _choosing(_flat, "p"), _choosing(_flat, "q")), "xyz")


def _by_definition(needed: Needed) -> set[str]:
    found, pending = set(needed.atoms), dict(needed.choices)
    known = set(pending)
    while pending:
        name = min(pending, key=lambda each: len(pending[each]))
        choice, rows = pending.pop(name), set(map(row_of, found))
        everything = {key: set(map(row_of, each.everything())) for key, each in choice.items()}
        kept = [
            each
            for key, each in choice.items()
            if not any(everything[other] < everything[key] for other, simple in choice.items() if not simple.choices)
        ]
        if not any(each.met(rows, known, name) for each in kept):
            found = found.union(*(each.atoms for each in kept))
            for inner in (each.choices for each in kept):
                pending |= {key: value for key, value in inner.items() if key not in known}
                known |= set(inner)
    return found


@given(_nested)
def test_settled_is_what_the_definition_says(needed: Needed) -> None:
    assert needed.settled() == _by_definition(needed)


def test_a_choice_may_have_as_many_alternatives_as_a_table_has_rows() -> None:
    """A country is there for any one of its firms, and a firm for any one of its records. Were each held against all others, this
    would take hours."""
    firms = {
        str(firm): Needed({f"f{firm}{SEPARATOR}"}, {f"records {firm}": {each: Needed({f"{each}{firm}{SEPARATOR}"}) for each in "abc"}})
        for firm in range(30_000)
    }
    settled = Needed(choices={"firms": firms}).settled()
    assert len(settled) == 4 * 30_000
