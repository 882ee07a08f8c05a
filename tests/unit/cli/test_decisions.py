"""Decisions as people and auditors read them on the command line: listed, shown, made again, checked, given away; and what goes wrong."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from connectors.target import Action
from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Capsule, Draft, Ledger, Signer
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.approvals.policy import Policy
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proposals import Proposals
from pilothouse.cli.app import app
from pilothouse.kernel.database import Database
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import ApprovalSettings
from tests.desk import DESK

DAYS = {"A1": datetime(2026, 6, 1, 12, tzinfo=UTC), "A2": datetime(2026, 6, 2, 12, tzinfo=UTC)}


def feature_columns() -> dict[str, Any]:
    """Nothing known of anything that the tree may ask, but for what is never missing."""
    tree = DESK.brain.tree  # type: ignore[attr-defined]
    return {name: None if fact.missing else 0 for name, fact in tree.facts.items() if "." not in name}


def publish(lake: Lake, *, late: int = 4) -> None:
    """Two orders: the firm of the first has left invoices unpaid."""
    order = {
        "firm_id": "s4:7", "net_amount_eur": Decimal("1200.50"), "delivery_block": None, "is_complete": False, "is_rejected": False,
        "_synthetic": True,
    }  # fmt: skip
    known = {**feature_columns(), "firm_id": "s4:7", "ordered_on": date(2026, 6, 1), "overdue_eur": Decimal("900.00"), "_synthetic": True}
    owner = {"owner_firm_id": "s4:1", "owned_firm_id": "s4:7", "share_percent": 60, "_synthetic": True}
    case = {"case_id": "c1", "firm_id": "s4:7", "is_closed": False, "_synthetic": True}
    tables: dict[str, list[dict[str, Any]]] = {
        "marts/fct_order": [{"order_id": each, **order} for each in DAYS],
        "features/feat_order_risk": [
            {"order_id": "A1", **known, "invoices_late_and_open": late, "rating_grade": "B"},
            {"order_id": "A2", **known, "invoices_late_and_open": 0, "rating_grade": "A"},
        ],
        "marts/fct_case": [case],
        "marts/fct_ownership": [owner],
        "marts/dim_firm": [{"firm_id": "s4:7", "name": "Bertolini [bold]\nMacchine", "_synthetic": True}],
    }
    for name, rows in tables.items():
        lake.table(name).replace(pl.DataFrame(rows, infer_schema_length=None).to_arrow().to_reader())


@dataclass
class Desk:
    """A project in which two orders were decided on."""

    folder: Path
    database: Database
    ledger: Ledger
    lake: Lake
    made: list[Capsule]

    @property
    def held(self) -> str:
        return self.made[0].digest

    def says(self, *words: str) -> Result:
        return CliRunner().invoke(app, list(words))

    def told(self, *words: str) -> Any:
        result = self.says(*words, "--json")
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)


@pytest.fixture
def desk(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Desk:
    lake, ledger = Lake(str(tmp_path / "lake")), Ledger(database, Signer.open(tmp_path / "keys" / "capsules.pem"))
    publish(lake)
    snapshot = Snapshot.take(lake, DESK.tables)
    requests = [Request(subject=f"s4/sales_order/{order}", at=at, event={}) for order, at in DAYS.items()]
    made = ledger.append([run(DESK, request, snapshot).draft() for request in requests])
    snapshot.close()
    (tmp_path / "pilothouse.toml").write_text(f'home = "{tmp_path}"\n')
    monkeypatch.setattr("pilothouse.agents.desks.credit_desk.CREDIT_DESK", DESK)
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(tmp_path / "pilothouse.toml"))
    monkeypatch.setenv("PILOTHOUSE_DATABASE__URL", database.url)
    return Desk(tmp_path, database, ledger, lake, made)


def proposed(desk: Desk) -> None:
    """The first decision proposes a block, and somebody rejects it."""
    given = ApprovalSettings()
    proposals = Proposals(desk.database, desk.ledger, Policy(four_eyes_above=given.four_eyes_above), given.expires)
    action = Action(key="k", record="sales_order", identity={"SalesOrder": "A1"}, values={"DeliveryBlockReason": "01"})
    with desk.database.begin() as connection:
        made = proposals.propose_within(
            connection, desk.made[0], target="s4", action=action, reason="late", amount=Decimal(1200), roles=("credit_manager",)
        )
    proposals.reject(made.id, Principal("ada", "credit_manager"), "they paid this morning")


def test_decisions_are_listed_and_chosen(desk: Desk) -> None:
    proposed(desk)
    rows = desk.told("decisions")
    assert [(row["subject"], row["action"], row["proposal"]) for row in rows] == [
        ("s4/sales_order/A2", "release", None),
        ("s4/sales_order/A1", "hold", "rejected"),
    ]
    assert (rows[1]["amount_eur"], rows[1]["reason"][:22]) == ("1200.50", "Three or more invoices")
    for words in (["--action", "hold"], ["--subject", "s4/sales_order/A1"], ["--limit", "1", "--action", "hold"]):
        assert [row["id"] for row in desk.told("decisions", *words)] == [desk.held]
    assert [row["subject"] for row in desk.told("decisions", "--since", "2026-06-02")] == ["s4/sales_order/A2"]
    assert desk.told("decisions", "--agent", "nobody") == []
    shown = desk.says("decisions").stdout
    assert desk.held[:12] in shown
    assert "1,200.50" in shown
    assert "Bertolini [bold] Macchine" in shown  # as it was typed elsewhere, on one line


def test_one_is_shown_whole(desk: Desk) -> None:
    proposed(desk)
    shown = " ".join(desk.says("show", desk.held[:8]).stdout.split())
    for words in (
        "hold s4/sales_order/A1",
        "1,200.50 EUR",
        "firm Bertolini [bold] Macchine",
        "1. Three or more invoices are open",
        "invoices_late_and_open at least 3 seen: 4",
        "invoices_late_and_open were 2 and not 4",
        "DeliveryBlockReason=01 rejected",
        "open_cases",
        "features/feat_order_risk",
        "they paid this morning",
        "made of rows of the enterprise in a box",
    ):
        assert words in shown, words
    told = desk.told("show", desk.held)
    assert told["output"]["action"] == "hold"
    assert [call["name"] for call in told["calls"]] == [
        "order",
        "features",
        "late_payment_risk",
        "group",
        "open_cases",
        "owners",
        "firm_name",
    ]
    assert (told["became"][0]["kind"], told["proposal_status"]) == ("approval", "rejected")
    about = told["became"][0]["id"]
    assert desk.told("show", about)["id"] == desk.held  # what an entry is about is shown, too


def test_one_is_made_again_byte_for_byte(desk: Desk) -> None:
    told = desk.told("replay", desk.held)
    assert (told["identical"], told["same_code"], told["action"]) == (True, True, "hold")
    assert "byte for byte what it was" in desk.says("replay", desk.held).stdout
    assert "2 of 2 decisions" in desk.says("replay", "--all").stdout


def test_a_capsule_that_lacks_a_blob_is_told_and_the_others_are_made_again(desk: Desk) -> None:
    cassette = desk.made[0].blobs["cassette"]
    with desk.database.begin() as connection:
        connection.execute(sa.text("DELETE FROM pilothouse.capsule_blobs WHERE digest = :it"), {"it": bytes.fromhex(cassette)})
    one, every = desk.says("replay", desk.held), desk.says("replay", "--all")
    assert (one.exit_code, every.exit_code) == (1, 1)
    assert f"blob {cassette[:12]} is missing" in one.output
    assert "pilothouse verify" in one.output
    assert "1 of 2 decisions" in every.stdout
    verified = desk.says("verify", "--json")
    assert (verified.exit_code, [each["what"] for each in json.loads(verified.stdout)["damage"]]) == (1, ["blob cassette is missing"])


def test_a_decision_that_says_otherwise_now_ends_in_exit_code_1(desk: Desk) -> None:
    """An output that was put in by somebody who holds the key: nothing is damaged, and yet it is not what was decided."""
    said = {**desk.made[0].body["output"], "action": "release"}
    blobs = {name: desk.ledger.blob(digest) for name, digest in desk.made[0].blobs.items()}
    forged = Draft(
        kind="decision",
        subject="s4/sales_order/A1",
        at=DAYS["A1"],
        body={"output": said},
        blobs={**blobs, "output": json.dumps(said, sort_keys=True, separators=(",", ":")).encode()},
        agent="credit_desk",
        agent_version=DESK.version(),
        synthetic=True,
    )
    (capsule,) = desk.ledger.append([forged])
    assert desk.says("verify").exit_code == 0
    result = desk.says("replay", capsule.digest)
    assert result.exit_code == 1
    assert "differs from what it was" in result.stdout
    assert "release" in result.stdout


def test_the_whole_ledger_is_verified_against_a_head_that_was_kept(desk: Desk) -> None:
    told = desk.told("verify")
    assert (told["entries"], told["damage"], told["head"]) == (2, [], desk.made[1].digest)
    with desk.database.begin() as connection:
        connection.execute(sa.text("DELETE FROM pilothouse.capsules WHERE seq = 2"))
    assert desk.says("verify").exit_code == 0  # the end of a chain proves nothing of itself
    cut = desk.says("verify", "--head", told["head"])
    assert (cut.exit_code, "cut off" in cut.stdout) == (1, True)
    assert "no digest" in desk.says("verify", "--head", "abc").output


def test_an_auditor_with_the_file_alone_reads_checks_and_makes_it_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    proposed(desk)
    file = desk.folder / "given.zip"
    written = desk.told("export", desk.held[:10], "--out", str(file))
    assert written["entries"] == 2  # the decision, and that somebody rejected what it proposed
    monkeypatch.delenv("PILOTHOUSE_DATABASE__URL")

    def refused(*_: Any) -> None:
        raise AssertionError("an auditor's clone asked the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    given = ("--bundle", str(file))
    assert [row["id"] for row in desk.told("decisions", *given)] == [desk.held]
    assert desk.told("show", desk.held[:6], *given)["became"][0]["body"]["why"] == "they paid this morning"
    assert desk.told("replay", desk.held[:6], *given, "--key", written["public_key"])["identical"]
    assert desk.told("verify", *given, "--key", written["public_key"])["damage"] == []
    wrong = Signer.open(desk.folder / "other.pem").public.hex()
    refused_key = desk.says("replay", desk.held[:6], *given, "--key", wrong)
    assert (refused_key.exit_code, "it is not signed by" in refused_key.output) == (1, True)


def test_beside_today_it_says_what_has_changed(desk: Desk) -> None:
    publish(desk.lake, late=0)
    told = desk.told("diff", desk.held)
    assert told["because"]["cause"] == "data"
    assert {each["name"]: (each["left"], each["right"]) for each in told["output"]}["action"] == ("hold", "release")
    assert ("features.invoices_late_and_open", 4, 0) in [(each["name"], each["left"], each["right"]) for each in told["heard"]]
    shown = desk.says("diff", desk.held).stdout
    assert "The rows have changed" in shown
    assert "goes on to" in shown
    two = desk.told("diff", desk.held, desk.made[1].digest)
    assert (two["because"], two["parted"]["left"]) == (None, "hold_unpaid")
    desk.lake.table("marts/fct_order").replace(pl.DataFrame(schema={"order_id": pl.String}).to_arrow().to_reader())
    gone = desk.says("diff", desk.held)
    assert (gone.exit_code, "today nothing can be decided" in gone.output) == (1, True)


WRONG: list[tuple[str, Callable[[Desk], list[str]], str, str]] = [
    ("an id that is not there", lambda _: ["show", "0" * 12], "there is no capsule", "pilothouse decisions"),
    ("an id that is none", lambda _: ["show", "order-1"], "is no digest", "pilothouse decisions"),
    ("one of a table's options", lambda desk: ["why", desk.held, "--version", "1"], "are of a table's row", ""),
    ("one of a decision's options", lambda _: ["why", "marts.fct_order", "1", "--tree"], "are of a decision", ""),
    ("neither one nor all", lambda _: ["replay"], "name one decision", ""),
    ("nothing to export", lambda _: ["export"], "name decisions", ""),
    (
        "a folder that is not there",
        lambda desk: ["export", desk.held, "-o", "nowhere/x.zip"],
        "there is no folder",
        "a folder that is there",
    ),
    ("a file that is not there", lambda _: ["decisions", "--bundle", "nowhere.zip"], "no such file", "pilothouse export"),
    ("a version that never was", lambda _: ["affected", "--model", "late_payment_risk@99"], "no version 99", "pilothouse model show"),
    ("a model that is none", lambda _: ["affected", "--model", "weather@1"], "no model 'weather'", "late_payment_risk"),
    ("a model without its version", lambda _: ["affected", "--model", "late_payment_risk"], "no version", "late_payment_risk@3"),
]


@pytest.mark.parametrize(("words", "told", "hint"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_what_is_wrong_is_told_with_the_way_out(desk: Desk, words: Callable[[Desk], list[str]], told: str, hint: str) -> None:
    result = desk.says(*words(desk))
    assert result.exit_code in {1, 2}
    assert told in " ".join(result.output.split())
    assert hint in result.output


def test_an_id_that_fits_several_asks_for_more_digits(desk: Desk) -> None:
    desk.ledger.append([Draft(kind="outcome", subject=str(number), at=DAYS["A1"], body={}, synthetic=True) for number in range(20)])
    first = next(each for each in "0123456789abcdef" if sum(entry.digest.startswith(each) for entry in desk.ledger.entries()) > 1)
    result = desk.says("show", first)
    assert (result.exit_code, "give more digits" in result.output) == (1, True)


def test_without_a_database_the_way_out_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PILOTHOUSE_DATABASE__URL")
    result = desk.says("decisions")
    assert (result.exit_code, "pilothouse up" in result.output) == (1, True)
    assert json.loads(desk.says("decisions", "--json").stdout)["error"] == "ConfigError"
