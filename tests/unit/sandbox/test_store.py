"""The company's memory: logged writes, all or nothing, read while it is written."""

from __future__ import annotations

import sqlite3
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.sandbox.company.schema import Entity, Field
from pilothouse.sandbox.company.store import Store, Value, timestamp

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
SHIP = Entity(
    "sap",
    "Ship",
    ("Id", "Part"),
    (Field("Id", nullable=False), Field("Part", nullable=False), Field("Name"), Field("Born", "date"), Field("Moved", "datetime")),
    changed="Moved",
    created="Born",
    indexes=(("Moved",),),
)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store.sqlite", [SHIP])


def ship(name: str = "Dora", key: str = "1") -> dict[str, Value]:
    return {"Id": key, "Part": "a", "Name": name}


def test_a_new_row_gets_its_creation_and_change_time(store: Store) -> None:
    store.insert(SHIP, ship(), NOON)
    assert store.get(SHIP, ["1", "a"]) == {**ship(), "Born": "2026-11-21", "Moved": "2026-11-21T12:00:00.000000Z"}


def test_an_update_moves_the_change_time_and_returns_the_row_before(store: Store) -> None:
    store.insert(SHIP, ship(), NOON)
    before = store.update(SHIP, ["1", "a"], {"Name": "Emma"}, NOON + timedelta(hours=1))
    after = store.get(SHIP, ["1", "a"])
    assert before["Name"] == "Dora"
    assert after is not None
    assert (after["Name"], after["Moved"]) == ("Emma", "2026-11-21T13:00:00.000000Z")


def test_the_log_tells_each_write_in_order_with_the_row_it_replaced(store: Store) -> None:
    store.insert(SHIP, ship(), NOON)
    store.update(SHIP, ["1", "a"], {"Name": "Emma"}, NOON)
    store.delete(SHIP, ["1", "a"], NOON)
    told = [(change.operation, change.before["Name"] if change.before else None) for change in store.changes(SHIP)]
    assert told == [("insert", None), ("update", "Dora"), ("delete", "Emma")]


def test_changes_can_be_read_from_and_up_to_a_number(store: Store) -> None:
    for key in "12345":
        store.insert(SHIP, ship(key=key), NOON)
    assert [change.key[0] for change in store.changes(SHIP, after=1, until=3)] == ["2", "3"]


def test_a_row_that_is_not_there_cannot_be_changed_or_deleted(store: Store) -> None:
    with pytest.raises(KeyError):
        store.update(SHIP, ["9", "a"], {"Name": "x"}, NOON)
    with pytest.raises(KeyError):
        store.delete(SHIP, ["9", "a"], NOON)
    assert store.last_change() == 0


def test_a_key_is_given_once(store: Store) -> None:
    store.insert(SHIP, ship(), NOON)
    with pytest.raises(sqlite3.IntegrityError):
        store.insert(SHIP, ship(), NOON)
    assert store.last_change() == 1


def test_a_transaction_that_fails_leaves_neither_rows_nor_log_nor_facts(store: Store) -> None:
    class Stop(Exception):
        pass

    def write_and_fail() -> None:
        with store.writing():
            store.insert(SHIP, ship(), NOON)
            store.set_fact("step", "7")
            raise Stop

    with pytest.raises(Stop):
        write_and_fail()
    assert store.get(SHIP, ["1", "a"]) is None
    assert store.last_change() == 0
    assert store.fact("step") is None


def test_readers_see_the_last_whole_transaction_while_another_writes(store: Store) -> None:
    store.insert(SHIP, ship(), NOON)
    seen: list[int] = []
    with store.writing():
        store.insert(SHIP, ship(key="2"), NOON)
        reader = threading.Thread(target=lambda: seen.append(len(list(store.rows("SELECT * FROM sap_Ship")))))
        reader.start()
        reader.join()
    assert seen == [1]


def test_writers_in_threads_take_turns_and_lose_nothing(store: Store) -> None:
    def write(name: str) -> None:
        for number in range(50):
            store.insert(SHIP, ship(key=f"{name}{number}"), NOON)
        store.close()

    threads = [threading.Thread(target=write, args=[name]) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [change.seq for change in store.changes(SHIP)] == list(range(1, 201))


def test_history_is_loaded_without_a_log_and_is_indexed_afterwards(store: Store) -> None:
    with store.filling():
        store.load(SHIP, [ship(key=str(number)) for number in range(100)])
    assert store.last_change() == 0
    plan = " ".join(str(row[3]) for row in store.rows("EXPLAIN QUERY PLAN SELECT * FROM sap_Ship WHERE Moved > '2026' ORDER BY Moved"))
    assert "sap_Ship_by_Moved" in plan


def test_a_store_opened_again_goes_on_where_it_stood(store: Store) -> None:
    store.insert(SHIP, ship(), NOON)
    store.close()
    again = Store(store.path, [SHIP])
    again.insert(SHIP, ship(key="2"), NOON)
    assert again.last_change() == 2


def test_forgetting_drops_old_changes_but_keeps_counting(store: Store) -> None:
    for key, hours in (("1", 0), ("2", 1), ("3", 2)):
        store.insert(SHIP, ship(key=key), NOON + timedelta(hours=hours))
    assert store.forget(NOON + timedelta(hours=9)) == 3
    assert (list(store.changes(SHIP)), store.last_change(), store.forgotten()) == ([], 3, 3)
    store.insert(SHIP, ship(key="4"), NOON)
    assert store.last_change() == 4


def test_a_number_is_never_given_twice(store: Store) -> None:
    given_out = [store.next_number("order", first=10) for _ in range(3)]
    store.close()
    assert [*given_out, Store(store.path, [SHIP]).next_number("order")] == [10, 11, 12, 13]


@given(microseconds=st.lists(st.integers(0, 4 * 10**15), min_size=2))
def test_the_order_of_timestamps_as_text_is_their_order_in_time(microseconds: list[int]) -> None:
    moments = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=number) for number in microseconds]
    assert sorted(map(timestamp, moments)) == [timestamp(moment) for moment in sorted(moments)]


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(acts=st.lists(st.tuples(st.sampled_from(["insert", "update", "delete"]), st.sampled_from("abc")), max_size=25))
def test_replaying_the_log_rebuilds_the_keys(tmp_path: Path, acts: list[tuple[str, str]]) -> None:
    path = tmp_path / "replayed.sqlite"
    for file in tmp_path.glob("replayed*"):
        file.unlink()
    store, alive = Store(path, [SHIP]), set[str]()
    for act, key in acts:
        if act == "insert" and key not in alive:
            store.insert(SHIP, ship(key=key), NOON)
            alive.add(key)
        elif act == "update" and key in alive:
            store.update(SHIP, [key, "a"], {"Name": act}, NOON)
        elif act == "delete" and key in alive:
            store.delete(SHIP, [key, "a"], NOON)
            alive.remove(key)
    rebuilt = set[Value]()
    for change in store.changes(SHIP):
        rebuilt = rebuilt - {change.key[0]} if change.operation == "delete" else rebuilt | {change.key[0]}
    store.close()
    assert rebuilt == alive
