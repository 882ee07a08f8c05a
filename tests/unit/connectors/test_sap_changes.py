"""Where a read by change timestamp starts, and how far it has come."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.sap.changes import Position, Progress, clock_of, start_of_read
from connectors.sap.edm import UTC_MICROSECONDS
from pilothouse.kernel.streams import Watermark

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
LAG = timedelta(minutes=5)
MINUTES = st.integers(-10_000, 10_000).map(lambda n: NOON + timedelta(minutes=n))


def position(cursor: datetime, *, source: datetime | None = NOON, ours: datetime = NOON) -> Position:
    return Position(cursor=cursor, source_clock=source, our_clock=ours)


def column(*moments: datetime | None) -> pa.Array:
    return pa.array(moments, UTC_MICROSECONDS)


@given(MINUTES, st.none() | MINUTES, MINUTES)
def test_a_position_survives_being_json(cursor: datetime, source: datetime | None, ours: datetime) -> None:
    before = position(cursor, source=source, ours=ours)
    travelled = Watermark(json.loads(json.dumps(before.watermark().position)))
    assert Position.of(travelled) == before


def test_no_watermark_and_an_empty_one_mean_from_the_beginning() -> None:
    assert Position.of(None) is None
    assert Position.of(Watermark({})) is None


def test_a_read_starts_a_lag_before_the_last_change_seen() -> None:
    assert start_of_read(position(NOON), LAG, source_clock=NOON + LAG, our_clock=NOON + LAG) == NOON - LAG


def test_a_source_whose_clock_was_set_back_is_read_from_where_its_time_was_when_we_last_asked() -> None:
    last = position(NOON, source=NOON, ours=NOON)
    an_hour_back = NOON - timedelta(minutes=50)  # ten minutes have passed, and the clock was set back by one hour
    start = start_of_read(last, LAG, source_clock=an_hour_back, our_clock=NOON + timedelta(minutes=10))
    assert start == NOON - timedelta(hours=1) - LAG


@given(cursor=MINUTES, source=MINUTES, passed=st.integers(0, 5000), jump=st.integers(-5000, 5000), late=st.integers(0, 5))
def test_no_change_made_since_the_last_read_is_before_the_start(
    cursor: datetime, source: datetime, passed: int, jump: int, late: int
) -> None:
    """Whatever a clock does between two reads: what is stamped after its jump lies at or after the start."""
    last = position(min(cursor, source), source=source, ours=NOON)
    now = source + timedelta(minutes=passed + jump)
    start = start_of_read(last, LAG, source_clock=now, our_clock=NOON + timedelta(minutes=passed))
    stamped_at_worst = min(source, source + timedelta(minutes=jump)) - timedelta(minutes=late)
    assert start <= max(stamped_at_worst, last.cursor - LAG)


@given(st.lists(st.lists(st.none() | MINUTES, max_size=5), max_size=6), MINUTES)
def test_a_watermark_is_the_latest_change_and_never_goes_back(batches: list[list[datetime | None]], before: datetime) -> None:
    begun = position(before, source=None)
    progress = Progress(begun=begun, source_clock=None, our_clock=NOON)
    last = before
    for batch in batches:
        progress = progress.after(column(*batch))
        reached = progress.reached(by_day=False)
        assert reached is not None
        assert reached.cursor >= last
        last = reached.cursor
    assert last == max([before, *(moment for batch in batches for moment in batch if moment)])


def test_nothing_new_leaves_the_position_as_it_was() -> None:
    begun = position(NOON)
    progress = Progress(begun=begun, source_clock=NOON + LAG, our_clock=NOON + LAG)
    assert progress.reached(by_day=False) is begun
    assert progress.after(column(NOON - LAG, NOON)).reached(by_day=False) is begun


def test_a_date_in_the_future_does_not_carry_the_watermark_away() -> None:
    progress = Progress(begun=None, source_clock=NOON, our_clock=NOON).after(column(NOON - LAG, datetime(2099, 1, 1, tzinfo=UTC)))
    reached = progress.reached(by_day=False)
    assert reached is not None
    assert reached.cursor == NOON


def test_a_day_may_be_tomorrows_in_the_sources_time_zone() -> None:
    progress = Progress(begun=None, source_clock=NOON, our_clock=NOON)
    tomorrow = progress.after(pa.array([date(2026, 3, 2)])).reached(by_day=True)
    far = progress.after(pa.array([date(2026, 5, 2)])).reached(by_day=True)
    assert tomorrow is not None
    assert far is not None
    assert (tomorrow.cursor, far.cursor) == (datetime(2026, 3, 2, tzinfo=UTC), NOON + timedelta(days=1))


@pytest.mark.parametrize(
    ("batches", "in_order"),
    [
        ([[1, 2, 2], [2, 3]], True),
        ([[None, 1], [None, 2]], True),
        ([[2, 1]], False),
        ([[1, 3], [2]], False),
        ([[], [None], [1]], True),
    ],
)
def test_a_source_that_does_not_sort_is_noticed(batches: list[list[int | None]], in_order: bool) -> None:
    progress = Progress(begun=None, source_clock=None, our_clock=NOON)
    for batch in batches:
        progress = progress.after(column(*(None if n is None else NOON + timedelta(minutes=n) for n in batch)))
    assert progress.in_order is in_order


def test_a_clock_is_read_from_a_header_or_not_at_all() -> None:
    assert clock_of("Sun, 01 Mar 2026 12:00:00 GMT") == NOON
    assert clock_of("soon") is None
    assert clock_of(None) is None
