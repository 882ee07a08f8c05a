"""Walking pages, and fetching them ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.http.exchange import Page, Request, Response, walk
from connectors.http.prefetch import prefetch
from pilothouse.kernel.errors import SourceContractChanged, SourceUnavailable


class ByLink:
    def next(self, request: Request, page: Page) -> Request | None:
        return None if page.next_link is None else Request(url=page.next_link)


def pages(links: dict[str, str | None], counts: dict[str, int] | None = None) -> Iterator[Page]:
    def fetch(request: Request) -> Page:
        response = Response(status=200, headers={}, body=b"", url=request.url)
        return Page(response=response, count=(counts or {}).get(request.url, 1), next_link=links[request.url])

    return walk(Request(url="0"), ByLink(), fetch, source="s4", most_empty=3)


@given(st.integers(1, 50))
def test_a_chain_is_walked_to_its_end_in_order(length: int) -> None:
    links = {str(n): str(n + 1) if n + 1 < length else None for n in range(length)}
    assert [page.response.url for page in pages(links)] == [str(n) for n in range(length)]


@given(length=st.integers(1, 30), back=st.integers(0, 29))
def test_a_circle_of_any_length_is_noticed_before_a_page_is_read_twice(length: int, back: int) -> None:
    links: dict[str, str | None] = {str(n): str(n + 1) for n in range(length)}
    links[str(length - 1)] = str(back % length)
    read: list[str] = []
    with pytest.raises(SourceContractChanged, match="circle"):
        read.extend(page.response.url for page in pages(links))
    assert len(set(read)) == len(read)


def test_empty_pages_with_a_next_link_are_passed_but_not_without_end() -> None:
    links: dict[str, str | None] = {str(n): str(n + 1) for n in range(10)} | {"10": None}
    lawful = pages(links, {str(n): 0 if n % 3 else 1 for n in range(11)})
    assert len(list(lawful)) == 11
    with pytest.raises(SourceContractChanged, match="3 empty pages in a row"):
        list(pages(links, dict.fromkeys(links, 0)))


def test_an_empty_last_page_after_empty_pages_is_the_end() -> None:
    links: dict[str, str | None] = {"0": "1", "1": "2", "2": None}
    assert len(list(pages(links, {"0": 0, "1": 0, "2": 0}))) == 3


@given(items=st.lists(st.integers(), max_size=30), depth=st.integers(0, 5))
def test_prefetching_changes_neither_pages_nor_order(items: list[int], depth: int) -> None:
    assert list(prefetch(iter(items), depth)) == items


@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_error_surfaces_after_the_pages_before_it(depth: int) -> None:
    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise SourceUnavailable("gone")

    read: list[int] = []
    with pytest.raises(SourceUnavailable, match="gone"):
        read.extend(prefetch(source(), depth))
    assert read == [1, 2]


def test_no_more_is_fetched_ahead_than_asked_for() -> None:
    fetched = 0

    def source() -> Iterator[int]:
        nonlocal fetched
        for n in range(100):
            fetched += 1
            yield n

    ahead = prefetch(source(), 2)
    next(ahead)
    wait_until(lambda: fetched == 4)  # one read, two in the queue, one in the thread's hand
    time.sleep(0.05)  # would be long enough for the other 96
    assert fetched == 4
    ahead.close()


def test_pages_are_fetched_while_the_last_is_parsed() -> None:
    both = threading.Barrier(2, timeout=5)

    def source() -> Iterator[int]:
        yield 1
        both.wait()  # passes only if the reader is busy with page 1 at the same time
        yield 2

    ahead = prefetch(source(), 1)
    assert next(ahead) == 1
    both.wait()
    assert list(ahead) == [2]


def test_a_reader_that_stops_ends_the_thread_and_closes_the_source() -> None:
    closed = threading.Event()

    def source() -> Iterator[int]:
        try:
            yield from range(1_000_000)
        finally:
            closed.set()

    before = threading.active_count()
    for page in prefetch(source(), 2):
        if page == 5:
            break
    assert closed.wait(5)
    wait_until(lambda: threading.active_count() == before)


def wait_until(condition: object) -> None:
    assert callable(condition)
    give_up = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < give_up, "it did not happen within five seconds"
        time.sleep(0.005)
