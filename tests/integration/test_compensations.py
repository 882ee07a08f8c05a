"""Where a write cannot be taken back, somebody is told where they work: by a proposal like any other, made once through every crash."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import psycopg
import pytest
import sqlalchemy as sa

from connectors.salesforce import KIND as SALESFORCE
from connectors.sap import KIND as SAP
from connectors.target import Action, Target
from pilothouse.agents.capsules import Draft, Ledger, Signer
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.agents.proposed import proposed_in
from pilothouse.agents.toolset.receivables import ACCOUNTS, OWNERS_OF_ACCOUNTS
from pilothouse.approvals.compensating import compensating
from pilothouse.approvals.executor import Executor
from pilothouse.approvals.policy import Policy
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proof import Proof
from pilothouse.approvals.proposals import Proposal, Proposals
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AccessDenied, CommitConflict, Conflict, TargetError, TargetForbids
from pilothouse.kernel.lake import Lake
from pilothouse.local.postgres import EmbeddedPostgres
from tests.contract.sandbox_process import Sandbox

ADA = Principal("ada", "credit_manager", Decimal(100_000))
BEN = Principal("ben", "credit_manager")
POLICY = Policy(four_eyes_above=Decimal(50_000))
FIRM = "s4:7"


@pytest.fixture(scope="module")
def sandbox(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE compensations")
    with Sandbox.started(tmp_path_factory.mktemp("sandbox"), postgres_server.url("compensations")) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def unblocked(sandbox: Sandbox) -> Iterator[str]:
    rows = sandbox.store().rows("SELECT SalesOrder FROM sap_SalesOrder WHERE DeliveryBlockReason = '' ORDER BY 1")
    return iter([str(order) for (order,) in rows])


@dataclass
class Desk:
    """Decisions about orders of one firm, which has an account in Salesforce."""

    sandbox: Sandbox
    database: Database
    lake: Lake
    key: Path
    order: str
    account: str
    owner: str

    def __post_init__(self) -> None:
        self.ledger = Ledger(self.database, Signer.open(self.key))
        self.proposals = Proposals(self.database, self.ledger, POLICY, timedelta(days=3))
        self.executor = Executor(self.database, self.proposals, Proof(self.ledger, POLICY), self.target, compensating(self.lake))

    def target(self, name: str) -> AbstractContextManager[Target]:
        kind, source = (SAP, "sap") if name == "s4" else (SALESFORCE, "salesforce")
        assert kind.target is not None
        return kind.target(name, kind.options.model_validate(self.sandbox.options(source)))

    def executed(self, *proposed: dict[str, Any], firm: str | None = FIRM) -> Proposal:
        """A decision whose first proposal was approved and written."""
        block = {"target": "s4", "record": "sales_order", "identity": {"SalesOrder": self.order}, "values": {"DeliveryBlockReason": "Z1"}}
        (write,) = proposed_in({"proposal": proposed[0] if proposed else {**block, "amount": "500", "reason": "late payer"}})
        draft = Draft(
            kind="decision",
            subject=f"s4/sales_order/{self.order}",
            at=datetime.now(UTC),
            body={"output": {"action": "hold", "firm_id": firm, "proposal": write.model_dump(mode="json")}},
            blobs={"agent": canonical({"name": "credit_desk", "approvers": ["credit_manager"]})},
            agent="credit_desk",
            synthetic=True,
        )
        with self.database.begin() as connection:
            (capsule,) = self.ledger.append_within(connection, [draft])
            made = self.proposals.propose_within(
                connection,
                capsule,
                target=write.target,
                action=Action(key=f"{capsule.digest[:24]}-0", record=write.record, identity=write.identity, values=write.values),
                reason=write.reason,
                amount=write.amount or Decimal(0),
                roles=("credit_manager",),
            )
        self.proposals.approve(made.id, ADA)
        return self.executor.execute(made.id)

    def somebody_else_writes(self, value: str = "Z9") -> None:
        values = {"DeliveryBlockReason": value}
        with self.target("s4") as target:
            target.execute(target.plan(Action(key="sap", record="sales_order", identity={"SalesOrder": self.order}, values=values)))

    def block(self) -> str:
        rows = self.sandbox.store().rows("SELECT DeliveryBlockReason FROM sap_SalesOrder WHERE SalesOrder = ?", [self.order])
        return str(next(rows)[0])

    def tasks(self) -> list[dict[str, Any]]:
        """The tasks about the account that are there."""
        names = ("Id", "Subject", "Description", "OwnerId", "Status", "Pilothouse_Key__c")
        quoted = ", ".join(f'"{name}"' for name in names)
        query = f'SELECT {quoted} FROM salesforce_Task WHERE "WhatId" = ? AND "IsDeleted" = 0 AND "Pilothouse_Key__c" IS NOT NULL'
        return [dict(zip(names, row, strict=True)) for row in self.sandbox.store().rows(query, [self.account])]

    def refused(self, made: Proposal, why: str = "they paid") -> Proposal:
        """What is proposed where taking it back meets a conflict."""
        with pytest.raises(Conflict) as told:
            self.executor.undo(made.id, BEN, why)
        offered = self.proposals.compensations(made)[0]
        assert f"{offered.id} is proposed instead" in told.value.hint
        return offered


@pytest.fixture
def desk(sandbox: Sandbox, database: Database, tmp_path: Path, unblocked: Iterator[str]) -> Desk:
    accounts = sandbox.store().rows('SELECT "Id", "OwnerId" FROM salesforce_Account WHERE "IsDeleted" = 0 ORDER BY "Id" LIMIT 1')
    account, owner = map(str, next(accounts))
    lake = Lake(str(tmp_path / "lake"))
    known = {"firm_id": FIRM, "source": "crm", "record_id": account, "name": "Acme", "known_since": "2020", "_synthetic": True}
    lake.table(ACCOUNTS).replace(pl.DataFrame([known]).to_arrow().to_reader())
    owners = pl.DataFrame([{"account_id": account, "owner_id": owner, "_synthetic": True}])
    lake.table(OWNERS_OF_ACCOUNTS).replace(owners.to_arrow().to_reader())
    return Desk(sandbox, database, lake, tmp_path / "capsules.pem", next(unblocked), account, owner)


def test_a_block_that_somebody_changed_becomes_a_task_for_the_accounts_owner(desk: Desk) -> None:
    made = desk.executed()
    desk.somebody_else_writes()
    before = desk.tasks()
    offered = desk.refused(made)
    assert (desk.block(), desk.tasks(), desk.proposals.get(made.id).status) == ("Z9", before, "executed")
    assert f"; {offered.id} is proposed instead" in desk.proposals.get(made.id).said
    assert (offered.status, offered.target, offered.amount, offered.roles) == ("open", "crm", Decimal(0), ("credit_manager",))
    desk.proposals.approve(offered.id, BEN)
    assert desk.executor.execute(offered.id).status == "executed"
    assert desk.executor.execute(offered.id).status == "executed"
    (task,) = [each for each in desk.tasks() if each not in before]
    assert task["Subject"] == f"Could not be taken back: sales_order {desk.order}, Acme"
    assert task["OwnerId"] == desk.owner
    assert task["Description"].splitlines() == [
        f"Decided by credit_desk on s4/sales_order/{desk.order}: late payer",
        f"Done in s4: sales_order {desk.order}",
        "  DeliveryBlockReason: '' → 'Z1'",
        "ben wants it taken back: they paid",
        "It has changed since, and nothing was overwritten. It says now:",
        "  DeliveryBlockReason: 'Z9'",
        f"Decide what shall hold, and set it in s4 by hand. More: pilothouse proposals {made.id}",
    ]
    (refusal,) = [each.body for each in desk.ledger.entries(kind="undo", about=made.decision)]
    assert (refusal["instead"], refusal["by"], refusal["differences"][0]["now"]) == (offered.id, "ben", "Z9")
    assert {each["name"] for each in refusal["read"]["read"]} == {ACCOUNTS, OWNERS_OF_ACCOUNTS}
    assert list(desk.ledger.verify()) == []
    assert desk.executor.undo(offered.id, BEN, "settled by telephone").status == "undone"
    assert desk.tasks() == before


def test_it_is_offered_once_while_it_waits_and_anew_after_a_no(desk: Desk) -> None:
    made = desk.executed()
    desk.somebody_else_writes()
    first = desk.refused(made)
    assert desk.refused(made).id == first.id
    assert len(desk.proposals.compensations(made)) == 1
    desk.proposals.reject(first.id, ADA, "they know")
    second = desk.refused(made)
    assert second.id != first.id
    desk.proposals.approve(second.id, ADA)
    desk.executor.execute(second.id)
    assert desk.refused(made).id == second.id
    assert len([each for each in desk.tasks() if each["Pilothouse_Key__c"] == second.action.key]) == 1


def test_where_it_can_be_taken_back_after_all_nothing_is_left_to_be_made_up_for(desk: Desk) -> None:
    made = desk.executed()
    desk.somebody_else_writes()
    offered = desk.refused(made)
    desk.somebody_else_writes("Z1")
    assert desk.executor.undo(made.id, BEN, "they paid").status == "undone"
    late = desk.proposals.get(offered.id)
    assert (late.status, late.said) == ("expired", f"{made.id} was taken back")


def test_a_task_that_somebody_worked_on_is_not_taken_away_and_its_owner_is_told(desk: Desk) -> None:
    values = {"Subject": "Call about overdue invoices", "WhatId": desk.account, "Status": "Not Started"}
    made = desk.executed({"target": "crm", "record": "Task", "identity": {}, "values": values, "amount": "0", "reason": "it owes"})
    (task,) = [each for each in desk.tasks() if each["Pilothouse_Key__c"] == made.action.key]
    with desk.target("crm") as target:
        worked = Action(key="a person", record="Task", identity={"Id": task["Id"]}, values={"Status": "Completed"})
        target.execute(target.plan(worked))
    offered = desk.refused(made)
    assert "  Status: 'Completed'" in offered.action.values["Description"].splitlines()  # type: ignore[union-attr]
    desk.proposals.approve(offered.id, ADA)
    desk.executor.execute(offered.id)
    assert {each["Status"] for each in desk.tasks() if each["Id"] == task["Id"]} == {"Completed"}
    with desk.target("crm") as target:
        (told,) = [each for each in desk.tasks() if each["Pilothouse_Key__c"] == offered.action.key]
        target.execute(target.plan(Action(key="x", record="Task", identity={"Id": told["Id"]}, values={"Status": "Completed"})))
    with pytest.raises(Conflict) as last:
        desk.executor.undo(offered.id, ADA, "never mind")
    assert "is proposed instead" not in last.value.hint  # what makes up for something is not made up for in turn
    assert desk.proposals.compensations(offered) == []


def test_nothing_is_offered_where_nobody_is_known_or_the_way_back_is_only_barred_for_now(desk: Desk) -> None:
    unknown = desk.executed(firm="s4:8")
    desk.somebody_else_writes()
    with pytest.raises(Conflict) as told:
        desk.executor.undo(unknown.id, BEN, "x")
    assert (told.value.hint, desk.proposals.compensations(unknown)) == ("nothing was overwritten; look at both and plan anew", [])
    desk.somebody_else_writes("")
    barred = desk.executed()
    with desk.sandbox.fault("not_authorized", server="sap"), pytest.raises(TargetForbids):
        desk.executor.undo(barred.id, BEN, "x")
    assert desk.proposals.compensations(barred) == []
    assert desk.executor.undo(barred.id, BEN, "x").status == "undone"


def test_a_lake_that_cannot_be_read_hides_no_conflict(desk: Desk) -> None:
    made = desk.executed()
    desk.somebody_else_writes()
    desk.lake.table(ACCOUNTS).replace(pl.DataFrame({"firm_id": [FIRM]}).to_arrow().to_reader())
    with pytest.raises(Conflict, match="Z9"):
        desk.executor.undo(made.id, BEN, "x")
    (refusal,) = [each.body for each in desk.ledger.entries(kind="undo", about=made.decision)]
    assert "source" in refusal["not_offered"]


def test_a_decision_still_names_what_it_proposed_itself(desk: Desk) -> None:
    made = desk.executed()
    desk.somebody_else_writes()
    desk.refused(made)
    assert desk.proposals.get(made.decision).id == made.id
    assert [each.id for each in desk.proposals.of([made.decision])] == [made.id]


COPIED = "(jsonb_populate_record(p, jsonb_build_object('id', 'forged', 'status', 'approved'))).*"
FORGED = {
    "another one": f"INSERT INTO pilothouse.proposals SELECT {COPIED} FROM pilothouse.proposals p WHERE compensates IS NOT NULL",
    "approved by a row alone": "UPDATE pilothouse.proposals SET status = 'approved' WHERE compensates IS NOT NULL",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_an_offer_is_written_by_nobodys_word_but_an_approvers(desk: Desk, database: Database, forged: str) -> None:
    made = desk.executed()
    desk.somebody_else_writes()
    desk.refused(made)
    before = desk.tasks()
    with database.begin() as connection:
        connection.execute(sa.text(forged))
    (approved,) = desk.proposals.all("approved")
    with pytest.raises(AccessDenied):
        desk.executor.execute(approved.id)
    assert desk.tasks() == before


VICTIM = """
import json
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from connectors.salesforce import KIND as SALESFORCE
from connectors.sap import KIND as SAP
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.approvals.compensating import compensating
from pilothouse.approvals.executor import Executor
from pilothouse.approvals.policy import Policy
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proof import Proof
from pilothouse.approvals.proposals import Proposals
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import TargetError
from pilothouse.kernel.lake import Lake
url, key, lake, given = sys.argv[1:5]
options = {"s4": (SAP, json.loads(given)["sap"]), "crm": (SALESFORCE, json.loads(given)["salesforce"])}
database = Database(url)
ledger, policy = Ledger(database, Signer.open(Path(key))), Policy(four_eyes_above=Decimal(50_000))
proposals = Proposals(database, ledger, policy, timedelta(days=3))
def target(name):
    kind, told = options[name]
    return kind.target(name, kind.options.model_validate(told))
