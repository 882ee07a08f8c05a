"""From a decision to a write in SAP and back: only what people approved, by whom it takes, once, through every crash."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from connectors.sap import KIND
from connectors.target import Action, Receipt, Target, encode
from pilothouse.agents.capsules import Draft, Ledger, Signer
from pilothouse.agents.capsules.capsule import canonical
from pilothouse.approvals.executor import Executor
from pilothouse.approvals.policy import Policy
from pilothouse.approvals.principals import Principal, Principals
from pilothouse.approvals.proof import Proof
from pilothouse.approvals.proposals import APPROVED, Proposal, Proposals, Status, expire
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import (
    AccessDenied,
    AgentError,
    CommitConflict,
    Conflict,
    DatabaseError,
    TargetError,
    TargetForbids,
    TargetUnavailable,
)
from pilothouse.kernel.events import EventLog
from pilothouse.kernel.settings import PrincipalSettings
from pilothouse.local.postgres import EmbeddedPostgres
from tests.contract.sandbox_process import Sandbox

ADA = Principal("ada", "credit_manager", Decimal(100_000))
BEN = Principal("ben", "credit_manager", Decimal(100_000))
CAT = Principal("cat", "credit_manager", Decimal(1_000))
DAN = Principal("dan", "sales")
POLICY = Policy(four_eyes_above=Decimal(50_000))


@pytest.fixture(scope="module")
def sandbox(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE approvals")
    with Sandbox.started(tmp_path_factory.mktemp("sandbox"), postgres_server.url("approvals")) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def unblocked(sandbox: Sandbox) -> Iterator[str]:
    rows = sandbox.store().rows("SELECT SalesOrder FROM sap_SalesOrder WHERE DeliveryBlockReason = '' ORDER BY 1")
    return iter([str(order) for (order,) in rows])


@pytest.fixture
def order(unblocked: Iterator[str]) -> str:
    return next(unblocked)


@pytest.fixture
def key(tmp_path: Path) -> Path:
    return tmp_path / "capsules.pem"


@pytest.fixture
def ledger(database: Database, key: Path) -> Ledger:
    return Ledger(database, Signer.open(key))


@pytest.fixture
def proposals(database: Database, ledger: Ledger) -> Proposals:
    return Proposals(database, ledger, POLICY, timedelta(days=3))


@pytest.fixture
def target(sandbox: Sandbox) -> Callable[[str], AbstractContextManager[Target]]:
    assert KIND.target is not None
    options = KIND.options.model_validate(sandbox.options("sap"))
    return lambda name: KIND.target(name, options)  # type: ignore[misc]


@pytest.fixture
def executor(database: Database, ledger: Ledger, proposals: Proposals, target: Callable[[str], AbstractContextManager[Target]]) -> Executor:
    return Executor(database, proposals, Proof(ledger, POLICY), target)


@pytest.fixture
def propose(database: Database, ledger: Ledger, proposals: Proposals, order: str) -> Callable[..., Proposal]:
    def made(amount: int = 500, block: str = "Z1", seen: Mapping[str, str] | None = None, to: str = order) -> Proposal:
        action = Action(key=f"hold-{to}", record="sales_order", identity={"SalesOrder": to}, values={"DeliveryBlockReason": block})
        proposed = {"target": "s4", "record": action.record, "identity": action.identity, "values": action.values, "amount": str(amount)}
        decision = Draft(
            kind="decision",
            subject=f"s4/sales_order/{to}",
            at=datetime.now(UTC),
            body={"output": {"action": "hold", "proposal": proposed}},
            blobs={"agent": canonical({"name": "credit_desk", "approvers": ["credit_manager"]})},
            agent="credit_desk",
            synthetic=True,
        )
        with database.begin() as connection:
            (capsule,) = ledger.append_within(connection, [decision])
            return proposals.propose_within(
                connection,
                capsule,
                target="s4",
                action=action,
                reason="late payer",
                amount=Decimal(amount),
                roles=("credit_manager",),
                seen=seen,
            )

    return made


def block(sandbox: Sandbox, order: str) -> str:
    (value,) = next(sandbox.store().rows("SELECT DeliveryBlockReason FROM sap_SalesOrder WHERE SalesOrder = ?", [order]))
    return str(value)


def writes(sandbox: Sandbox, order: str) -> int:
    found = sandbox.store().rows("SELECT COUNT(*) FROM changes WHERE entity = 'sap_SalesOrder' AND key = ?", [f'["{order}"]'])
    return int(str(next(found)[0]))


Propose = Callable[..., Proposal]


def test_what_is_approved_is_written_and_can_be_taken_back(
    propose: Propose, proposals: Proposals, executor: Executor, ledger: Ledger, sandbox: Sandbox, order: str
) -> None:
    made = propose()
    assert proposals.approve(made.id, ADA, "agreed").status == "approved"
    assert executor.execute(made.id).status == "executed"
    assert block(sandbox, order) == "Z1"
    assert executor.undo(made.id, BEN, "he paid").status == "undone"
    assert block(sandbox, order) == ""
    assert [capsule.kind for capsule in ledger.entries(about=made.decision)] == ["undo", "approval", "execution", "approval"]
    assert list(ledger.verify()) == []


def test_an_approval_is_an_event(propose: Propose, proposals: Proposals, database: Database) -> None:
    made = propose()
    proposals.approve(made.id, ADA)
    assert [(event.topic, event.key) for event in EventLog(database).read(after=0)] == [(APPROVED, made.id)]


def test_nothing_is_written_without_an_approval(
    propose: Propose, executor: Executor, proposals: Proposals, sandbox: Sandbox, order: str
) -> None:
    made = propose()
    with pytest.raises(AgentError, match="is open, not approved"):
        executor.execute(made.id)
    with pytest.raises(AgentError, match="is open: nothing was written that could be taken back"):
        executor.undo(made.id, ADA, "to be sure")
    proposals.reject(made.id, ADA, "a good customer")
    with pytest.raises(AgentError, match="is rejected"):
        executor.execute(made.id)
    assert (block(sandbox, order), writes(sandbox, order)) == ("", 0)


@pytest.mark.parametrize(
    ("principal", "amount", "told"),
    [
        (DAN, 500, "is sales, and this is for credit_manager"),
        (CAT, 5_000, "approves up to 1,000, and this is about 5,000"),
        (Principal("credit_desk", "credit_manager"), 500, "nobody approves their own"),
    ],
)
def test_the_wrong_person_is_refused(propose: Propose, proposals: Proposals, principal: Principal, amount: int, told: str) -> None:
    made = propose(amount)
    with pytest.raises(AccessDenied, match=told):
        proposals.approve(made.id, principal)
    assert proposals.get(made.id).status == "open"


def test_above_a_limit_two_must_say_yes(propose: Propose, proposals: Proposals) -> None:
    made = propose(60_000)
    assert proposals.approve(made.id, ADA).status == "open"
    with pytest.raises(AccessDenied, match="has approved this already"):
        proposals.approve(made.id, ADA)
    assert proposals.approve(made.id, BEN).status == "approved"


def test_an_edit_needs_approval_anew_and_not_by_its_editor(
    propose: Propose, proposals: Proposals, executor: Executor, sandbox: Sandbox, order: str
) -> None:
    made = propose(60_000)
    proposals.approve(made.id, ADA)
    edited = proposals.edit(made.id, ADA, {"DeliveryBlockReason": "Z2"}, "the softer block")
    assert (edited.revision, edited.action.values) == (2, {"DeliveryBlockReason": "Z2"})
    assert proposals.remarks(made)[-1].change == {"DeliveryBlockReason": ["Z1", "Z2"]}
    with pytest.raises(AccessDenied, match="nobody approves their own"):
        proposals.approve(made.id, ADA)
    assert proposals.approve(made.id, BEN).status == "open"
    assert proposals.approve(made.id, Principal("eve", "credit_manager")).status == "approved"
    executor.execute(made.id)
    assert block(sandbox, order) == "Z2"


def test_an_approval_that_comes_late_or_twice_is_refused(propose: Propose, proposals: Proposals, database: Database) -> None:
    late, twice = propose(), propose
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE pilothouse.proposals SET expires_at = now() - interval '1 second'"))
    with pytest.raises(AgentError, match="expired at"):
        proposals.approve(late.id, ADA)
    assert expire(database) == 1
    with pytest.raises(AgentError, match="is expired"):
        proposals.approve(late.id, ADA)
    made = twice()
    proposals.approve(made.id, ADA)
    for again in (ADA, BEN):
        with pytest.raises(AgentError, match="is approved"):
            proposals.approve(made.id, again)
    assert [remark.by for remark in proposals.remarks(made)] == ["ada"]
    assert [event.key for event in EventLog(database).read(after=0)] == [made.id]


def test_of_two_who_approve_at_once_one_does(propose: Propose, proposals: Proposals, database: Database) -> None:
    made = propose()

    def say_yes(person: Principal) -> bool:
        try:
            return proposals.approve(made.id, person).status == "approved"
        except AgentError:
            return False

    with ThreadPoolExecutor(2) as pool:
        assert sorted(pool.map(say_yes, (ADA, BEN))) == [False, True]
    assert len(proposals.remarks(made)) == len(EventLog(database).read(after=0)) == 1


def test_a_decision_proposes_the_same_once(propose: Propose, proposals: Proposals, database: Database, ledger: Ledger) -> None:
    made = propose()
    with database.begin() as connection:
        again = proposals.propose_within(
            connection,
            ledger.get(made.decision),
            target=made.target,
            action=made.action,
            reason=made.reason,
            amount=made.amount,
            roles=made.roles,
        )
    assert again.id == made.id
    assert len(proposals.all()) == 1


def test_an_order_that_changed_since_is_a_conflict_that_is_kept(
    propose: Propose,
    proposals: Proposals,
    executor: Executor,
    target: Callable[[str], AbstractContextManager[Target]],
    sandbox: Sandbox,
    order: str,
) -> None:
    made = propose()
    proposals.approve(made.id, ADA)
    with target("s4") as opened:
        kept = opened.plan(made.action)
        opened.execute(
            opened.plan(Action(key="sap", record="sales_order", identity={"SalesOrder": order}, values={"DeliveryBlockReason": "Z9"}))
        )
    proposals.move(proposals.get(made.id), "approved", "", plan=encode(kept))
    with pytest.raises(Conflict, match="Z9"):
        executor.execute(made.id)
    assert (proposals.get(made.id).status, block(sandbox, order)) == ("conflict", "Z9")


def test_a_document_that_is_locked_stays_approved_for_the_next_try(
    propose: Propose, proposals: Proposals, executor: Executor, sandbox: Sandbox
) -> None:
    made = propose()
    proposals.approve(made.id, ADA)
    with sandbox.fault("locked_row", server="sap"), pytest.raises(TargetUnavailable, match="423"):
        executor.execute(made.id)
    assert proposals.get(made.id).status == "approved"
    assert executor.execute(made.id).status == "executed"


def test_a_refusal_is_kept_with_what_the_target_said(propose: Propose, proposals: Proposals, executor: Executor) -> None:
    made = propose(block="far too long")
    proposals.approve(made.id, ADA)
    with pytest.raises(TargetError, match="400"):
        executor.execute(made.id)
    kept = proposals.get(made.id)
    assert kept.status == "refused"
    assert "400" in kept.said


def test_what_the_user_may_not_write_stays_approved_and_is_written_once_he_may(
    propose: Propose, proposals: Proposals, executor: Executor, sandbox: Sandbox, order: str
) -> None:
    made = propose()
    proposals.approve(made.id, ADA)
    with sandbox.fault("not_authorized", server="sap"):
        (tried,) = executor.execute_all()
        since = tried.proposal.changed_at  # when it was planned, and how often it is tried follows from that
        (tried,) = executor.execute_all()
    assert (tried.stuck, tried.proposal.status, tried.proposal.changed_at, writes(sandbox, order)) == (True, "approved", since, 0)
    assert tried.proposal.said.startswith("not written yet: s4: sales_order")
    assert "403" in tried.said
    assert "lacks the authorisation" in tried.said
    (tried,) = executor.execute_all()
    assert (tried.stuck, tried.proposal.status, block(sandbox, order), writes(sandbox, order)) == (False, "executed", "Z1", 1)


def test_a_password_that_is_wrong_costs_no_approval(
    propose: Propose, proposals: Proposals, executor: Executor, database: Database, sandbox: Sandbox, order: str
) -> None:
    made = propose()
    proposals.approve(made.id, ADA)
    assert KIND.target is not None
    options = KIND.options.model_validate({**sandbox.options("sap"), "password": "wrong"})
    locked_out = Executor(database, proposals, Proof(proposals._ledger, POLICY), lambda name: KIND.target(name, options))  # type: ignore[misc]
    with pytest.raises(TargetForbids) as told:
        locked_out.execute(made.id)
    assert "PILOTHOUSE_SOURCES__S4__PASSWORD" in told.value.hint
    assert proposals.get(made.id).status == "approved"
    assert (executor.execute(made.id).status, writes(sandbox, order)) == ("executed", 1)


def test_an_order_that_changed_since_it_was_decided_is_not_written(
    propose: Propose,
    proposals: Proposals,
    executor: Executor,
    target: Callable[[str], AbstractContextManager[Target]],
    sandbox: Sandbox,
    order: str,
) -> None:
    made = propose(seen={"DeliveryBlockReason": ""})
    with target("s4") as opened:
        opened.execute(
            opened.plan(Action(key="sap", record="sales_order", identity={"SalesOrder": order}, values={"DeliveryBlockReason": "Z9"}))
        )
    proposals.approve(made.id, ADA)
    with pytest.raises(Conflict, match="was '', ours 'Z1', now 'Z9'") as told:
        executor.execute(made.id)
    assert told.value.differences == ({"field": "DeliveryBlockReason", "before": "", "ours": "Z1", "now": "Z9"},)
    assert (proposals.get(made.id).status, block(sandbox, order), writes(sandbox, order)) == ("conflict", "Z9", 1)


def test_a_receipt_that_cannot_be_stored_is_stored_by_the_next_run_and_nothing_is_written_twice(
    propose: Propose,
    proposals: Proposals,
    executor: Executor,
    database: Database,
    target: Callable[[str], AbstractContextManager[Target]],
    sandbox: Sandbox,
    order: str,
) -> None:
    class Full(Proposals):
        def move(self, proposal: Proposal, status: Status, *more: Any, **kept: Any) -> Proposal:
            if status in ("executed", "undone"):
                raise DatabaseError("the disk is full")
            return super().move(proposal, status, *more, **kept)

    made = propose()
    proposals.approve(made.id, ADA)
    full = Full(database, proposals._ledger, POLICY, timedelta(days=3))
    with pytest.raises(DatabaseError, match="full"):
        Executor(database, full, Proof(full._ledger, POLICY), target).execute(made.id)
    assert (proposals.get(made.id).status, block(sandbox, order)) == ("approved", "Z1")
    (tried,) = executor.execute_all()
    assert (tried.proposal.status, tried.said, writes(sandbox, order)) == ("executed", "found written", 1)
    with pytest.raises(DatabaseError, match="full"):
        Executor(database, full, Proof(full._ledger, POLICY), target).undo(made.id, ADA, "enough")
    assert (proposals.get(made.id).status, block(sandbox, order)) == ("executed", "")
    assert executor.undo(made.id, ADA, "enough").status == "undone"
    assert (block(sandbox, order), writes(sandbox, order)) == ("", 2)


def test_one_that_cannot_be_written_stops_no_other(
    propose: Propose, proposals: Proposals, executor: Executor, unblocked: Iterator[str], sandbox: Sandbox, order: str
) -> None:
    first, second = propose(block="far too long"), propose(to=next(unblocked))
    for each in (first, second):
        proposals.approve(each.id, ADA)
    assert {each.proposal.id: each.proposal.status for each in executor.execute_all()} == {first.id: "refused", second.id: "executed"}
    assert list(executor.execute_all()) == []


def test_a_proposal_is_found_by_its_decision_too(propose: Propose, proposals: Proposals) -> None:
    made = propose()
    assert proposals.get(made.decision[:10]) == proposals.get(made.id)
    with pytest.raises(AgentError, match="there is no proposal ''"):
        proposals.get("")


FORGED = {
    "approved by a row alone": "UPDATE pilothouse.proposals SET status = 'approved'",
    "an approval that only the remarks know": """
        INSERT INTO pilothouse.remarks (proposal, number, revision, by, verb, why, at)
            SELECT id, 1, 1, 'ada', 'approve', '', now() FROM pilothouse.proposals;
        UPDATE pilothouse.proposals SET status = 'approved'""",
}
TAMPERED = {
    "another order": "UPDATE pilothouse.proposals SET action = replace(action::text, :order, :other)::json",
    "another value": "UPDATE pilothouse.proposals SET action = replace(action::text, 'Z1', 'Z9')::json",
    "another system": "UPDATE pilothouse.proposals SET target = 'crm'",
    "another revision": "UPDATE pilothouse.proposals SET revision = 2",
    "another author": "UPDATE pilothouse.proposals SET proposed_by = 'data_steward'",
    "a name of its own": "UPDATE pilothouse.proposals SET action = replace(action::text, 'hold-', 'mine-')::json",
}


@pytest.mark.parametrize("forged", FORGED.values(), ids=FORGED)
def test_a_database_that_says_approved_is_not_believed(
    propose: Propose, proposals: Proposals, executor: Executor, database: Database, sandbox: Sandbox, order: str, forged: str
) -> None:
    made = propose()
    with database.begin() as connection:
        connection.execute(sa.text(forged))
    with pytest.raises(AccessDenied, match="tells of 0 approvals of this write, and it takes 1"):
        executor.execute(made.id)
    assert (proposals.get(made.id).status, writes(sandbox, order)) == ("refused", 0)


@pytest.mark.parametrize("tampered", TAMPERED.values(), ids=TAMPERED)
def test_a_proposal_that_was_changed_after_its_approval_is_not_written(
    propose: Propose,
    proposals: Proposals,
    executor: Executor,
    database: Database,
    unblocked: Iterator[str],
    sandbox: Sandbox,
    order: str,
    tampered: str,
) -> None:
    made, other = propose(), next(unblocked)
    proposals.approve(made.id, ADA)
    with database.begin() as connection:
        connection.execute(sa.text(tampered), {"order": order, "other": other} if ":other" in tampered else {})
    (tried,) = executor.execute_all()
    assert (tried.proposal.status, writes(sandbox, order), writes(sandbox, other)) == ("refused", 0, 0)
    assert "is not written" in tried.said


def test_a_smaller_amount_or_other_roles_in_the_row_make_nobody_an_approver(
    propose: Propose, proposals: Proposals, executor: Executor, database: Database, sandbox: Sandbox, order: str
) -> None:
    dear, foreign = propose(60_000), propose(500)
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE pilothouse.proposals SET amount = 5, roles = '{sales}'"))
    proposals.approve(dear.id, Principal("eve", "sales", Decimal(1_000)))
    proposals.approve(foreign.id, DAN)
    assert {each.proposal.status for each in executor.execute_all()} == {"refused"}
    assert writes(sandbox, order) == 0


def test_an_approval_serves_once_and_not_where_somebody_else_said_no(
    propose: Propose, proposals: Proposals, executor: Executor, database: Database, sandbox: Sandbox, order: str
) -> None:
    def again() -> str:
        with database.begin() as connection:
            connection.execute(sa.text("UPDATE pilothouse.proposals SET status = 'approved', said = ''"))
        (tried,) = executor.execute_all()
        return tried.said

    dear = propose(60_000)
    for each in (ADA, BEN):
        proposals.approve(dear.id, each)
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE pilothouse.proposals SET status = 'open'"))
    proposals.reject(dear.id, Principal("eve", "credit_manager"), "a good customer")
    assert "tells of its rejection already" in again()
    with database.begin() as connection:
        connection.execute(sa.text("DELETE FROM pilothouse.remarks; DELETE FROM pilothouse.proposals"))
    made = propose()
    proposals.approve(made.id, ADA)
    executor.execute(made.id)
    executor.undo(made.id, ADA, "he paid")
    assert "tells of its execution already" in again()
    assert (block(sandbox, order), writes(sandbox, order)) == ("", 2)


def test_who_edited_a_proposal_stays_its_author_whatever_the_remarks_say(
    propose: Propose, proposals: Proposals, executor: Executor, database: Database, sandbox: Sandbox, order: str
) -> None:
    made = propose()
    proposals.edit(made.id, ADA, {"DeliveryBlockReason": "Z2"}, "the softer block")
    with database.begin() as connection:
        connection.execute(sa.text("DELETE FROM pilothouse.remarks"))
    proposals.approve(made.id, ADA)
    with pytest.raises(AccessDenied, match="nobody approves their own"):
        executor.execute(made.id)
    assert writes(sandbox, order) == 0


def test_a_plan_or_a_receipt_that_was_put_there_is_not_used(
    propose: Propose,
    proposals: Proposals,
    executor: Executor,
    database: Database,
    target: Callable[[str], AbstractContextManager[Target]],
    unblocked: Iterator[str],
    sandbox: Sandbox,
    order: str,
) -> None:
    made, other = propose(), next(unblocked)
    proposals.approve(made.id, ADA)
    with target("s4") as opened:
        foreign = opened.plan(Action(key="x", record="sales_order", identity={"SalesOrder": other}, values={"DeliveryBlockReason": "Z9"}))
    put = sa.text("UPDATE pilothouse.proposals SET status = :status, plan = :plan, receipt = :receipt")
    with database.begin() as connection:
        connection.execute(put, {"status": "approved", "plan": encode(foreign), "receipt": None})
    with pytest.raises(AccessDenied, match="its plan is of another write"):
        executor.execute(made.id)
    receipt = Receipt(plan=foreign, identity={"SalesOrder": other}, after={"DeliveryBlockReason": ""}, token=foreign.token)
    with database.begin() as connection:
        connection.execute(put, {"status": "executed", "plan": None, "receipt": encode(receipt)})
    with pytest.raises(AccessDenied, match="receipt is not the one"):
        executor.undo(made.id, ADA, "please")
    assert (writes(sandbox, order), writes(sandbox, other)) == (0, 0)


def test_entries_that_somebody_else_signed_prove_nothing(
    propose: Propose, proposals: Proposals, executor: Executor, database: Database, tmp_path: Path, sandbox: Sandbox, order: str
) -> None:
    made = propose()
    forger = Ledger(database, Signer.open(tmp_path / "forger.pem"))
    Proposals(database, forger, POLICY, timedelta(days=3)).approve(made.id, ADA, "as if I were her")
    with pytest.raises(AccessDenied, match="tells of 0 approvals"):
        executor.execute(made.id)
    assert writes(sandbox, order) == 0


def test_two_executors_write_once(propose: Propose, proposals: Proposals, executor: Executor, sandbox: Sandbox, order: str) -> None:
    made = propose()
    proposals.approve(made.id, ADA)

    def attempt(_: int) -> None:
        with suppress(CommitConflict):
            executor.execute(made.id)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(attempt, range(8)))
    executor.execute(made.id)
    assert writes(sandbox, order) == 1


def test_a_token_that_was_put_into_the_database_is_nobodys(database: Database, key: Path, tmp_path: Path) -> None:
    declared = {name: PrincipalSettings(role=role) for name, role in (("root", "admin"), ("dan", "sales"))}
    people = Principals(database, declared, Signer.open(key))
    forged = Principals(database, declared, Signer.open(tmp_path / "forger.pem")).issue("root", "me")
    with pytest.raises(AccessDenied, match="nobody's"):
        people.by_token(forged)
    people.issue("root", "root")
    mine = people.issue("dan", "root")
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE pilothouse.principals SET token_hash = NULL WHERE name = 'root'"))
        taken = connection.scalar(sa.text("SELECT token_hash FROM pilothouse.principals WHERE name = 'dan'"))
        connection.execute(sa.text("UPDATE pilothouse.principals SET token_hash = NULL WHERE name = 'dan'"))
        connection.execute(sa.text("UPDATE pilothouse.principals SET token_hash = :taken WHERE name = 'root'"), {"taken": taken})
    with pytest.raises(AccessDenied, match="nobody's"):
        people.by_token(mine)


def test_a_token_proves_who_somebody_is(database: Database, key: Path) -> None:
    people = Principals(database, {"ada": PrincipalSettings(role="credit_manager", limit=Decimal(5))}, Signer.open(key))
    token = people.issue("ada", "eve")
    assert people.by_token(token) == Principal("ada", "credit_manager", Decimal(5))
    with database.reading() as connection:
        assert token.encode() not in (connection.scalar(sa.text("SELECT token_hash FROM pilothouse.principals")) or b"")
    newer = people.issue("ada", "eve")
    for void in (token, "guessed", ""):
        with pytest.raises(AccessDenied, match="nobody's"):
            people.by_token(void)
    assert people.revoke("ada", "eve")
    with pytest.raises(AccessDenied, match="nobody's"):
        people.by_token(newer)
    with pytest.raises(AccessDenied, match="no principal 'eve'"):
        people.issue("eve", "eve")


VICTIM = """
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from connectors.sap import KIND
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.approvals.executor import Executor
from pilothouse.approvals.policy import Policy
from pilothouse.approvals.proof import Proof
from pilothouse.approvals.proposals import Proposals
from pilothouse.kernel.database import Database
url, key, sap, user, password = sys.argv[1:6]
database = Database(url)
ledger, policy = Ledger(database, Signer.open(Path(key))), Policy(four_eyes_above=Decimal(50_000))
proposals = Proposals(database, ledger, policy, timedelta(days=3))
options = KIND.options.model_validate({"url": sap, "user": user, "password": password})
executor = Executor(database, proposals, Proof(ledger, policy), lambda name: KIND.target(name, options))
print("ready", flush=True)
for line in sys.stdin:
    executor.execute(line.strip())
    print("done", flush=True)
