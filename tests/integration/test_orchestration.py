"""Dagster over the loader: runs, checks, version vector, failures that know whether trying again helps, and mending."""

from __future__ import annotations

import json
import sys
import threading
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from typer.testing import CliRunner

from assets.loading import Loader
from assets.resource import PlatformResource
from orchestration.schedules import cron
from orchestration.sensors import announce_pending
from orchestration.upkeep import _prune_runs
from pilothouse.cli.app import app
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake.current import current
from tests.integration.conftest import Project

ORDERS = "raw/s4/sales_order"


def cli(*arguments: str, code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == code, result.output
    return json.loads(result.output)


def materialization(result: dg.ExecuteInProcessResult, key: str) -> dict[str, Any]:
    (event,) = result.asset_materializations_for_node(key.replace("/", "__"))
    return {label: value.value for label, value in event.metadata.items()}


def test_a_sync_shows_columns_rows_versions_and_checks(project: Project) -> None:
    result = project.run("sync_s4", ORDERS)
    assert result.success
    shown = materialization(result, ORDERS)
    assert shown["dagster/row_count"] == project.platform.lake.table(ORDERS).rows() > 0
    columns = {column.name: column for column in shown["dagster/column_schema"].columns}
    assert columns["TotalNetAmount"].type == "decimal128(16, 3)"
    assert "TransactionCurrency" in (columns["TotalNetAmount"].description or "")
    written = [record.data for record in shown["versions"].records if record.data["direction"] == "written"]
    assert ORDERS in {entry["name"] for entry in written}
    assert "_synthetic" in shown["sample"]
    evaluated = result.get_asset_check_evaluations()
    assert len(evaluated) == len(project.platform.source("s4").rules("sales_order"))
    assert all(check.passed for check in evaluated)


def test_the_second_sync_tells_what_changed_as_events(project: Project) -> None:
    project.run("sync_s4", ORDERS)
    before = project.platform.events.horizon()
    project.sandbox.beat(60)
    shown = materialization(project.run("sync_s4", ORDERS), ORDERS)
    events = project.platform.events.read(before)
    assert shown["events"] == len(events) > 0
    assert {event.topic for event in events} <= {"order.created", "order.changed", "order.deleted"}
    assert all(event.correlation_id for event in events)


def test_a_build_waits_for_the_one_before_it(project: Project) -> None:
    before = ExitStack()
    before.enter_context(exclusively(project.platform.database, "tables", what="a build of tables"))
    threading.Timer(1, before.close).start()
    assert project.run("build_tables", "staging/stg_s4__sales_order").success


def test_a_permanent_failure_is_not_retried_and_shows_its_hint(project: Project) -> None:
    with dg.DagsterInstance.ephemeral() as instance, project.sandbox.fault("unauthorized", server="sap"):
        result = project.run("sync_s4", "raw/s4/product", instance=instance)
        (failure,) = [event for event in result.all_events if event.is_step_failure]
        data = failure.step_failure_data.user_failure_data
        assert data is not None
        assert data.metadata["error"].value == "CredentialsRejected"
        assert "PILOTHOUSE_SOURCES__S4__PASSWORD" in str(data.metadata["hint"].value)
        run = instance.get_run_by_id(result.run_id)
        assert run is not None
        assert run.tags["dagster/max_retries"] == "0"


def test_a_changed_schema_holds_its_stream_until_a_person_accepts(project: Project) -> None:
    assert project.run("sync_s4", "raw/s4/product").success
    with project.sandbox.fault("field_vanishes", server="sap", entity="Product", field="NetWeight"):
        assert not project.run("sync_s4", "raw/s4/product").success
        (difference,) = cli("drift", "show")
        assert (difference["stream"], difference["kind"], difference["policy"]) == ("s4/product", "removed", "hold")
        assert cli("drift", "accept", "s4/product") == [difference["difference"]]
        assert project.run("sync_s4", "raw/s4/product").success


def test_what_the_policy_blocks_cannot_be_accepted_and_nothing_is_written(project: Project) -> None:
    assert project.run("sync_s4", "raw/s4/product").success
    before = project.platform.lake.raw("s4", "product").version()
    with project.sandbox.fault("field_retyped", server="sap", entity="Product", field="NetWeight", to="bool"):
        (difference,) = cli("drift", "show")
        assert (difference["kind"], difference["policy"]) == ("retyped", "block")
        refused = cli("drift", "accept", "s4/product", code=1)
    assert refused["error"] == "SourceContractChanged"
    assert difference["difference"] in refused["message"]
    assert "pin the old version in the source" in refused["hint"]
    assert project.platform.lake.raw("s4", "product").version() == before


def test_bad_rows_are_held_shown_and_released(project: Project) -> None:
    """Products come by cursor: those that change while the source writes nonsense are held, the others go on."""
    assert project.run("sync_s4", "raw/s4/business_partner").success
    with project.sandbox.fault("field_value", server="sap", entity="BusinessPartner", field="BusinessPartnerFullName", value=" "):
        project.sandbox.beat(120)
        assert project.run("sync_s4", "raw/s4/business_partner").success
    held = cli("quarantine", "list")
    assert {row["rule"] for row in held} == {"name is not blank"}
    rejection = cli("quarantine", "show", "s4/business_partner", "--limit", "1")[0]
    released = cli("quarantine", "release", "s4/business_partner", rejection["id"][:12], "--by", "tester")
    assert released["released"] == 1
    rows = current(project.platform.lake.raw("s4", "business_partner").scan()).collect()
    assert rows.filter(BusinessPartnerFullName=" ").height == 1
    assert rows["_synthetic"].all()


def test_data_docs_judge_whole_tables_and_upkeep_runs(project: Project) -> None:
    for source in ("bureau", "crm"):
        assert project.run(f"sync_{source}").success
    jobs = project.definitions()
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [asset for asset in jobs.assets or () if isinstance(asset, dg.AssetsDefinition)],
            selection=[dg.AssetKey(["quality", "data_docs"]), dg.AssetKey(["platform", "upkeep"])],
            resources=jobs.resources,
            instance=instance,
        )
    assert result.success
    assert materialization(result, "platform/upkeep")["pruned_rejections"] == 0
    shown = materialization(result, "quality/data_docs")
    assert shown["tables"] >= 8
    assert (project.platform.settings.home / "data_docs" / "site" / "index.html").exists()


