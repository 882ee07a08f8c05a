"""What the company's systems declare: names that resolve, keys that exist, and Ids as Salesforce makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.sandbox.company.company import ENTITIES
from pilothouse.sandbox.company.masters import ean13
from pilothouse.sandbox.company.noise import DRAWS, as_typed, mistyped
from pilothouse.sandbox.company.salesforce import PREFIXES, record_id, with_checksum
from pilothouse.sandbox.company.schema import Entity


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.table)
def test_every_name_an_entity_uses_is_one_of_its_fields(entity: Entity) -> None:
    used = [*entity.key, *(name for index in entity.indexes for name in index), *filter(None, (entity.changed, entity.created))]
    used += [name for field in entity.fields for name in (field.unit, field.currency, field.text) if name]
    assert {name for name in used if name not in {field.name for field in entity.fields}} == set()
    assert all(not entity.field(name).nullable for name in entity.key)


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.table)
def test_every_reference_points_to_a_field_of_the_same_system(entity: Entity) -> None:
    peers = {peer.name: peer for peer in ENTITIES if peer.system == entity.system}
    for field in entity.fields:
        if field.reference:
            target, name = field.reference.split(".")
            assert name in {peer.name for peer in peers[target].fields}


@pytest.mark.parametrize("entity", ENTITIES, ids=lambda entity: entity.table)
def test_every_field_says_what_it_is_and_how_large_it_may_be(entity: Entity) -> None:
    for field in entity.fields:
        assert field.label, field.name
        assert (field.length is not None) == (field.kind == "string"), field.name
        assert (field.precision is not None and field.scale is not None) == (field.kind == "decimal"), field.name


@pytest.mark.parametrize(("fifteen", "eighteen"), [("001D000000IRFma", "001D000000IRFmaIAH"), ("500000000000000", "500000000000000AAA")])
def test_an_id_carries_the_checksum_of_its_capitals(fifteen: str, eighteen: str) -> None:
    assert with_checksum(fifteen) == eighteen


@given(first=st.integers(1, 62**6), second=st.integers(1, 62**6), name=st.sampled_from(sorted(PREFIXES)))
def test_ids_sort_by_number_and_never_repeat(first: int, second: int, name: str) -> None:
    one, other = record_id(name, first), record_id(name, second)
    assert len(one) == 18
    assert one.startswith(PREFIXES[name])
    assert (one < other) == (first < second)


@given(draws=st.lists(st.floats(0, 1, exclude_max=True), min_size=DRAWS, max_size=DRAWS))
def test_a_name_however_hurriedly_typed_stays_a_name(draws: list[float]) -> None:
    typed = as_typed("Müller Maschinenbau GmbH", "GmbH", "Köln", draws)
    assert typed
    assert typed == " ".join(typed.split())


@given(text=st.text(min_size=4, max_size=40), draw=st.floats(0, 1, exclude_max=True))
def test_a_typing_error_changes_the_length_by_one_letter_at_most(text: str, draw: float) -> None:
    assert abs(len(mistyped(text, draw)) - len(text)) <= 1


def test_article_numbers_have_the_check_digit_scanners_expect() -> None:
    for place in range(200):
        digits = [int(digit) for digit in ean13(place)]
        assert (sum(digits[0::2]) + 3 * sum(digits[1::2])) % 10 == 0
