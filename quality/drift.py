"""How a source's description of a stream differs from the one we read last, and what a policy lets pass.

A source changes without telling. Added columns are harmless; a column that vanishes, changes its name or its type can
silently turn a figure wrong, so nobody but a person accepts it. A rename is told from a loss only where it is plain: the two
columns are of one type, one label or one place, and no other pair fits as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final, Literal

import pyarrow as pa

from pilothouse.kernel.errors import SourceContractChanged

Kind = Literal["added", "removed", "renamed", "widened", "retyped"]
Answer = Literal["accept", "hold", "block"]
_LABEL: Final = b"label"  # the key under which connectors keep what a source calls a field
_SURE: Final = 0.5
_FLOAT_HOLDS: Final = {pa.float32(): 24, pa.float64(): 53}  # bits of a whole number that survive
_BITS: Final = {
    **{kind: (kind.bit_width, True) for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64())},
    **{kind: (kind.bit_width, False) for kind in (pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64())},
}
_UNITS: Final = ("s", "ms", "us", "ns")


@dataclass(frozen=True)
class Drift:
    """One difference. `before` and `now` are the field as it was and as it is; one of them is None where there is none."""

    kind: Kind
    before: pa.Field | None
    now: pa.Field | None

    @property
    def column(self) -> str:
        """The column as we knew it, or, of a new one, as it is called."""
        field = self.before if self.before is not None else self.now
        assert field is not None
        return str(field.name)

    def describe(self) -> str:
        """The difference in words."""
        before, now = self.before, self.now
        if before is None:
            return f"column {self.column!r} ({now and now.type}) is new"
        if now is None:
            return f"column {before.name!r} ({before.type}) is gone"
        if self.kind == "renamed":
            return f"column {before.name!r} ({before.type}) seems to be called {now.name!r} now"
        change = "widened" if self.kind == "widened" else "changed its type"
        return f"column {before.name!r} {change} from {before.type} to {now.type}"


@dataclass(frozen=True)
class DriftPolicy:
    """What happens to each kind of drift: `accept` reads on, `hold` waits until a person accepts it, `block` cannot be accepted."""

    added: Answer = "accept"
    removed: Answer = "hold"
    renamed: Answer = "hold"
    widened: Answer = "accept"
    retyped: Answer = "block"

    def answer(self, drift: Drift) -> Answer:
        """The policy's answer to one difference."""
        answer: Answer = getattr(self, drift.kind)
        return answer

    def refused(self, drifts: Sequence[Drift], accepted: frozenset[str] = frozenset()) -> tuple[Drift, ...]:
        """What may not pass, blocked ones first. `accepted` holds descriptions that a person has accepted."""
        blocked = [drift for drift in drifts if self.answer(drift) == "block"]
        return (*blocked, *(drift for drift in drifts if self.answer(drift) == "hold" and drift.describe() not in accepted))

    def require(self, table: str, drifts: Sequence[Drift], accepted: frozenset[str] = frozenset()) -> None:
        """Raise SourceContractChanged for what may not pass."""
        refused = self.refused(drifts, accepted)
        if not refused:
            return
        source = table.removeprefix("raw/")
        hint = (
            f"pin the old version in the source, or load {table} anew under another stream name"
            if self.answer(refused[0]) == "block"
            else f"if this is meant, accept it with `pilothouse drift accept {source}`"
        )
        raise SourceContractChanged(f"{table}: " + "; ".join(drift.describe() for drift in refused), hint=hint)


def classify(before: pa.Schema, now: pa.Schema) -> tuple[Drift, ...]:
    """Every difference between two schemas that concerns their columns; the order of columns is none."""
    old, new = _by_name(before), _by_name(now)
    gone = [field for name, field in old.items() if name not in new]
    came = [field for name, field in new.items() if name not in old]
    renamed = dict(_renamed(gone, came, before, now))
    found = [Drift("renamed", old[name], new[other]) for name, other in renamed.items()]
    found += [Drift("removed", field, None) for field in gone if field.name not in renamed]
    found += [Drift("added", None, field) for field in came if field.name not in renamed.values()]
    found += [
        Drift("widened" if widens(old[name].type, field.type) else "retyped", old[name], field)
        for name, field in new.items()
        if name in old and not old[name].type.equals(field.type)
    ]
    return tuple(found)


