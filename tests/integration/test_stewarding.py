"""From a source that describes itself otherwise, through the steward's round and a person's yes, to the next sync, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from assets.data_docs import check_tables
from assets.loading import Load
from assets.own_records import OWN, RULE
from assets.syncing import sync_stream
from connectors.target import Action
from pilothouse.agents.deciding import Came
from pilothouse.agents.toolset.stewardship import Asked
from pilothouse.agents.toolset.stewardship.drift import OfDrift
from pilothouse.agents.toolset.stewardship.held import OfHeld
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proposals import Proposal
from pilothouse.cli.app import app
from pilothouse.kernel.errors import Conflict, SourceContractChanged, TargetError
from pilothouse.kernel.lake.current import current
from tests.integration.conftest import Project

STEWARD = Principal("sue", "data_steward")


def cli(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.output)


def statuses(project: Project, stream: str) -> list[str]:
    """What was noted of a stream's schema, the oldest first."""
    table = project.platform.lake.raw("pilothouse", "stream_drift")
    return table.scan().sort("_seen_at").collect().filter(stream=stream)["status"].to_list() if table.exists() else []


def refused(project: Project, stream: str) -> None:
    """A sync that is refused, and another that runs into the same."""
    for _ in range(2):
        with pytest.raises(SourceContractChanged):
            sync_stream(project.platform, "s4", stream)


def decided_on(project: Project, asked: Asked) -> Came:
    """What the steward decides on something, by itself where it was woken, or where somebody asks."""
    deciding = project.platform.deciding("data_steward")
    came = [each for each in deciding.decide() if each.occasion.key == asked.key]
    if not came:
        deciding.inbox.asked([asked.key], "sue")
        came = [each for each in deciding.decide() if each.occasion.key == asked.key]
    (only,) = came
    return only


def decided(project: Project, stream: str) -> Came:
    """What it decides on a stream's schema."""
    return decided_on(project, OfDrift(source="s4", stream=stream))


def approved(project: Project, came: Came) -> Proposal:
    """What a decision proposes, with a yes."""
    assert came.capsule is not None
    (made,) = project.platform.proposals.of([came.capsule.digest])
    return project.platform.proposals.approve(made.id, STEWARD)


def proposed(project: Project, stream: str) -> Proposal:
    """What it proposes there, approved."""
    return approved(project, decided(project, stream))


@pytest.fixture
def gone(project: Project, request: pytest.FixtureRequest) -> Iterator[str]:
    """A stream of which a column vanishes that nothing reads."""
    stream, entity, field = request.param
    sync_stream(project.platform, "s4", stream)
    with project.sandbox.fault("field_vanishes", server="sap", entity=entity, field=field):
        refused(project, stream)
        yield stream


@pytest.mark.parametrize("gone", [("product", "Product", "VolumeUnit")], indirect=True)
def test_a_sync_that_refuses_wakes_the_steward_and_a_yes_lets_the_next_one_read_on(project: Project, gone: str) -> None:
    came = decided(project, gone)
    assert (came.occasion.event["topic"], came.output["action"]) == ("stream.refused", "accept")
    assert came.output["differences"][0]["read_by"] == []
    assert came.capsule is not None
    (made,) = project.platform.proposals.of([came.capsule.digest])
    assert (made.change, made.synthetic) == ({"status": ["refused", "accepted"]}, True)
    project.platform.proposals.approve(made.id, STEWARD)
    assert project.platform.executor.execute(made.id).status == "executed"
    assert sync_stream(project.platform, "s4", gone).drift == ("column 'VolumeUnit' (string) is gone",)
    assert statuses(project, gone) == ["refused", "accepted"]
    assert decided(project, gone).output["action"] == "leave"
    assert cli("replay", came.capsule.digest)["identical"]
    (source,) = cli("why", came.capsule.digest)["sources"]
    assert (source["table"], source["then"]) == ("raw/pilothouse/stream_drift", {"source": "s4", "stream": gone})


@pytest.mark.parametrize("gone", [("billing_document", "BillingDocument", "SalesOrganization")], indirect=True)
def test_before_anything_was_loaded_by_it_a_yes_is_taken_back(project: Project, gone: str) -> None:
    made = proposed(project, gone)
    project.platform.executor.execute(made.id)
    assert project.platform.executor.undo(made.id, STEWARD, "they put it back tomorrow").status == "undone"
    refused(project, gone)
    assert statuses(project, gone) == ["refused", "accepted", "refused"]
    assert list(project.platform.ledger.verify()) == []


