"""Delta links: what changed since, what is gone, and what happens to tokens that nobody can honour."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pilothouse.sandbox.company import sap as entities
from pilothouse.sandbox.sap import pages
from tests.unit.sandbox.sap_scene import JOURNAL_V2, ORDERS_V2, ORDERS_V4, Scene, filled, scene

TRACK = {"prefer": "odata.track-changes,odata.maxpagesize=10"}
ITEMS = f"{ORDERS_V4}/SalesOrderItem"
NOW = datetime(2026, 2, 1, tzinfo=UTC)


@pytest.fixture
def sap(tmp_path: Path) -> Iterator[Scene]:
    with scene(tmp_path) as running:
        yield running


def started(sap: Scene, **options: str) -> str:
    _, delta = sap.follow(sap.get(ITEMS, headers=TRACK, **options))
    assert delta is not None
    return delta


def resumed(sap: Scene, link: str, size: int = 1000) -> tuple[list[dict[str, Any]], list[str], str]:
    """Rows, removed item keys, next delta link."""
    rows, delta = sap.follow(sap.client.get(link, headers={"prefer": f"odata.maxpagesize={size}"}), size)
    assert delta is not None
    gone = [f"{row['SalesOrder']}/{row['SalesOrderItem']}" for row in rows if "@removed" in row]
    return [row for row in rows if "@removed" not in row], gone, delta


def test_only_a_client_that_asks_gets_a_v4_delta_link(sap: Scene) -> None:
    assert sap.follow(sap.get(ITEMS))[1] is None
    response = sap.get(ITEMS, headers=TRACK)
    assert "odata.track-changes" in response.headers["preference-applied"]
    assert sap.follow(response)[1] is not None
    assert sap.follow(sap.get(ITEMS, headers=TRACK, _top=5))[1] is None  # what is cut off cannot be tracked


def test_a_delta_brings_changes_once_and_tombstones(sap: Scene) -> None:
    link = started(sap)
    assert resumed(sap, link)[:2] == ([], [])
    sap.store.update(entities.SALES_ORDER_ITEM, ["3", "10"], {"Plant": "NEW1"}, NOW)
    sap.store.update(entities.SALES_ORDER_ITEM, ["3", "10"], {"Plant": "NEW2"}, NOW)
    sap.store.insert(entities.SALES_ORDER_ITEM, filled(entities.SALES_ORDER_ITEM, SalesOrder="3", SalesOrderItem="30"), NOW)
    sap.store.delete(entities.SALES_ORDER_ITEM, ["4", "20"], NOW)
    rows, gone, link = resumed(sap, link)
    assert [(row["SalesOrderItem"], row["Plant"]) for row in rows] == [("10", "NEW2"), ("30", "X")]
    assert gone == ["4/20"]
    assert resumed(sap, link)[:2] == ([], [])


def test_a_change_during_the_first_read_is_in_the_first_delta(sap: Scene) -> None:
    first = sap.get(ITEMS, headers=TRACK)
    sap.store.delete(entities.SALES_ORDER_ITEM, ["1", "10"], NOW)  # its row has been served
    _, link = sap.follow(first, 10)
    assert link is not None
    assert resumed(sap, link)[1] == ["1/10"]


def test_a_row_that_leaves_the_filter_is_told_as_removed(sap: Scene) -> None:
    link = started(sap, _filter="Plant eq 'X'", _select="SalesOrder,SalesOrderItem,Plant")
    sap.store.update(entities.SALES_ORDER_ITEM, ["3", "10"], {"Plant": "AWAY"}, NOW)
    sap.store.update(entities.SALES_ORDER_ITEM, ["3", "20"], {"StorageLocation": "B"}, NOW)
    rows, gone, _ = resumed(sap, link)
    assert gone == ["3/10"]
    assert [row["SalesOrderItem"] for row in rows] == ["20"]
    assert "StorageLocation" not in rows[0]


def test_v2_ends_each_full_read_of_a_tracked_set_with_a_delta_link(sap: Scene) -> None:
    journal = f"{JOURNAL_V2}/A_OperationalAcctgDocItemCube"
    rows, link = sap.follow(sap.get(journal, headers={"prefer": "odata.maxpagesize=3"}), 3)
    assert len(rows) == 7
    assert link is not None
    assert "!deltatoken='" in link
    sap.store.update(entities.OPERATIONAL_ACCTG_DOC_ITEM_CUBE, ["1010", "2026", "5", "1"], {"IsCleared": 1}, NOW)
    sap.store.delete(entities.OPERATIONAL_ACCTG_DOC_ITEM_CUBE, ["1010", "2026", "6", "1"], NOW)
    (row, gone), link = sap.follow(sap.client.get(link))
    assert row["IsCleared"] is True
    key = "CompanyCode='1010',FiscalYear='2026',AccountingDocument='6',AccountingDocumentItem='1'"
    assert gone["@odata.context"] == "$metadata#A_OperationalAcctgDocItemCube/$deletedEntity"
    assert gone["id"].endswith(f"{journal}({key})")
    assert sap.follow(sap.client.get(str(link)))[0] == []


def test_a_set_that_does_not_track_has_no_deltas(sap: Scene) -> None:
    assert "__delta" not in sap.get(f"{ORDERS_V2}/A_SalesOrder").json()["d"]
    assert sap.client.get(f"{ORDERS_V2}/A_SalesOrder?!deltatoken='abc'").status_code == 410


@pytest.mark.parametrize("token", ["", "rubbish", "W10", "WyJYIiwxLjAsMF0"])
def test_a_token_that_was_never_ours_is_gone(sap: Scene, token: str) -> None:
    response = sap.client.get(f"{ITEMS}?$deltatoken={token}")
    assert response.status_code == 410
    assert "read the entity set again" in response.json()["error"]["message"]


def test_a_token_expires(sap: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    link = started(sap)
    late = time.time() + pages.DELTA_VALIDITY + 1
    monkeypatch.setattr(time, "time", lambda: late)
    assert sap.client.get(link).status_code == 410


def test_a_token_is_gone_when_the_log_no_longer_reaches_back_to_it(sap: Scene) -> None:
    link = started(sap)
    sap.store.update(entities.SALES_ORDER_ITEM, ["3", "10"], {"Plant": "NEW1"}, NOW)
    sap.store.forget(datetime(2026, 3, 1, tzinfo=UTC))
    assert sap.client.get(link).status_code == 410
    assert sap.client.get(started(sap)).status_code == 200


def test_a_token_of_another_company_is_gone(sap: Scene, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    with scene(tmp_path / "other") as other:
        link = started(other)
    assert sap.client.get(f"{ITEMS}?{link.partition('?')[2]}").status_code == 410


def test_the_admin_can_expire_a_token(sap: Scene) -> None:
    link = started(sap)
    sap.switch_on(kind="expired_delta", count=1)
    assert sap.client.get(link).status_code == 410
    assert sap.client.get(link).status_code == 200


_acts = st.lists(st.tuples(st.sampled_from(["update", "delete", "insert", "sync"]), st.integers(1, 6)), max_size=25)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(_acts, st.integers(1, 4))
def test_a_copy_fed_by_deltas_equals_the_source(sap: Scene, acts: list[tuple[str, int]], size: int) -> None:
    entity = entities.SALES_ORDER_PARTNER
    rows, link = sap.follow(sap.get(f"{ORDERS_V4}/SalesOrderPartner", headers={"prefer": "odata.track-changes"}))
    copy = {row["SalesOrder"]: row["AddressID"] for row in rows}
    for number, (act, order) in enumerate([*acts, ("sync", 0)]):
        key = [str(order), "AG"]
        exists = sap.store.get(entity, key) is not None
        if act == "update" and exists:
            sap.store.update(entity, key, {"AddressID": str(number)}, NOW)
        elif act == "delete" and exists:
            sap.store.delete(entity, key, NOW)
        elif act == "insert" and not exists:
            sap.store.insert(entity, filled(entity, SalesOrder=str(order), PartnerFunction="AG"), NOW)
        elif act == "sync":
            changes, link = sap.follow(sap.client.get(str(link), headers={"prefer": f"odata.maxpagesize={size}"}), size)
            for row in changes:
                if "@removed" in row:
                    copy.pop(row["SalesOrder"], None)
                else:
                    copy[row["SalesOrder"]] = row["AddressID"]
    source = sap.store.rows(f'SELECT "SalesOrder", "AddressID" FROM {entity.table}')
    assert copy == {order: address for order, address in source}  # noqa: C416 - rows are tuples of any length to mypy
