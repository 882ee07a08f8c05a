"""From a source that describes itself otherwise, through the steward's round and a person's yes, to the next sync, and back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner

from assets.syncing import sync_stream
from pilothouse.agents.deciding import Came
from pilothouse.agents.toolset.stewardship.drift import OfDrift
from pilothouse.approvals.principals import Principal
from pilothouse.approvals.proposals import Proposal
from pilothouse.cli.app import app
from pilothouse.kernel.errors import Conflict, SourceContractChanged, TargetError
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


def decided(project: Project, stream: str) -> Came:
    """What the steward decides on a stream, whether a round finds it or somebody asks."""
    deciding, key = project.platform.deciding("data_steward"), OfDrift(source="s4", stream=stream).key
    deciding.inbox.asked([key], "sue")
    (came,) = [each for each in deciding.decide() if each.occasion.key == key]
    return came


def proposed(project: Project, stream: str) -> Proposal:
    """What it proposes there, approved."""
    came = decided(project, stream)
    assert came.capsule is not None
    (made,) = project.platform.proposals.of([came.capsule.digest])
    return project.platform.proposals.approve(made.id, STEWARD)


@pytest.fixture
def gone(project: Project, request: pytest.FixtureRequest) -> Iterator[str]:
    """A stream of which a column vanishes that nothing reads."""
    stream, entity, field = request.param
    sync_stream(project.platform, "s4", stream)
    with project.sandbox.fault("field_vanishes", server="sap", entity=entity, field=field):
        refused(project, stream)
        yield stream


@pytest.mark.parametrize("gone", [("product", "Product", "VolumeUnit")], indirect=True)
def test_a_round_finds_what_a_sync_refused_and_a_yes_lets_the_next_one_read_on(project: Project, gone: str) -> None:
    (came,) = [each for each in project.platform.deciding("data_steward").decide() if each.occasion.key == "drift:s4:product"]
    assert came.output["action"] == "accept"
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