@pytest.mark.parametrize("accepted", [False, True])
def test_what_a_source_goes_back_from_is_gone(project: Project, accepted: bool) -> None:
    """Refused, or accepted and not yet loaded by."""
    stream = "billing_document"
    sync_stream(project.platform, "s4", stream)
    with project.sandbox.fault("field_vanishes", server="sap", entity="BillingDocument", field="SalesOrganization"):
        refused(project, stream)
        if accepted:
            made = proposed(project, stream)
            project.platform.executor.execute(made.id)
    for _ in range(2):
        sync_stream(project.platform, "s4", stream)
    assert statuses(project, stream)[-2:] == ["accepted" if accepted else "refused", "gone"]
    assert decided(project, stream).output["action"] == "leave"


@pytest.mark.parametrize("gone", [("business_partner", "BusinessPartner", "BusinessPartnerGrouping")], indirect=True)
def test_what_was_loaded_by_is_not_taken_back_and_the_reason_is_told(project: Project, gone: str) -> None:
    made = proposed(project, gone)
    project.platform.executor.execute(made.id)
    project.sandbox.beat(120)
    assert sync_stream(project.platform, "s4", gone).upserts > 0
    with pytest.raises(TargetError, match="rows were loaded since the change was accepted") as told:
        project.platform.executor.undo(made.id, STEWARD, "wrong")
    assert "have the source go back" in told.value.hint
    assert (project.platform.proposals.get(made.id).status, statuses(project, gone)) == ("executed", ["refused", "accepted"])
    sync_stream(project.platform, "s4", gone)
    assert statuses(project, gone)[-1] == "accepted"  # what was loaded by is no difference any more, and not gone


@pytest.mark.parametrize("gone", [("sales_order", "SalesOrder", "SalesOffice")], indirect=True)
def test_what_the_source_says_by_the_time_of_the_write_is_not_accepted_unseen(project: Project, gone: str) -> None:
    made = proposed(project, gone)
    with project.sandbox.fault("field_vanishes", server="sap", entity="SalesOrder", field="TotalNetAmount"):
        with pytest.raises(Conflict, match="status: was 'refused', ours 'accepted', now 'gone'"):
            project.platform.executor.execute(made.id)
        refused(project, gone)
        came = decided(project, gone)
        assert came.output["action"] == "ask"
        read_by = {each["column"]: each["read_by"] for each in came.output["differences"]}
        assert read_by["SalesOffice"] == []
        assert "staging/stg_s4__sales_order" in read_by["TotalNetAmount"]
        assert any(each.startswith("rule ") for each in read_by["TotalNetAmount"])
        assert project.platform.proposals.get(made.id).status == "conflict"
    assert statuses(project, gone) == ["refused", "refused"]


def test_what_the_policy_blocks_is_for_the_source_to_mend(project: Project) -> None:
    sync_stream(project.platform, "s4", "outbound_delivery")
    with project.sandbox.fault("field_retyped", server="sap", entity="OutbDeliveryHeader", field="ActualGoodsMovementDate", to="bool"):
        refused(project, "outbound_delivery")
        came = decided(project, "outbound_delivery")
    assert (came.output["action"], came.output["proposal"]) == ("mend", None)


def test_a_person_accepts_by_a_command_and_is_named(project: Project) -> None:
    sync_stream(project.platform, "s4", "sales_order_item")
    with project.sandbox.fault("field_renamed", server="sap", entity="SalesOrderItem", field="StorageLocation", to="StorageBin"):
        (difference,) = [each for each in cli("drift", "show") if each["stream"] == "s4/sales_order_item"]
        assert difference["kind"] == "renamed"
        assert cli("drift", "accept", "s4/sales_order_item") == [difference["difference"]]
        sync_stream(project.platform, "s4", "sales_order_item")
        assert statuses(project, "sales_order_item") == ["refused", "accepted"]
    notes = project.platform.lake.raw("pilothouse", "stream_drift").scan().sort("_seen_at").collect().filter(stream="sales_order_item")
    assert "a sync" not in notes["noted_by"]
    assert notes["_synthetic"].all()


# -- rules -------------------------------------------------------------------------------------------------------------

