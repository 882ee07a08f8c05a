"""A bundle is read as the ledger is: an auditor who has nothing else finds, checks and makes again what an enterprise decided."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pilothouse.agents.capsules import Capsule, Draft, Ledger, Signer, bundle
from pilothouse.agents.capsules.bundle import Bundle
from pilothouse.agents.capsules.capsule import digest
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.running import replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from tests.unit.agents.test_ledger import NOON, filled, rewritten
from tests.unit.agents.test_running import DESK, Limit, about, publish


@pytest.fixture
def ledger(database: Database, tmp_path: Path) -> Ledger:
    return Ledger(database, Signer.open(tmp_path / "key.pem"))


@pytest.fixture
def file(ledger: Ledger, tmp_path: Path) -> Path:
    filled(ledger)
    bundle.write(ledger, ledger.entries(), tmp_path / "bundle.zip")
    return tmp_path / "bundle.zip"


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"kind": "decision"},
        {"subject": "order/2"},
        {"agent": "credit_desk", "most": 1},
        {"since": NOON},
        {"since": NOON + timedelta(seconds=1)},
        {"action": "hold"},
        {"action": "release"},
        {"most": 2},
    ],
)
def test_a_bundle_finds_what_the_ledger_finds(ledger: Ledger, file: Path, asked: dict[str, Any]) -> None:
    said = {"output": {"action": "hold", "note": "a null byte: \0"}}
    ledger.append(
        [Draft(kind="decision", subject="order/3", at=datetime(2026, 7, 1, tzinfo=UTC), body=said, agent="other", synthetic=True)]
    )
    bundle.write(ledger, ledger.entries(), file)
    there = Bundle(file)
    assert [*there.entries(**asked)] == [*ledger.entries(**asked)]
    assert (there.head(), there.count(), there.public_key) == (ledger.head(), ledger.count(), ledger.public_key)


def test_entries_of_a_decision_are_found_by_what_they_are_about(ledger: Ledger, file: Path) -> None:
    there = Bundle(file)
    (approval,) = ledger.entries(kind="approval")
    first = there.get(str(approval.manifest["about"])[:12])
    assert [*there.entries(about=first.digest)] == [approval]
    assert there.blob(first.blobs["tree"]) == b"the tree"
    assert Opened.of(there, approval.digest).capsule == Opened.of(ledger, first.digest).capsule == first
    assert Opened.of(there, first.digest).sequels == [approval]


@pytest.mark.parametrize(
    ("part", "content", "told"),
    [
        (lambda first: f"blobs/{first.blobs['tree']}", b"a tree", "blob tree was changed"),
        (lambda first: f"blobs/{first.blobs['tree']}", None, "blob tree is missing"),
        (lambda first: f"manifests/{first.seq:012d}-{first.digest}.json", b"{}", "its manifest was changed"),
        (lambda first: f"signatures/{first.digest}", b"00" * 64, "it is not signed by"),
        (lambda first: f"signatures/{first.digest}", b"no digits", "it is not signed by"),
        (lambda first: f"signatures/{first.digest}", None, "it is not signed by"),
    ],
)
def test_whatever_was_changed_is_told(
    ledger: Ledger, file: Path, tmp_path: Path, part: Callable[[Capsule], str], content: bytes | None, told: str
) -> None:
    first = [*ledger.entries()][-1]
    assert list(Bundle(file).verify(kept_head=first.digest)) == []
    changed = Bundle(rewritten(file, tmp_path / "changed.zip", part(first), content))
    assert [damage.what for damage in changed.verify() if damage.seq == first.seq and told in damage.what]
    if "blob" in told:
        with pytest.raises(AgentError, match=told.removeprefix("blob tree ")) as raised:
            changed.blob(first.blobs["tree"])
        assert "verify --bundle" in raised.value.hint
    if "manifest" in told:
        with pytest.raises(AgentError, match=told):
            changed.get(first.digest)


def test_another_key_and_a_head_that_is_not_there_are_told(ledger: Ledger, file: Path, tmp_path: Path) -> None:
    other = Signer.open(tmp_path / "other.pem").public.hex()
    assert len([*Bundle(file, other).verify()]) == 3
    assert [damage.what for damage in Bundle(file).verify(kept_head=digest(b"cut off"))] == [f"entry {digest(b'cut off')[:12]} is missing"]


def test_what_is_no_bundle_is_told(file: Path, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as empty:
        empty.writestr("readme", "nothing")
    for given, key in ((tmp_path / "text.zip", ""), (tmp_path / "empty.zip", ""), (file, "zz"), (file, "00")):
        with pytest.raises(AgentError, match="cannot be read as a bundle") as raised:
            Bundle(given, key)
        assert raised.value.hint
    with pytest.raises(AgentError, match="there is no such file"):
        Bundle(tmp_path / "nowhere.zip")


def test_a_decision_is_made_again_from_a_bundle_with_every_socket_refused(
    ledger: Ledger, tmp_path: Path, cut_off: Callable[[], None]
) -> None:
    """On another clone: no database, no lake, a tree that has changed since, and nobody to ask."""
    lake = Lake(str(tmp_path / "lake"))
    publish(lake, ("1", "1200.50", True))
    snapshot = Snapshot.take(lake, DESK.tables)
    (capsule,) = ledger.append([run(DESK, about("1"), snapshot).draft()])
    snapshot.close()
    bundle.write(ledger, [capsule], tmp_path / "bundle.zip")

    cut_off()
    there = Bundle(tmp_path / "bundle.zip")
    replayed = replay(there, there.get(capsule.digest), replace(DESK, brain=Limit(10_000)))
    assert replayed.identical
    assert b"hold" in replayed.now
