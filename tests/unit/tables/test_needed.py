"""What a value needs, settled: as the plain definition has it, and for choices as wide as a table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.tables.why.needed import SEPARATOR, WIDE, Needed, row_of

ROWS = 30_000

_atoms = st.sets(st.sampled_from([f"{row}{SEPARATOR}{column}" for row in "abcde" for column in ("", "x")]), max_size=3)


def _named(alternatives: Sequence[Needed]) -> dict[str, dict[str, Needed]]:
    """A choice by its name, which tells all that it offers: a choice has one meaning wherever it occurs."""
    named = {f"{sorted(each.atoms)} {sorted(each.choices)}": each for each in alternatives}
    return {" or ".join(sorted(named)): named}


def _choosing(alternatives: st.SearchStrategy[Needed]) -> st.SearchStrategy[Needed]:
    choice = st.lists(alternatives, min_size=1, max_size=3).map(_named)
    return st.builds(lambda atoms, one, other: Needed(atoms, one | other), _atoms, choice, st.one_of(st.just({}), choice))


_flat = st.builds(Needed, _atoms)
_nested = _choosing(st.one_of(_flat, _choosing(_flat), _choosing(_choosing(_flat))))


def _met(needed: Needed, rows: set[str], known: set[str]) -> bool:
    chosen = (name in known or any(_met(each, rows, known) for each in choice.values()) for name, choice in needed.choices.items())
    return set(map(row_of, needed.atoms)) <= rows and all(chosen)


def _needs(needed: Needed) -> set[str]:
    rows = set(map(row_of, needed.atoms))
    return rows | {name for name, choice in needed.choices.items() if not any(_met(each, rows, set()) for each in choice.values())}


def _least(choice: Mapping[str, Needed]) -> list[Needed]:
    """Every alternative against every other."""
    left = dict(choice)
    for name, each in choice.items():
        mine, others = _needs(each), [_needs(other) for other in left.values()]
        own = mine & each.choices.keys()
        ways = [[mine], *([(mine - {made}) | _needs(one) for one in each.choices[made].values()] for made in own)]
        if any(all(any(other <= there and other != mine for other in others) for there in way) for way in ways):
            del left[name]
    return [*left.values()]


def _by_definition(needed: Needed) -> set[str]:
    found, pending, known = set(needed.atoms), dict(needed.choices), set(needed.choices)
    while pending:
        name = min(pending, key=lambda each: len(pending[each]))
        choice, rows = pending.pop(name), set(map(row_of, found))
        least = _least(choice)
        if not any(_met(each, rows, known - {name}) for each in least):
            found = found.union(*(each.atoms for each in least))
            pending |= {key: inner for each in least for key, inner in each.choices.items() if key not in known}
            known |= set(pending)
    return found


@given(_nested)
def test_what_is_settled_is_all_that_it_takes(needed: Needed) -> None:
    assert _met(needed, set(map(row_of, needed.settled())), set())


@given(_nested)
def test_settled_is_what_the_definition_says(needed: Needed) -> None:
    assert needed.settled() == _by_definition(needed)


def test_an_alternative_that_needs_all_of_another_and_more_is_idle_whatever_may_be_chosen_in_both() -> None:
    either = _named([Needed({f"rating{SEPARATOR}"}), Needed({f"account{SEPARATOR}"})])
    paid, owed = Needed({f"payment{SEPARATOR}"}, either), Needed({f"payment{SEPARATOR}", f"invoice{SEPARATOR}"}, either)
    assert Needed(choices=_named([paid, owed])).settled() == {f"{row}{SEPARATOR}" for row in ("payment", "rating", "account")}


def test_an_alternative_is_idle_that_only_comes_with_one_of_the_others() -> None:
    """A day is there for either of two payments, and any invoice until then tells what is owed: the two that were paid do."""
    paid = _named([Needed({f"first{SEPARATOR}"}), Needed({f"second{SEPARATOR}"})])
    invoices = [Needed({f"{row}{SEPARATOR}"}, paid) for row in ("first", "another", "second")]
    assert Needed(choices=_named(invoices)).settled() == {f"first{SEPARATOR}", f"second{SEPARATOR}"}


def _firm(number: int) -> Needed:
    """There for any one of its records."""
    return Needed({f"firm {number}{SEPARATOR}"}, _named([Needed({f"record {number}{each}{SEPARATOR}"}) for each in "abc"]))


@pytest.mark.parametrize(
    ("alternatives", "settled"),
    [
        ([_firm(number) for number in range(ROWS)], 4 * ROWS),
        ([Needed({f"firm {number}{SEPARATOR}"}) for number in range(ROWS)], ROWS),
        ([Needed({f"one{SEPARATOR}", f"firm {number}{SEPARATOR}"}) for number in range(ROWS)], ROWS + 1),
        ([Needed({f"one{SEPARATOR}{number}"}) for number in range(ROWS)], ROWS),
    ],
    ids=["of a choice each", "of a row each", "with a row in common", "of one row"],
)
def test_a_choice_may_have_as_many_alternatives_as_a_table_has_rows(alternatives: list[Needed], settled: int) -> None:
    """A country is there for any one of its firms. Held each against all others, these would not end within a test's time."""
    assert len(Needed(choices={"firms": {str(number): each for number, each in enumerate(alternatives)}}).settled()) == settled


def test_of_a_choice_as_wide_as_a_table_the_first_are_left_unless_one_is_there_anyway() -> None:
    firms = {str(number): Needed({f"firm {number:05}{SEPARATOR}"}) for number in reversed(range(ROWS))}
    narrowed = Needed({f"other{SEPARATOR}"}, {"firms": firms}).narrowed()
    assert narrowed.everything() == {f"other{SEPARATOR}", *(f"firm {number:05}{SEPARATOR}" for number in range(20))}
    assert narrowed.left_out == {"firms": ROWS - 20}
    there = Needed({f"firm {ROWS - 1:05}{SEPARATOR}name"}, {"firms": firms}).narrowed()
    assert (there.everything(), there.left_out) == ({f"firm {ROWS - 1:05}{SEPARATOR}name"}, {})
    few = Needed(choices={"firms": {name: firms[name] for name in sorted(firms)[:WIDE]}})
    assert few.narrowed() is few