GRADE = OfHeld(source="bureau", stream="credit_rating", rule="grade is known")
RATINGS = "raw/bureau/credit_rating"


@pytest.fixture
def bureau(project: Project) -> None:
    """The ratings of two days ago and before, loaded: so what changes an hour later each time is read once, as if time had passed."""
    with psycopg.connect(project.sandbox.warehouse_url, autocommit=True) as connection:
        connection.execute("UPDATE warehouse.credit_rating SET updated_at = updated_at - interval '2 days'")
    sync_stream(project.platform, "bureau", "credit_rating")


def graded(project: Project, grade: str, count: int) -> Load:
    """The bureau gives a grade to so many firms that had another, an hour after anything else, and a sync brings it."""
    with psycopg.connect(project.sandbox.warehouse_url, autocommit=True) as connection:
        changed = connection.execute(
            "UPDATE warehouse.credit_rating SET rating_grade = %s, updated_at = (SELECT max(updated_at) FROM warehouse.credit_rating)"
            " + interval '1 hour' WHERE rating_id IN"
            " (SELECT rating_id FROM warehouse.credit_rating WHERE rating_grade NOT IN (%s, 'F') ORDER BY rating_id LIMIT %s)",
            [grade, grade, count],
        )
        assert changed.rowcount == count
    return sync_stream(project.platform, "bureau", "credit_rating")


def loaded(project: Project, grade: str) -> int:
    """The ratings of a grade, as the raw table has them."""
    return current(project.platform.lake.table(RATINGS).scan()).filter(rating_grade=grade).collect().height


def test_a_rule_that_is_behind_the_world_is_changed_and_what_it_held_is_released(project: Project, bureau: None) -> None:
    platform = project.platform
    assert graded(project, "F", 30).rejected == 30
    graded(project, "A", 1)  # from here on the ratings before it are not read again
    came = decided_on(project, GRADE)
    assert (came.output["action"], came.output["rows"]) == ("change", 30)
    made = approved(project, came)
    before, after = (json.loads(str(each))["value_set"] for each in made.change["arguments"])
    assert (before, after) == ([*"ABCDE"], [*"ABCDEF"])
    assert platform.executor.execute(made.id).status == "executed"

    load = graded(project, "F", 5)
    assert (load.rejected, loaded(project, "F")) == (0, 5)
    checked = {each.rule.name: each for result in check_tables(platform) if result.name == RATINGS for each in result.report.results}
    assert checked[GRADE.rule].success  # Data Docs judge by the same rule

    release = decided_on(project, GRADE)
    assert (release.occasion.event["topic"], release.output["action"], release.output["rows"]) == ("rule.changed", "release", 30)
    assert "takes all of these rows" in release.output["reasons"][0]
    assert platform.executor.execute(approved(project, release).id).status == "executed"
    assert loaded(project, "F") == 35
    assert [each for each in cli("quarantine", "list") if each["rule"] == GRADE.rule] == []

    graded(project, "B", 1)
    assert platform.executor.undo(made.id, STEWARD, "F is no grade after all").status == "undone"
    assert platform.rules("bureau", "credit_rating") == platform.source("bureau").rules("credit_rating")
    assert graded(project, "F", 3).rejected == 3
    assert came.capsule is not None
    assert cli("replay", came.capsule.digest)["identical"]
    assert {each["table"] for each in cli("why", came.capsule.digest)["sources"]} == {"raw/pilothouse/held_rule"}
    assert list(platform.ledger.verify()) == []


def test_a_check_tells_what_its_rule_takes(project: Project) -> None:
    sync_stream(project.platform, "bureau", "credit_rating")
    rule = next(each for each in project.platform.source("bureau").rules("credit_rating") if each.name == GRADE.rule)
    arguments = json.dumps({"column": "rating_grade", "value_set": [*"ABCDEFG"]})
    action = Action(key="g", record=RULE, identity=GRADE.model_dump(), values={"arguments": arguments})
    with project.platform.target(OWN) as target:
        receipt = target.execute(target.plan(action))
        result = project.run("sync_bureau", RATINGS)
        (check,) = [each for each in result.get_asset_check_evaluations() if each.check_name == "grade_is_known"]
        assert json.loads(str(check.metadata["arguments"].value)) == json.loads(arguments)
        target.undo(receipt)
    assert rule in project.platform.rules("bureau", "credit_rating")
