"""The promises that every target keeps, over every kind of source that can be written to: once, conditionally, and so that it
can be taken back. The judge is the company's own log of changes, which holds each write that went through."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import psycopg
import pytest

from connectors.connector import ConnectorKind
from connectors.http import client
from connectors.http.retry import Retry
from connectors.target import Action, Target, Value, decode_plan, decode_receipt, encode
from pilothouse.kernel.errors import Conflict, TargetError, TargetForbids, TargetUnavailable
from pilothouse.kernel.registry import discover
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.sandbox.company.salesforce import record_id
from tests.contract.sandbox_process import Sandbox

KINDS = {name: kind for name, kind in discover("connectors", ConnectorKind).items() if kind.target is not None}
# kind → the record and its key, its table, the field that an agent sets, two values of it, and another field of the record
CASES: dict[str, tuple[str, str, str, str, tuple[str, str], tuple[str, str]]] = {
    "sap": ("sales_order", "SalesOrder", "sap_SalesOrder", "DeliveryBlockReason", ("Z1", "Z2"), ("PurchaseOrderByCustomer", "PO 4711")),
    "salesforce": ("Account", "Id", "salesforce_Account", "Payment_Behaviour__c", ("Poor", "Mixed"), ("AccountNumber", "4711")),
}


@dataclass
class Case:
    """One kind of target, and a record of its own for each test."""

    kind: ConnectorKind
    sandbox: Sandbox
    key: str

    @contextmanager
    def target(self, **different: Any) -> Iterator[Target]:
        assert self.kind.target is not None
        options = self.kind.options.model_validate({**self.sandbox.options(self.kind.name), **different})
        with self.kind.target("source", options) as target:
            yield target

    @property
    def field(self) -> str:
        return CASES[self.kind.name][3]

    @property
    def values(self) -> tuple[str, str]:
        return CASES[self.kind.name][4]

    def action(self, value: str | None = None, key: str = "", field: str | None = None) -> Action:
        record, name, *_ = CASES[self.kind.name]
        return Action(
            key=key or f"act-{self.key}", record=record, identity={name: self.key}, values={field or self.field: value or self.values[0]}
        )

    def now(self, field: str | None = None) -> Value:
        _, name, table, *_ = CASES[self.kind.name]
        (value,) = next(self.sandbox.store().rows(f'SELECT "{field or self.field}" FROM {table} WHERE "{name}" = ?', [self.key]))
        return value if isinstance(value, str | int | float) else None

    def writes(self) -> int:
        """How often the record has been changed, by the company's own log."""
        table = CASES[self.kind.name][2]
        (count,) = next(
            self.sandbox.store().rows("SELECT COUNT(*) FROM changes WHERE entity = ? AND key LIKE ?", [table, f'%"{self.key}"%'])
        )
        assert isinstance(count, int)
        return count


