"""Steering by commands: from an event to a write in SAP that is taken back, and everybody who may not is told so."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any

import dagster as dg
import polars as pl
import pytest
from typer.testing import CliRunner

from assets.agents import WENT_THROUGH
from assets.resource import PlatformResource
from connectors.target import Action
from orchestration.agents import execution_job, execution_sensor
from pilothouse.agents.agent import Agent, Request
from pilothouse.agents.deciding import Deciding
from pilothouse.agents.tools import Calls
from pilothouse.agents.toolset.receivables import ACCOUNTS
from pilothouse.approvals.proposing import proposing
from pilothouse.cli.app import app
from pilothouse.kernel.events import Event
from pilothouse.local.admin import keep_local_token, local_token, token_file
from tests.integration.conftest import Project
from tests.unit.agents.test_deciding import AGENT, Held, Holding
from tests.unit.agents.test_running import publish

PEOPLE = """
[principals.root]
role = "admin"
[principals.ada]
role = "credit_manager"
limit = 100000
[principals.ben]
role = "credit_manager"
limit = 1000
[principals.dan]
role = "sales"
"""


def cli(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def refused(*arguments: str) -> str:
    answer = cli(*arguments, code=1)
    return f"{answer['error']}: {answer['message']} ({answer['hint']})"


@dataclass(frozen=True)
class Telling(Holding):
    """Proposes a second write beside the block."""

    also: Mapping[str, Any] = field(default_factory=dict)

    def decide(self, agent: Agent, request: Request, calls: Calls) -> Mapping[str, Any]:
        return {**super().decide(agent, request, calls), "proposals": [self.also]}


class OfFirm(Held):
    """Says which firm it is about."""

    firm_id: str = "s4:7"


@pytest.fixture(scope="module")
def unblocked(living_project: Project) -> Iterator[str]:
    rows = living_project.sandbox.store().rows("SELECT SalesOrder FROM sap_SalesOrder WHERE DeliveryBlockReason = '' ORDER BY 1")
    return iter([str(order) for (order,) in rows])


@pytest.fixture
def order(unblocked: Iterator[str]) -> str:
    return next(unblocked)


@pytest.fixture
def proposed(project: Project, order: str) -> Callable[..., str]:
    """The id of what an agent proposes, once it has heard of an order."""

    def made(amount: str = "5000.00", also: dict[str, Any] | None = None, agent: Agent = AGENT) -> str:
        platform = project.platform
        publish(platform.lake, (order, amount, True))
        platform.events.append([Event("order.created", order)])
        parts: dict[str, Any] = {name: getattr(platform, name) for name in ("lake", "database", "ledger", "pins")}
        agent = agent if also is None else replace(agent, brain=Telling(1_000, also))
        *_, came = Deciding(agent, **parts, follow=proposing(platform.proposals), patience=timedelta(days=1)).decide()
        assert came.capsule is not None
        return next(each.id for each in platform.proposals.all(decision=came.capsule.digest) if each.target == "s4")

    return made


@pytest.fixture
def owner(project: Project) -> None:
    """This machine's owner, as `up` lets them in."""
    keep_local_token(project.platform.settings, project.platform.principals)