executor = Executor(database, proposals, Proof(ledger, policy), target, compensating(Lake(lake)))
print("ready", flush=True)
for line in sys.stdin:
    verb, named = line.split()
    try:
        executor.execute(named) if verb == "execute" else executor.undo(named, Principal("ben", "credit_manager"), "they paid")
    except TargetError:
        pass
    print("done", flush=True)
"""


def killed(desk: Desk, verb: str, named: str, delay: float) -> None:
    """A process that works on it and is killed after so many seconds."""
    options = {name: desk.sandbox.options(name) for name in ("sap", "salesforce")}
    command = [sys.executable, "-c", VICTIM, desk.database.url, str(desk.key), desk.lake.url, json.dumps(options, default=str)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        process.stdin.write(f"{verb} {named}\n")
        process.stdin.flush()
        time.sleep(delay)
        process.send_signal(signal.SIGKILL)
        process.wait()


def in_the_end(work: Callable[[], Any]) -> Any:
    """PostgreSQL gives a dead process's lock back once it notices."""
    for _ in range(100):
        try:
            return work()
        except CommitConflict:
            time.sleep(0.05)
    pytest.fail("the lock of a dead executor is never given back")


def test_a_kill_at_any_moment_offers_once_and_writes_once(desk: Desk) -> None:
    made = desk.executed()
    desk.somebody_else_writes()
    for delay in (0.02, 0.06, 0.12):
        killed(desk, "undo", made.id, delay)
        with pytest.raises(TargetError):
            in_the_end(lambda: desk.executor.undo(made.id, BEN, "they paid"))
        assert len(desk.proposals.compensations(made)) == 1
    (offered,) = desk.proposals.compensations(made)
    desk.proposals.approve(offered.id, ADA)
    for delay in (0.02, 0.05, 0.1):
        killed(desk, "execute", offered.id, delay)
    in_the_end(lambda: desk.executor.execute(offered.id))
    assert desk.block() == "Z9"
    assert len([each for each in desk.tasks() if each["Pilothouse_Key__c"] == offered.action.key]) == 1
    assert [each.kind for each in desk.ledger.entries(about=made.decision)].count("execution") == 2  # of the block, and of the task
    assert list(desk.ledger.verify()) == []