@pytest.fixture(scope="module")
def sandbox(postgres_server: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    with psycopg.connect(postgres_server.url(), autocommit=True) as connection:
        connection.execute("CREATE DATABASE targets")
    with Sandbox.started(tmp_path_factory.mktemp("sandbox"), postgres_server.url("targets")) as sandbox:
        yield sandbox


@pytest.fixture(scope="module")
def unused(sandbox: Sandbox) -> dict[str, Iterator[str]]:
    """Records that no test has touched yet."""
    living = {"sap": "\"DeliveryBlockReason\" = ''", "salesforce": '"IsDeleted" = 0'}
    return {
        kind: iter([str(key) for (key,) in sandbox.store().rows(f'SELECT "{name}" FROM {table} WHERE {living[kind]} ORDER BY 1')])
        for kind, (_, name, table, *_) in CASES.items()
    }


@pytest.fixture(params=sorted(KINDS))
def case(request: pytest.FixtureRequest, sandbox: Sandbox, unused: dict[str, Iterator[str]]) -> Case:
    return Case(KINDS[request.param], sandbox, next(unused[request.param]))


def test_every_kind_that_can_be_written_to_has_a_case() -> None:
    assert sorted(CASES) == sorted(KINDS)


def test_a_plan_shows_what_would_change_and_changes_nothing(case: Case) -> None:
    before, writes = case.now(), case.writes()
    with case.target() as target:
        (difference,) = target.plan(case.action()).differences()
    assert (difference.field, difference.before, difference.ours) == (case.field, before, case.values[0])
    assert (case.now(), case.writes()) == (before, writes)


def test_a_write_is_read_back_and_undone(case: Case) -> None:
    before = case.now()
    with case.target() as target:
        receipt = target.execute(target.plan(case.action()))
        assert (case.now(), dict(receipt.after), receipt.found) == (case.values[0], {case.field: case.values[0]}, False)
        undone = target.undo(receipt)
    assert (case.now() or None, undone.found) == (before or None, False)


def test_a_plan_and_a_receipt_survive_being_kept(case: Case) -> None:
    with case.target() as target:
        plan = target.plan(case.action())
        assert decode_plan(encode(plan)) == plan
        receipt = target.execute(decode_plan(encode(plan)))
        assert decode_receipt(encode(receipt)) == receipt
        target.undo(decode_receipt(encode(receipt)))


def test_a_plan_executed_again_writes_nothing_more(case: Case) -> None:
    with case.target() as target:
        plan = target.plan(case.action())
        target.execute(plan)
        writes = case.writes()
        again = target.execute(plan)
    assert (again.found, case.writes()) == (True, writes)


def test_a_write_that_went_through_before_a_crash_is_found_done(case: Case) -> None:
    with case.target() as target:
        plan = target.plan(case.action())
        writes = case.writes()
        target._records.change(plan.action.record, plan.action.identity, plan.action.values, plan.token)  # and nobody lives to tell
    with case.target() as target:
        receipt = target.execute(plan)
    assert (receipt.found, case.now(), case.writes()) == (True, case.values[0], writes + 1)


def test_a_record_that_changed_after_the_plan_is_not_overwritten(case: Case) -> None:
    with case.target() as target:
        plan = target.plan(case.action())
        target.execute(target.plan(case.action(case.values[1], key="somebody else")))
        writes = case.writes()
        with pytest.raises(Conflict, match="has changed since") as told:
            target.execute(plan)
    assert (case.now(), case.writes()) == (case.values[1], writes)
    assert case.values[0] in str(told.value)
    assert case.values[1] in str(told.value)


def test_an_undo_shows_a_conflict_where_our_field_was_changed_since(case: Case) -> None:
    with case.target() as target:
        receipt = target.execute(target.plan(case.action()))
        target.execute(target.plan(case.action(case.values[1], key="somebody else")))
        with pytest.raises(Conflict, match=case.values[1]):
            target.undo(receipt)
    assert case.now() == case.values[1]


def test_an_undo_leaves_alone_what_others_changed_beside_it(case: Case) -> None:
    other, value = CASES[case.kind.name][5]
    before = case.now()
    with case.target() as target:
        receipt = target.execute(target.plan(case.action()))
        target.execute(target.plan(case.action(value, key="somebody else", field=other)))
        target.undo(receipt)
    assert (case.now() or None, case.now(other)) == (before or None, value)


def test_an_undo_that_comes_twice_finds_it_done(case: Case) -> None:
    with case.target() as target:
        receipt = target.execute(target.plan(case.action()))
        target.undo(receipt)
        writes = case.writes()
        assert target.undo(receipt).found
    assert case.writes() == writes


def test_a_record_that_is_not_there_cannot_be_planned_upon(case: Case) -> None:
    action = case.action()
    nobody = record_id("Account", 999_999) if case.kind.name == "salesforce" else "9999999"
    gone = replace(action, identity=dict.fromkeys(action.identity, nobody))
    with case.target() as target, pytest.raises(TargetError, match="there is no"):
        target.plan(gone)


def test_a_record_that_somebody_has_open_may_be_tried_again(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "Retry", partial(Retry, attempts=2, base=0.01))
    with case.target() as target:
        plan = target.plan(case.action())
        with case.sandbox.fault("locked_row", server=case.kind.name), pytest.raises(TargetUnavailable) as told:
            target.execute(plan)
        assert told.value.transient
        assert target.execute(plan).found is False


def test_wrong_credentials_are_told_as_such(case: Case) -> None:
    wrong = {"sap": {"password": "wrong"}, "salesforce": {"client_secret": "wrong"}}[case.kind.name]
    with case.target(**wrong) as target, pytest.raises(TargetForbids, match=r"401|refused") as told:
        target.plan(case.action())
    assert "PILOTHOUSE_SOURCES__SOURCE__" in told.value.hint


def test_a_user_who_may_not_write_is_told_so_and_the_plan_holds(case: Case) -> None:
    with case.target() as target:
        plan = target.plan(case.action())
        with case.sandbox.fault("not_authorized", server=case.kind.name), pytest.raises(TargetForbids) as told:
            target.execute(plan)
        assert "user" in told.value.hint
        assert target.execute(plan).found is False


# -- what is created --------------------------------------------------------------------------------------------------


@pytest.fixture
def task(sandbox: Sandbox) -> Action:
    (account,) = next(sandbox.store().rows('SELECT "Id" FROM salesforce_Account WHERE "IsDeleted" = 0 ORDER BY "Id" DESC'))
    values = {"Subject": "Ask for prepayment", "WhatId": str(account), "Status": "Not Started", "ActivityDate": "2026-07-01"}
    return Action(key=f"task-{secrets.token_hex(4)}", record="Task", values=values)


@pytest.fixture
def salesforce(sandbox: Sandbox) -> Case:
    return Case(KINDS["salesforce"], sandbox, "")


def tasks(sandbox: Sandbox, action: Action) -> list[tuple[Any, ...]]:
    return list(sandbox.store().rows('SELECT "Subject", "IsDeleted" FROM salesforce_Task WHERE "Pilothouse_Key__c" = ?', [action.key]))


def test_a_record_is_created_once_however_often_it_is_tried(salesforce: Case, sandbox: Sandbox, task: Action) -> None:
    with salesforce.target() as target:
        plan = target.plan(task)
        assert plan.before is None
        first = target.execute(plan)
        again = target.execute(plan)
    assert (first.found, again.found, first.identity) == (False, True, again.identity)
    assert tasks(sandbox, task) == [("Ask for prepayment", 0)]


def test_what_was_created_is_taken_away_again_unless_somebody_worked_on_it(salesforce: Case, sandbox: Sandbox, task: Action) -> None:
    with salesforce.target() as target:
        receipt = target.execute(target.plan(task))
        worked = Action(key="a person", record="Task", identity=receipt.identity, values={"Status": "Completed"})
        target.execute(target.plan(worked))
        with pytest.raises(Conflict, match="Completed"):
            target.undo(receipt)
        target.execute(target.plan(replace(worked, values={"Status": "Not Started"})))
        assert target.undo(receipt).found is False
        assert target.undo(receipt).found is True
    assert tasks(sandbox, task) == [("Ask for prepayment", 1)]


def test_sap_documents_are_changed_and_never_made(sandbox: Sandbox) -> None:
    action = Action(key="k", record="sales_order", values={"SalesOrderType": "OR"})
    with Case(KINDS["sap"], sandbox, "").target() as target, pytest.raises(TargetError, match="only changed here"):
        target.execute(target.plan(action))
