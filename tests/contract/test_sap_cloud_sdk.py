"""SAP's own client library and SAP's published service clients, unchanged, against the sandbox.

The SDK brings its own idea of metadata, values, CSRF tokens, cookies, ETags and $batch; a server that only our connector
understands would fail here. The driver runs once; each test judges one of its steps.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pilothouse.sandbox.company import sap as entities
from tests.unit.sandbox.sap_scene import Scene, scene

FOLDER = Path(__file__).parent / "node"


@pytest.fixture(scope="module")
def sap(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    with scene(tmp_path_factory.mktemp("sap")) as running:
        yield running


@pytest.fixture(scope="module")
def seen(sap: Scene) -> dict[str, Any]:
    """What each step of the driver saw."""
    if not (FOLDER / "node_modules" / "@sap-cloud-sdk" / "odata-v2").is_dir():
        pytest.fail(f"the SAP Cloud SDK is not installed: run `npm ci` in {FOLDER} (`make install` does)")
    url = str(sap.client.base_url)
    environment = {**os.environ, "SAP_URL": url, "SAP_USER": sap.credentials.user, "SAP_PASSWORD": sap.credentials.password}
    driven = subprocess.run(["node", "drive.mjs"], cwd=FOLDER, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert driven.returncode == 0, driven.stderr
    # The SDK logs to the same stream; the answer is the last line.
    answer: dict[str, Any] = json.loads(driven.stdout.strip().splitlines()[-1])
    return answer


def test_the_sdk_reads_typed_values(seen: dict[str, Any]) -> None:
    first = {"order": "1", "amount": "10.5", "changed": "2026-01-01T00:01:00.000Z", "created": "2026-01-01T00:00:00.000Z"}
    assert seen["reads"][0] == first
    assert [row["order"] for row in seen["reads"]] == ["1", "10", "11"]


def test_the_sdk_filters_counts_and_expands(seen: dict[str, Any]) -> None:
    assert seen["filters"] == ["8"]
    assert seen["counts"] == 5
    assert seen["expands"] == ["P10", "P20"]


def test_the_sdk_creates_an_order_deep(seen: dict[str, Any], sap: Scene) -> None:
    created = seen["creates"]
    assert (created["reference"], created["items"]) == ("from the SDK", ["10"])
    assert sap.store.get(entities.SALES_ORDER, [created["order"]]) is not None


def test_the_sdk_updates_with_the_etag_it_read_and_notices_a_conflict(seen: dict[str, Any], sap: Scene) -> None:
    assert seen["updates"] == {"term": "SDK again", "conflict": 412}
    assert [change.key for change in sap.store.changes(entities.BUSINESS_PARTNER)] == [("102",), ("102",)]


def test_the_sdk_deletes(seen: dict[str, Any], sap: Scene) -> None:
    assert seen["deletes"] == 404
    assert sap.store.get(entities.SALES_ORDER, ["9"]) is None


def test_the_sdk_sends_batches_with_change_sets(seen: dict[str, Any]) -> None:
    assert seen["batches"] == {"read": "11", "changed": [204], "after": "07"}


def test_the_sdk_writes_v4_with_csrf_token_and_etag(seen: dict[str, Any]) -> None:
    assert seen["writes_v4"] == {"block": "04", "again": 412, "withoutToken": 403}