"""


def test_a_kill_at_any_moment_writes_once(
    propose: Propose, proposals: Proposals, executor: Executor, database: Database, key: Path, sandbox: Sandbox, order: str
) -> None:
    """A few of the thousand kills of `bench/writeback.py`: whatever the moment, the next run finishes the work, and it was done once."""
    options, before = sandbox.options("sap"), 0
    command = [sys.executable, "-c", VICTIM, database.url, str(key), options["url"], options["user"], options["password"]]
    for trial, delay in enumerate((0.0, 0.01, 0.02, 0.04)):
        made = propose(block="Z1" if trial % 2 == 0 else "Z2")
        proposals.approve(made.id, ADA)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            process.stdin.write(made.id + "\n")
            process.stdin.flush()
            time.sleep(delay)
            process.send_signal(signal.SIGKILL)
            process.wait()
        _in_the_end(lambda identity=made.id: executor.execute(identity))  # type: ignore[misc]
        assert (block(sandbox, order), writes(sandbox, order) - before) == ("Z1" if trial % 2 == 0 else "Z2", 1)
        before = writes(sandbox, order)


def _in_the_end(execute: Callable[[], Proposal]) -> None:
    """PostgreSQL gives a dead process's lock back once it notices."""
    for _ in range(100):
        try:
            execute()
        except CommitConflict:
            time.sleep(0.05)
        else:
            return
    pytest.fail("the lock of a dead executor is never given back")