@pytest.fixture
def people(project: Project, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """A project that declares who may approve; who gives the commands is changed by name."""
    file = project.file.with_name("people.toml")
    file.write_text(project.file.read_text() + PEOPLE)
    monkeypatch.setenv("PILOTHOUSE_CONFIG", str(file))
    tokens = {"root": cli("token", "root")["token"]}
    monkeypatch.setenv("PILOTHOUSE_TOKEN", tokens["root"])
    tokens |= {name: cli("token", name)["token"] for name in ("ada", "ben", "dan")}
    yield lambda name: monkeypatch.setenv("PILOTHOUSE_TOKEN", tokens[name])
    monkeypatch.setenv("PILOTHOUSE_TOKEN", tokens["root"])
    cli("token", "root", "--revoke")


def block(project: Project, order: str) -> str:
    (value,) = next(project.sandbox.store().rows("SELECT DeliveryBlockReason FROM sap_SalesOrder WHERE SalesOrder = ?", [order]))
    return str(value)


def write_in_sap(project: Project, order: str, value: str) -> None:
    with project.platform.source("s4").write() as target:
        target.execute(
            target.plan(Action(key="sap", record="sales_order", identity={"SalesOrder": order}, values={"DeliveryBlockReason": value}))
        )


def execute(project: Project) -> dict[str, Any]:
    result = project.run("execute_approved")
    assert result.success
    (event,) = result.asset_materializations_for_node("approvals__execution")
    (check,) = result.get_asset_check_evaluations()
    assert check.check_name == WENT_THROUGH
    return {**{label: value.value for label, value in event.metadata.items()}, "passed": check.passed}


Proposed = Callable[..., str]


def test_a_hold_is_approved_written_and_taken_back_by_commands(project: Project, owner: None, proposed: Proposed, order: str) -> None:
    made = proposed()
    shown = cli("proposals", made)
    assert shown["change"] == {"DeliveryBlockReason": ["", "01"]}
    assert (shown["needed"], shown["may_approve"], shown["status"]) == (1, {"admin": ""}, "open")
    assert made in [each["id"] for each in cli("proposals", "--status", "open")]
    assert cli("approve", made[:8], "--why", "agreed")["status"] == "approved"
    assert block(project, order) == ""  # an approval writes nothing by itself
    assert execute(project)["executed"] == 1
    assert block(project, order) == "01"
    assert cli("comment", made, "told sales")["status"] == "executed"
    assert cli("undo", made, "--why", "they paid")["status"] == "undone"
    assert block(project, order) == ""
    assert [each["verb"] for each in cli("proposals", made)["remarks"]] == ["approve", "comment", "undo"]
    assert execute(project)["executed"] == 0
    assert list(project.platform.ledger.verify()) == []


def test_an_approval_wakes_the_executor_once(project: Project, owner: None, proposed: Proposed) -> None:
    sensor = execution_sensor(project.platform, execution_job())
    with dg.DagsterInstance.ephemeral() as instance:
        context = dg.build_sensor_context(instance, resources={"platform": PlatformResource(project_file=str(project.file))})
        assert isinstance(sensor(context), dg.SkipReason)
        made = proposed()
        assert isinstance(sensor(context), dg.SkipReason)
        cli("approve", made)
        first, second = sensor(context), sensor(context)
        assert isinstance(first, dg.RunRequest)
        assert isinstance(second, dg.RunRequest)
        assert first.run_key == second.run_key  # Dagster starts one run of a key
        execute(project)
        assert isinstance(sensor(context), dg.SkipReason)


def test_an_undo_that_would_overwrite_somebody_shows_three_states(project: Project, owner: None, proposed: Proposed, order: str) -> None:
    made = proposed()
    cli("approve", made)
    execute(project)
    write_in_sap(project, order, "Z9")
    assert "Conflict: s4: sales_order" in (told := refused("undo", made, "--why", "x"))
    assert "was '01', ours '', now 'Z9'" in told
    assert block(project, order) == "Z9"
    shown = CliRunner().invoke(app, ["undo", made, "--why", "x"])
    assert re.search(r"field +as we left it +as it would be +as it is now\s+DeliveryBlockReason +01 +Z9", shown.stdout), shown.stdout
    assert cli("proposals", made)["status"] == "executed"


def test_what_cannot_be_taken_back_is_made_up_for_by_a_task_that_is_approved_and_written_like_any_write(
    project: Project, owner: None, proposed: Proposed, order: str
) -> None:
    store = project.sandbox.store()
    (account,) = next(store.rows('SELECT "Id" FROM salesforce_Account WHERE "IsDeleted" = 0 ORDER BY "Id"'))
    known = {"firm_id": "s4:7", "source": "crm", "record_id": account, "name": "Acme", "known_since": "2020", "_synthetic": True}
    project.platform.lake.table(ACCOUNTS).replace(pl.DataFrame([known]).to_arrow().to_reader())
    made = proposed(agent=replace(AGENT, output=OfFirm))
    cli("approve", made)
    execute(project)
    write_in_sap(project, order, "Z9")
    found = re.search(r"; (\w+) is proposed instead: `pilothouse proposals \1`", told := refused("undo", made, "--why", "they paid"))
    assert found, told
    offered = cli("proposals", found[1])
    assert (offered["compensates"], offered["target"], offered["status"]) == (made, "crm", "open")
    assert f"taking back {made}, which was refused" in CliRunner().invoke(app, ["proposals", found[1]]).stdout
    cli("approve", found[1])
    assert execute(project)["executed"] == 1
    tasks = store.rows('SELECT "Subject" FROM salesforce_Task WHERE "Pilothouse_Key__c" = ?', [f"{offered['action']['key']}"])
    assert list(tasks) == [(f"Could not be taken back: sales_order {order}, Acme",)]
    assert found[1] in CliRunner().invoke(app, ["show", offered["decision"]]).stdout


def test_an_order_that_somebody_blocked_meanwhile_is_told_by_the_executors_check(
    project: Project, owner: None, proposed: Proposed, order: str
) -> None:
    made = proposed()
    write_in_sap(project, order, "Z9")
    cli("approve", made)
    run = execute(project)
    assert (run["refused"], run["passed"]) == (1, False)
    assert cli("proposals", made)["status"] == "conflict"
    assert "is conflict" in refused("undo", made, "--why", "x")


def test_a_decision_may_propose_a_task_in_salesforce_beside_a_block_in_sap(
    project: Project, owner: None, proposed: Proposed, order: str
) -> None:
    store = project.sandbox.store()
    (account,) = next(store.rows('SELECT "Id" FROM salesforce_Account WHERE "IsDeleted" = 0 ORDER BY "Id"'))

    def tasks() -> list[Any]:
        return list(store.rows('SELECT "Subject", "IsDeleted" FROM salesforce_Task WHERE "WhatId" = ?', [str(account)]))

    before = tasks()
    values = {"Subject": f"Ask about order {order}", "WhatId": str(account), "Status": "Not Started"}
    made = proposed(also={"target": "crm", "record": "Task", "identity": {}, "values": values, "amount": "1"})
    block_, task = sorted(project.platform.proposals.all("open")[:2], key=lambda each: each.target, reverse=True)
    assert (block_.id, task.target) == (made, "crm")
    assert f"several proposals are meant by '{task.decision}'" in refused("approve", task.decision)
    for each in (block_, task):
        cli("approve", each.id)
    assert execute(project)["executed"] == 2
    assert [each for each in tasks() if each not in before] == [(values["Subject"], 0)]
    assert cli("undo", task.id, "--why", "settled")["status"] == "undone"
    assert [each for each in tasks() if each not in before] == [(values["Subject"], 1)]
    assert block(project, order) == "01"  # each is undone by itself


def test_an_event_that_is_told_twice_writes_once(project: Project, owner: None, proposed: Proposed, order: str) -> None:
    """Somebody who announces twice makes two decisions, and the second write finds that the order is not as its decision saw it."""
    made = [proposed(), proposed()]
    for each in made:
        cli("approve", each)
    run = execute(project)
    assert (run["executed"], run["refused"], run["passed"]) == (1, 1, False)
    assert sorted(cli("proposals", each)["status"] for each in made) == ["conflict", "executed"]
    changes = "SELECT COUNT(*) FROM changes WHERE entity = 'sap_SalesOrder' AND key = ?"
    assert next(project.sandbox.store().rows(changes, [f'["{order}"]'])) == (1,)


def test_what_our_user_may_not_write_is_told_by_the_check_and_written_once_he_may(
    project: Project, owner: None, proposed: Proposed, order: str
) -> None:
    made = proposed()
    cli("approve", made)
    with project.sandbox.fault("not_authorized", server="sap"):
        run = execute(project)
    assert (run["to_be_tried_again"], run["refused"], run["passed"], block(project, order)) == (1, 0, False, "")
    assert cli("proposals", made)["said"].startswith("not written yet: s4: sales_order")
    run = execute(project)
    assert (run["executed"], run["passed"], block(project, order)) == (1, True, "01")


def test_what_sap_is_too_busy_for_is_tried_again(project: Project, owner: None, proposed: Proposed, order: str) -> None:
    made = proposed()
    cli("approve", made)
    with project.sandbox.fault("locked_row", server="sap"):
        run = execute(project)
    assert (run["to_be_tried_again"], run["passed"], block(project, order)) == (1, True, "")
    assert execute(project)["executed"] == 1
    assert block(project, order) == "01"


def test_an_edit_shows_its_own_change_and_a_rejection_its_reason(
    project: Project, people: Callable[[str], None], proposed: Proposed
) -> None:
    made = proposed()
    people("ada")
    assert cli("edit", made, "DeliveryBlockReason=02", "--why", "softer")["change"] == {"DeliveryBlockReason": ["", "02"]}
    assert cli("proposals", made)["remarks"][-1]["change"] == {"DeliveryBlockReason": ["01", "02"]}
    assert "nobody approves their own" in refused("approve", made)
    assert "sets no field 'Colour'" in refused("edit", made, "Colour=red")
    assert "sets no field" in refused("edit", made, "red")
    assert "changes nothing" in refused("edit", made, "DeliveryBlockReason=02")
    assert cli("reject", made, "--why", "a good customer")["said"] == "rejected by ada: a good customer"
    assert "is rejected" in refused("approve", made)


def test_who_may_not_approve_is_refused_with_the_reason(project: Project, people: Callable[[str], None], proposed: Proposed) -> None:
    made = proposed()
    assert {name: bool(obstacle) for name, obstacle in cli("proposals", made)["may_approve"].items()} == {
        "root": False,
        "ada": False,
        "ben": True,
        "dan": True,
    }
    people("ben")
    assert "AccessDenied: ben approves up to 1,000, and this is about 5,000" in refused("approve", made)
    people("dan")
    assert "dan is sales, and this is for credit_manager" in refused("approve", made)
    assert "dan is sales" in refused("edit", made, "DeliveryBlockReason=02")
    assert cli("proposals", made)["status"] == "open"


def test_above_a_limit_a_second_person_must_say_yes(project: Project, people: Callable[[str], None], proposed: Proposed) -> None:
    made = proposed("90000.00")
    people("ada")
    assert "one more must approve it" in cli("approve", made)["said"]
    assert "has approved this already" in refused("approve", made)
    people("root")
    assert cli("approve", made)["said"] == "approved by ada and root"
    cli("token", "ada")


def test_tokens_are_issued_by_those_who_may(project: Project, people: Callable[[str], None], monkeypatch: pytest.MonkeyPatch) -> None:
    people("ben")
    assert "issues no token but their own" in refused("token", "ada")
    own = cli("token", "ben")["token"]
    assert "this token is nobody's" in refused("token", "ben")  # the old one is void
    monkeypatch.setenv("PILOTHOUSE_TOKEN", own)
    assert cli("token", "ben", "--revoke")["revoked"]
    assert "this token is nobody's" in refused("token", "ben")
    monkeypatch.delenv("PILOTHOUSE_TOKEN")
    assert "is issued by an administrator (ask root)" in refused("token", "root")  # one has a token: there is nothing to begin with
    assert "there is no principal 'eve'" in refused("token", "eve")
    told = [(event.topic, event.key, event.payload["by"]) for event in project.platform.events.read(topics=["token.*"])]
    assert told[-2:] == [("token.issued", "ben", "ben"), ("token.revoked", "ben", "ben")]


def test_without_a_token_nobody_is_let_in(
    project: Project, proposed: Proposed, people: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = proposed()
    monkeypatch.delenv("PILOTHOUSE_TOKEN")
    assert "nobody says who you are" in (told := refused("approve", made))
    assert "for root, ada, ben, dan" in told
    monkeypatch.setenv("PILOTHOUSE_TOKEN", "guessed")
    assert "this token is nobody's" in refused("approve", made)
    assert cli("proposals", made)["status"] == "open"


def test_the_owner_of_a_machine_is_let_in_by_a_file_that_nobody_else_reads(
    project: Project, owner: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = project.platform.settings
    file, token = token_file(settings), local_token(settings)
    assert file.stat().st_mode & 0o777 == 0o600
    keep_local_token(settings, project.platform.principals)
    assert local_token(settings) == token  # a second `up` changes nothing
    assert cli("token", "admin")["token"] == local_token(settings) != token
    monkeypatch.setenv("PILOTHOUSE_PRINCIPALS__ADA__ROLE", "admin")  # as soon as somebody is declared, the file counts no more
    assert "nobody says who you are" in refused("approve", "00")


def test_what_is_not_there_is_told(project: Project, owner: None) -> None:
    assert "there is no proposal 'ffffffff'" in refused("proposals", "ffffffff")
    assert "there is no status 'done'" in refused("proposals", "--status", "done")
