"""Schema drift: classified in words, and never let through silently."""

from __future__ import annotations

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilothouse.kernel.errors import SourceContractChanged
from quality.drift import DriftPolicy, classify, widens


def labelled(name: str, kind: pa.DataType, label: str) -> pa.Field:
    return pa.field(name, kind, metadata={b"label": label.encode()})


BASE = pa.schema([pa.field("id", pa.int64()), labelled("NetAmount", pa.decimal128(16, 3), "Net Value"), pa.field("note", pa.string())])


def kinds(before: pa.Schema, now: pa.Schema) -> list[tuple[str, str]]:
    return [(drift.kind, drift.column) for drift in classify(before, now)]


def test_equal_columns_in_another_order_are_no_drift() -> None:
    assert classify(BASE, pa.schema(list(BASE)[::-1])) == ()


def test_added_and_removed_columns_are_told_apart() -> None:
    assert kinds(BASE, BASE.append(pa.field("flag", pa.bool_()))) == [("added", "flag")]
    assert kinds(BASE, BASE.remove(2)) == [("removed", "note")]


def test_a_new_name_for_the_same_label_is_a_rename() -> None:
    now = BASE.set(1, labelled("TotalNet", pa.decimal128(16, 3), "Net Value"))
    assert kinds(BASE, now) == [("renamed", "NetAmount")]
    assert classify(BASE, now)[0].describe() == "column 'NetAmount' (decimal128(16, 3)) seems to be called 'TotalNet' now"


def test_a_similar_name_in_the_same_place_is_a_rename() -> None:
    assert kinds(BASE, BASE.set(2, pa.field("notes", pa.string()))) == [("renamed", "note")]


def test_another_type_or_another_label_is_no_rename() -> None:
    assert kinds(BASE, BASE.set(2, pa.field("notes", pa.int64()))) == [("removed", "note"), ("added", "notes")]
    other = BASE.set(1, labelled("NetAmounts", pa.decimal128(16, 3), "Tax"))
    assert kinds(BASE, other) == [("removed", "NetAmount"), ("added", "NetAmounts")]


def test_an_ambiguous_rename_is_a_loss() -> None:
    before = pa.schema([pa.field("a", pa.string())])
    now = pa.schema([pa.field("a1", pa.string()), pa.field("a2", pa.string())])
    assert {kind for kind, _ in kinds(before, now)} == {"removed", "added"}


@pytest.mark.parametrize(
    ("before", "now", "wider"),
    [
        (pa.int32(), pa.int64(), True),
        (pa.int64(), pa.int32(), False),
        (pa.uint32(), pa.int64(), True),
        (pa.uint64(), pa.int64(), False),
        (pa.int64(), pa.uint64(), False),
        (pa.int32(), pa.float64(), True),
        (pa.int64(), pa.float64(), False),
        (pa.int64(), pa.decimal128(38, 0), True),
        (pa.int64(), pa.decimal128(16, 3), False),
        (pa.float32(), pa.float64(), True),
        (pa.decimal128(16, 3), pa.decimal128(18, 4), True),
        (pa.decimal128(16, 3), pa.decimal128(16, 4), False),
        (pa.date32(), pa.timestamp("us"), True),
        (pa.timestamp("ms", "UTC"), pa.timestamp("us", "UTC"), True),
        (pa.timestamp("us", "UTC"), pa.timestamp("us"), False),
        (pa.string(), pa.large_string(), True),
        (pa.string(), pa.int64(), False),
        (pa.int64(), pa.string(), False),
        (pa.null(), pa.string(), True),
    ],
)
def test_a_type_is_wider_only_if_it_holds_every_value(before: pa.DataType, now: pa.DataType, wider: bool) -> None:
    assert widens(before, now) is wider
    assert kinds(pa.schema([("x", before)]), pa.schema([("x", now)])) == [("widened" if wider else "retyped", "x")]


def test_the_default_policy_accepts_what_is_harmless_and_holds_or_blocks_the_rest() -> None:
    policy = DriftPolicy()
    policy.require("raw/s4/x", classify(BASE, BASE.append(pa.field("flag", pa.bool_()))))
    policy.require("raw/s4/x", classify(pa.schema([("x", pa.int32())]), pa.schema([("x", pa.int64())])))
    with pytest.raises(SourceContractChanged, match=r"'note'.*is gone") as held:
        policy.require("raw/s4/x", classify(BASE, BASE.remove(2)))
    assert "pilothouse drift accept s4/x" in held.value.hint
    with pytest.raises(SourceContractChanged, match="changed its type from string to int64"):
        policy.require("raw/s4/x", classify(BASE, BASE.set(2, pa.field("note", pa.int64()))))


def test_an_accepted_loss_passes_but_a_blocked_one_cannot_be_accepted() -> None:
    gone = classify(BASE, BASE.remove(2))
    DriftPolicy().require("raw/s4/x", gone, accepted=frozenset({gone[0].describe()}))
    with pytest.raises(SourceContractChanged):
        DriftPolicy(removed="block").require("raw/s4/x", gone, accepted=frozenset({gone[0].describe()}))


NAMES = st.lists(st.sampled_from("abcdefgh"), unique=True, max_size=6)
TYPES = st.sampled_from([pa.int32(), pa.int64(), pa.string()])


@given(before=NAMES, now=NAMES, data=st.data())
def test_every_changed_column_is_named_exactly_once(before: list[str], now: list[str], data: st.DataObject) -> None:
    old = pa.schema([(name, data.draw(TYPES)) for name in before])
    new = pa.schema([(name, data.draw(TYPES)) for name in now])
    drifts = classify(old, new)
    lost = [drift.before.name for drift in drifts if drift.before is not None]
    come = [drift.now.name for drift in drifts if drift.now is not None and (drift.before is None or drift.kind == "renamed")]
    changed = [name for name in before if name in now and old.field(name).type != new.field(name).type]
    assert sorted(lost) == sorted([name for name in before if name not in now] + changed)
    assert sorted(come) == sorted(name for name in now if name not in before)