def widens(before: pa.DataType, now: pa.DataType) -> bool:
    """Whether every value of the old type is a value of the new one."""
    if before in _BITS:
        return _whole_number_fits(before, now)
    return bool(pa.types.is_null(before)) or any(fits(before, now) for fits in (_float_fits, _decimal_fits, _moment_fits, _text_fits))


def _float_fits(before: pa.DataType, now: pa.DataType) -> bool:
    return bool(pa.types.is_floating(before) and pa.types.is_floating(now) and now.bit_width >= before.bit_width)


def _decimal_fits(before: pa.DataType, now: pa.DataType) -> bool:
    if not (pa.types.is_decimal(before) and pa.types.is_decimal(now)):
        return False
    return bool(now.scale >= before.scale and now.precision - now.scale >= before.precision - before.scale)


def _moment_fits(before: pa.DataType, now: pa.DataType) -> bool:
    if pa.types.is_date(before):
        return pa.types.is_date(now) or (pa.types.is_timestamp(now) and now.tz is None)
    if pa.types.is_timestamp(before) and pa.types.is_timestamp(now):
        return bool(before.tz == now.tz and _UNITS.index(now.unit) >= _UNITS.index(before.unit))
    return False


def _text_fits(before: pa.DataType, now: pa.DataType) -> bool:
    return _is_text(before) and _is_text(now)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _whole_number_fits(before: pa.DataType, now: pa.DataType) -> bool:
    bits, signed = _BITS[before]
    if now in _BITS:
        wide, with_sign = _BITS[now]
        return wide >= bits if signed == with_sign else bool(with_sign and wide > bits)
    if now in _FLOAT_HOLDS:
        return bool(_FLOAT_HOLDS[now] >= bits - signed)
    if pa.types.is_decimal(now):
        return bool(now.precision - now.scale >= len(str(2 ** (bits - signed))))
    return False


def _by_name(schema: pa.Schema) -> dict[str, pa.Field]:
    return {field.name: field for field in schema}


def _renamed(gone: Sequence[pa.Field], came: Sequence[pa.Field], before: pa.Schema, now: pa.Schema) -> Iterator[tuple[str, str]]:
    """The pairs in which each is the other's one best match."""
    scores = {(old.name, new.name): _likeness(old, new, before, now) for old in gone for new in came}
    for (old, new), score in scores.items():
        rivals = [other for pair, other in scores.items() if pair != (old, new) and (pair[0] == old or pair[1] == new)]
        if score >= _SURE and all(score > rival for rival in rivals):
            yield old, new


def _likeness(old: pa.Field, new: pa.Field, before: pa.Schema, now: pa.Schema) -> float:
    """How likely two names stand for one column: the same label settles it; otherwise name and neighbours are weighed."""
    if not old.type.equals(new.type):
        return 0.0
    labels = (old.metadata or {}).get(_LABEL), (new.metadata or {}).get(_LABEL)
    if labels[0] and labels[0] == labels[1]:
        return 1.0
    if labels[0] and labels[1]:
        return 0.0
    names = SequenceMatcher(None, old.name.lower(), new.name.lower()).ratio()
    neighbours = _neighbours(old.name, before), _neighbours(new.name, now)
    beside = sum(a == b for a, b in zip(*neighbours, strict=True)) / 2
    return (names + beside) / 2


def _neighbours(name: str, schema: pa.Schema) -> tuple[str, str]:
    place = schema.get_field_index(name)
    return schema.field(place - 1).name if place else "", schema.field(place + 1).name if place + 1 < len(schema) else ""
