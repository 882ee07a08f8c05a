"""jsforce, unchanged, against the sandbox: logins, queries, writes, composite and bulk jobs, from Node over https."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pilothouse.sandbox.certificates import issue
from pilothouse.sandbox.company.salesforce import SALESFORCE, record_id
from pilothouse.sandbox.company.store import Store
from pilothouse.sandbox.faults import Faults
from pilothouse.sandbox.salesforce.app import salesforce_app
from tests.unit.sandbox.salesforce_org import ACME, ENTITIES, NOW, credentials, filled, serving, system

HERE = Path(__file__).parent / "node_jsforce"
PEOPLE = 2_500


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What jsforce saw in one visit."""
    node = shutil.which("node")
    assert node, "Node is not installed: the contract with jsforce cannot be checked"
    assert (HERE / "node_modules" / "jsforce").is_dir(), f"jsforce is not installed: run `npm ci` in {HERE} (`make install` does)"
    folder = tmp_path_factory.mktemp("jsforce")
    authority, certificate, key = issue(folder / "tls")
    store = Store(folder / "org.sqlite", SALESFORCE)
    filled(store)
    people = ({"Id": record_id("Contact", 100 + n), "LastName": f"Person {n}", "AccountId": ACME} for n in range(PEOPLE - 3))
    store.load(ENTITIES["Contact"], [system(NOW, **person) for person in people])
    store.set_fact(f"next {ENTITIES['Contact'].table}", str(100 + PEOPLE))
    app = salesforce_app(store, credentials(), Faults())
    with serving(app, ssl_certfile=str(certificate), ssl_keyfile=str(key)) as port:
        done = subprocess.run(
            [node, "drive.mjs", f"https://localhost:{port}"],
            cwd=HERE,
            input=json.dumps(asdict(credentials())),
            env={"PATH": os.environ["PATH"], "NODE_EXTRA_CA_CERTS": str(authority)},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    store.close()
    assert done.returncode == 0, done.stderr
    content: dict[str, Any] = json.loads(done.stdout)
    content["port"] = port
    return content


def test_it_logs_in_and_out_by_soap_and_oauth(seen: dict[str, Any]) -> None:
    assert seen["login"] == {"organization": "00DJ80000000001MAA", "instance": f"https://localhost:{seen['port']}"}
    assert seen["wrong_password"] == "INVALID_LOGIN"
    assert seen["identity"] == credentials().username
    assert seen["logged_out"] == "INVALID_SESSION_ID"


def test_it_reads_what_the_org_says_about_itself(seen: dict[str, Any]) -> None:
    assert seen["versions"]
    assert seen["objects"] == ["Account", "Case", "Contact", "Opportunity", "Task", "User"]
    assert seen["fields"] == len(ENTITIES["Contact"].fields)
    assert seen["limit"] == 100_000


def test_it_pages_through_queries(seen: dict[str, Any]) -> None:
    assert seen["pages"] == [PEOPLE, 2_000, 500, True]
    assert seen["parent"] == 'Acme "Rockets" GmbH'
    assert seen["fetched"] == PEOPLE
    assert (seen["found"], seen["counted"], seen["mistake"]) == (["Zürich"], 1, "INVALID_FIELD")


def test_it_writes_single_records_and_several_at_once(seen: dict[str, Any]) -> None:
    assert seen["written"] == [True, True, "Retail", "Hot"]
    assert seen["several"] == [True, "REQUIRED_FIELD_MISSING"]
    assert seen["gone"] == "ENTITY_IS_DELETED"
    assert seen["deleted"] == [True]
    assert seen["composite"] == [201, 201]


def test_it_runs_bulk_jobs(seen: dict[str, Any]) -> None:
    assert seen["bulk_query"] == PEOPLE + 1  # one was created before
    assert seen["bulk_load"] == [1, 1, 0]
    assert seen["bulk_error"] == "REQUIRED_FIELD_MISSING"


def test_it_renews_a_session_that_is_no_longer_known(seen: dict[str, Any]) -> None:
    assert seen["renewed"] == 1
