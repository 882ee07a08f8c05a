"""Pauses, Retry-After, the circuit breaker and the request budget, with clocks of the test's own."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http.breaker import CircuitBreaker, breaker_of
from connectors.http.budget import RequestBudget
from connectors.http.retry import LONGEST_WISH, Retry, retry_after
from pilothouse.kernel.errors import SourceContractChanged, SourceUnavailable

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(st.integers(0, 10_000))
def test_retry_after_in_seconds(seconds: int) -> None:
    assert retry_after(f" {seconds} ", NOW) == seconds


@given(st.integers(0, 20 * 86_400).map(lambda seconds: NOW + timedelta(seconds=seconds)))
def test_retry_after_as_a_date(when: datetime) -> None:
    assert retry_after(format_datetime(when, usegmt=True), NOW) == (when - NOW).total_seconds()
    assert retry_after(format_datetime(when).removesuffix(" +0000"), NOW) == (when - NOW).total_seconds()


@given(st.text())
def test_retry_after_of_any_text_is_a_sane_number_or_nothing(text: str) -> None:
    seconds = retry_after(text, NOW)
    assert seconds is None or (0 <= seconds <= LONGEST_WISH and math.isfinite(seconds))


def test_a_date_that_has_passed_asks_for_no_wait() -> None:
    assert retry_after("Sun, 06 Nov 1994 08:49:37 GMT", NOW) == 0


@given(attempt=st.integers(1, 100), elapsed=st.floats(0, 400), draw=st.floats(0, 1, exclude_max=True))
def test_a_pause_stays_within_its_bounds(attempt: int, elapsed: float, draw: float) -> None:
    retry = Retry(attempts=50)
    pause = retry.pause(attempt, SourceUnavailable("x"), elapsed, lambda: draw)
    if attempt >= 50:
        assert pause is None
    elif pause is not None:
        assert 0 <= pause <= min(retry.longest_pause, retry.base * 2 ** (attempt - 1))
        assert elapsed + pause <= retry.deadline


def test_pauses_grow_and_are_spread_from_zero_on() -> None:
    retry = Retry(base=1, longest_pause=8, attempts=10)
    error = SourceUnavailable("x")
    assert [retry.pause(n, error, 0, lambda: 1.0) for n in range(1, 6)] == [1, 2, 4, 8, 8]
    assert retry.pause(5, error, 0, lambda: 0.0) == 0


@given(wish=st.floats(0, 500), draw=st.floats(0, 1, exclude_max=True))
def test_a_sources_wish_is_never_undercut(wish: float, draw: float) -> None:
    pause = Retry().pause(1, SourceUnavailable("x", retry_after=wish), 0, lambda: draw)
    assert pause is None or pause >= wish


def test_a_permanent_error_is_never_repeated() -> None:
    assert Retry().pause(1, SourceContractChanged("x"), 0) is None


def test_a_breaker_opens_after_failures_in_a_row_only() -> None:
    breaker = CircuitBreaker("s4", failures=3)
    for _ in range(10):
        breaker.failed()
        breaker.failed()
        breaker.succeeded()
    breaker.before()
    for _ in range(3):
        breaker.failed()
    with pytest.raises(SourceUnavailable, match="last 3 requests failed"):
        breaker.before()


def test_an_open_breaker_lets_one_probe_pass_and_believes_it() -> None:
    clock = Clock()
    breaker = CircuitBreaker("s4", failures=1, rest=10, clock=clock)
    breaker.failed()
    clock.now += 9
    with pytest.raises(SourceUnavailable) as caught:
        breaker.before()
    assert caught.value.retry_after == pytest.approx(1)
    clock.now += 1
    breaker.before()
    with pytest.raises(SourceUnavailable):
        breaker.before()
    breaker.succeeded()
    breaker.before()
    assert not breaker.open


def test_a_failed_probe_doubles_the_rest_up_to_a_bound() -> None:
    clock = Clock()
    breaker = CircuitBreaker("s4", failures=1, rest=10, longest_rest=35, clock=clock)
    breaker.failed()
    for rest in (10, 20, 35, 35):
        clock.now += rest - 0.5
        with pytest.raises(SourceUnavailable):
            breaker.before()
        clock.now += 0.5
        breaker.before()
        breaker.failed()


def test_a_probe_that_never_reports_does_not_block_for_ever() -> None:
    clock = Clock()
    breaker = CircuitBreaker("s4", failures=1, rest=10, clock=clock)
    breaker.failed()
    clock.now += 10
    breaker.before()
    clock.now += 10
    breaker.before()


def test_clients_of_one_source_share_a_breaker() -> None:
    assert breaker_of("shared", "http://a:1") is breaker_of("shared", "http://a:1")
    assert breaker_of("shared", "http://a:1") is not breaker_of("shared", "http://a:2")


@given(gaps=st.lists(st.floats(0, 30), max_size=60), most=st.integers(1, 8))
def test_no_window_ever_holds_more_than_the_budget(gaps: list[float], most: int) -> None:
    clock = Clock()
    budget = RequestBudget("s4", most=most, window=10, patience=1e9, clock=clock)
    sent = []
    for gap in gaps:
        clock.now += gap
        sent.append(clock.now + budget.take())
    assert sent == sorted(sent)
    for index in range(len(sent) - most):
        assert sent[index + most] - sent[index] >= 10 - 1e-9


def test_a_long_wait_for_the_window_is_refused_with_the_setting_and_the_time() -> None:
    clock = Clock()
    budget = RequestBudget("s4", most=1, window=3600, patience=60, setting="PILOTHOUSE_SOURCES__S4__REQUESTS_PER_MINUTE", clock=clock)
    assert budget.take() == 0
    with pytest.raises(SourceUnavailable) as caught:
        budget.take()
    assert caught.value.retry_after == 3600
    assert "PILOTHOUSE_SOURCES__S4__REQUESTS_PER_MINUTE" in caught.value.hint
    clock.now += 3600
    assert budget.take() == 0


def test_a_sync_has_its_own_budget_and_the_next_one_starts_afresh() -> None:
    budget = RequestBudget("s4", per_sync=2)
    budget.take()
    budget.take()
    with pytest.raises(SourceUnavailable, match="budget of 2 requests"):
        budget.take()
    budget.renew()
    assert budget.take() == 0
    assert budget.spent == 1


def test_requests_keep_their_distance() -> None:
    clock = Clock()
    budget = RequestBudget("s4", apart=0.5, clock=clock)
    assert [budget.take() for _ in range(3)] == [0, 0.5, 1.0]


def test_a_wish_for_ever_is_bounded() -> None:
    assert retry_after("9" * 400, NOW) == LONGEST_WISH
    assert retry_after(format_datetime(NOW + timedelta(days=9999), usegmt=True), NOW) == LONGEST_WISH
