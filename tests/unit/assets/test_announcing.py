"""Changes become events exactly once, whatever dies between the commit and the announcement."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pyarrow as pa
import pytest

from assets.announcing import announce
from assets.loading import Loader
from assets.platform import Platform
from connectors.connector import Connector
from pilothouse.kernel.database import Database
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.errors import CommitConflict
from pilothouse.kernel.events import EventLog
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.streams import Batch, Stream, Watermark

ORDERS = Stream(name="order", key=("id",), announces={"insert": "order.created", "upsert": "order.changed", "delete": "order.deleted"})
SCHEMA = pa.schema([("id", pa.int64()), ("status", pa.string())])


class Shop(Connector):
    """A source held in a dictionary."""

    name = "shop"

    def __init__(self, orders: dict[int, str]) -> None:
        self.orders = orders

    def check(self) -> None: ...

    def streams(self) -> Sequence[Stream]:
        return [ORDERS]

    def schema(self, stream: Stream) -> pa.Schema:
        return SCHEMA

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        rows = [{"id": key, "status": status} for key, status in self.orders.items()]
        yield Batch(rows=pa.Table.from_pylist(rows, schema=SCHEMA), watermark=None, synthetic=True)


@pytest.fixture
def platform(tmp_path: Path, database: Database) -> Platform:
    lake = Lake(str(tmp_path / "lake"))
    return cast("Platform", SimpleNamespace(lake=lake, database=database, events=EventLog(database)))


def sync(platform: Platform, shop: Shop, stream: Stream = ORDERS) -> None:
    Loader(platform.lake, shop, stream).run()


def told(platform: Platform) -> list[tuple[str, str]]:
    return [(event.topic, event.key) for event in platform.events.read()]


def test_history_is_no_news_and_later_changes_are_told_by_what_they_are(platform: Platform) -> None:
    shop = Shop({1: "open", 2: "open"})
    sync(platform, shop)
    assert announce(platform, "shop", ORDERS) == 0
    shop.orders = {1: "paid", 3: "open"}
    sync(platform, shop)
    assert announce(platform, "shop", ORDERS) == 3
    assert sorted(told(platform)) == [("order.changed", "1"), ("order.created", "3"), ("order.deleted", "2")]


def test_an_event_points_to_the_row_and_the_version_it_came_with(platform: Platform) -> None:
    shop = Shop({1: "open"})
    sync(platform, shop)
    shop.orders[2] = "open"
    sync(platform, shop)
    announce(platform, "shop", ORDERS)
    (event,) = platform.events.read()
    row = platform.lake.raw("shop", "order").scan(int(event.payload["version"])).collect().filter(id=2)
    assert row["_row_id"][0].hex() == event.payload["row_id"]


def test_announcing_again_tells_nothing_twice(platform: Platform) -> None:
    shop = Shop({1: "open"})
    sync(platform, shop)
    shop.orders[2] = "open"
    sync(platform, shop)
    assert [announce(platform, "shop", ORDERS) for _ in range(3)] == [1, 0, 0]


def test_commits_of_syncs_that_died_before_telling_are_told_later(platform: Platform) -> None:
    shop = Shop({1: "open"})
    sync(platform, shop)
    for identity in (2, 3, 4):
        shop.orders[identity] = "open"
        sync(platform, shop)  # and nobody announces
    announce(platform, "shop", ORDERS)
    assert told(platform) == [("order.created", "2"), ("order.created", "3"), ("order.created", "4")]


def test_an_announcement_that_fails_in_the_middle_leaves_no_event_and_no_mark(platform: Platform, monkeypatch: pytest.MonkeyPatch) -> None:
    shop = Shop({1: "open"})
    sync(platform, shop)
    shop.orders[2] = "open"
    sync(platform, shop)
    append_in = platform.events.append_in

    def broken(connection, events):  # type: ignore[no-untyped-def]
        append_in(connection, events)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(platform.events, "append_in", broken)
        with pytest.raises(KeyboardInterrupt):
            announce(platform, "shop", ORDERS)
    assert told(platform) == []
    assert announce(platform, "shop", ORDERS) == 1


def test_a_row_that_comes_back_after_its_deletion_is_created_again(platform: Platform) -> None:
    shop = Shop({1: "open", 2: "open"})
    sync(platform, shop)
    del shop.orders[2]
    sync(platform, shop)
    shop.orders[2] = "open"
    sync(platform, shop)
    announce(platform, "shop", ORDERS)
    assert told(platform) == [("order.deleted", "2"), ("order.created", "2")]


def test_two_syncs_of_one_stream_at_once_are_refused_not_queued(database: Database) -> None:
    def hold(name: str) -> None:
        with exclusively(database, name, what="a sync of shop/order"):
            pass

    with exclusively(database, "sync shop/order", what="a sync of shop/order"):
        with pytest.raises(CommitConflict, match="a sync of shop/order is already running"):
            hold("sync shop/order")
        hold("sync shop/other")
    hold("sync shop/order")