def test_the_pending_sensor_announces_what_a_dead_sync_left(project: Project) -> None:
    project.run("sync_s4", ORDERS)
    project.sandbox.beat(60)
    source = project.platform.source("s4")
    with closing(source.connect()) as connector:
        Loader(project.platform.lake, connector, source.stream("sales_order")).run()  # and its process died here
    before = project.platform.events.horizon()
    context = dg.build_sensor_context(resources={"platform": PlatformResource(project_file=str(project.file))})
    skipped = announce_pending(context)
    assert isinstance(skipped, dg.SkipReason)
    assert "events were announced" in (skipped.skip_message or "")
    assert project.platform.events.horizon() > before


def test_the_commands_answer_as_people_and_programs_want(project: Project) -> None:
    assert project.run("sync_s4", ORDERS).success
    tables = {row["table"] for row in cli("tables")}
    assert ORDERS in tables
    answer = cli("query", "SELECT count(*) AS n FROM s4.sales_order")
    assert answer["versions"].keys() == {ORDERS}
    assert cli("history", ORDERS)[-1]["version"] == 0
    for arguments in (["tables"], ["query", "SELECT 1 AS one"], ["history", ORDERS], ["quarantine", "list"], ["doctor"]):
        result = CliRunner().invoke(app, arguments)
        assert result.output.strip()
    refused = cli("query", "SELECT * FROM read_csv('/etc/hostname')", code=1)
    assert refused["error"] == "ConfigError"
    assert "no stream 'ghost'" in cli("sync", "s4/ghost", code=1)["message"]
    assert "SOURCE/STREAM" in cli("drift", "accept", "s4", code=1)["hint"]
    assert "nothing runs here" in cli("sync", "bureau", code=1)["message"]


def test_doctor_asks_every_source(project: Project) -> None:
    findings = {finding["what"]: finding["state"] for finding in cli("doctor")}
    assert {findings[f"source {name}"] for name in ("s4", "crm", "bureau")} == {"ok"}
    assert findings["pilothouse up"] == "warning"
    with project.sandbox.fault("unauthorized", server="sap"):
        wrong = {finding["what"]: finding for finding in cli("doctor", code=1) if finding["state"] == "wrong"}
    assert wrong.keys() == {"source s4"}
    assert "PILOTHOUSE_SOURCES__S4__PASSWORD" in wrong["source s4"]["cure"]


@pytest.mark.parametrize(("every", "line"), [(1, "* * * * *"), (15, "*/15 * * * *"), (120, "0 */2 * * *"), (1440, "0 0 * * *")])
def test_an_interval_becomes_a_cron_line(every: int, line: str) -> None:
    assert cron(timedelta(minutes=every), "sources.s4.every") == line


def test_an_interval_that_cron_cannot_say_is_refused_with_those_it_can() -> None:
    with pytest.raises(ConfigError, match=r"sources\.s4\.every[\s\S]*1 min"):
        cron(timedelta(minutes=7), "sources.s4.every")


def test_runs_go_after_their_retention_with_what_they_printed() -> None:
    @dg.op
    def nothing() -> None: ...

    @dg.job
    def short() -> None:
        nothing()

    with dg.DagsterInstance.local_temp() as instance:
        run = short.execute_in_process(instance=instance).run_id
        printed = [run, "compute_logs", "step"]
        with instance.compute_log_manager.capture_logs(printed):
            sys.stdout.write("said\n")
        assert instance.compute_log_manager.get_log_data(printed).stdout
        assert _prune_runs(instance, datetime.now(UTC) - timedelta(days=1)) == 0
        assert _prune_runs(instance, datetime.now(UTC) + timedelta(days=1)) == 1
        assert not instance.has_run(run)
        assert not instance.compute_log_manager.get_log_data(printed).stdout
