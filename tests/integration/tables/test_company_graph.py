"""The graph of a living company: it says what its marts say, and a merge that is split again is only remembered."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from assets.graph import graph_assets
from assets.platform import Platform
from graph.asking import Asking
from graph.dump import Moment, state
from graph.kinds import EdgeType, End, NodeType, Ontology
from graph.loading import Loader
from graph.queries import queries
from graph.resolution.corrections import Corrections
from graph.store import Graph
from pilothouse.kernel.errors import ConfigError
from pilothouse.tables.building import Builder
from pilothouse.tables.project import Project
from tests.integration.tables.test_building import built, lived
from tests.integration.tables.test_firms import firms
from tests.raw_company import RawCompany


@pytest.fixture
def ontology(project: Project) -> Ontology:
    contracts = {model.table: {column.name: column.kind for column in model.columns} for model in project.published.values()}
    return Ontology.declared().held_against(contracts)


def test_a_merge_that_is_split_again_leaves_the_graph_as_if_it_had_never_been_but_for_what_was_known(
    raw: RawCompany, builder: Builder, ontology: Ontology, arcadedb_graph: Graph
) -> None:
    loader, asking = Loader(arcadedb_graph, raw.lake, ontology), Asking(arcadedb_graph, ontology)
    loader.load()
    before, found = state(arcadedb_graph, ontology), firms(raw)
    customers = sorted(record for record in found if record.startswith("s4:"))
    left, right = random.Random(5).sample(customers, 2)
    corrections = Corrections(raw.lake)
    corrections.say(left, right, "same", by="test")
    built(builder)
    merged = {each.type.name: each for each in loader.load()}
    together = datetime.now(UTC)
    assert merged["Firm"].deleted == 1
    assert state(arcadedb_graph, ontology) != before
    corrections.say(left, right, "different", by="test")
    built(builder)
    loader.load()
    assert state(arcadedb_graph, ontology) == before
    orders = "MATCH (f:Firm {id: $id})-[:PLACED]->(o:Order) RETURN count(o) AS n"
    then, now = (
        [asking.cypher(orders, moment, id=found[record])[0]["n"] for record in (left, right)]
        for moment in (Moment(known=together), Moment())
    )
    assert sorted(then) == [0, sum(now)]


def test_a_company_that_lives_on_is_followed_and_every_query_answers(
    raw: RawCompany, builder: Builder, ontology: Ontology, arcadedb_graph: Graph
) -> None:
    loader, asking = Loader(arcadedb_graph, raw.lake, ontology), Asking(arcadedb_graph, ontology)
    loader.load()
    lived(raw, 20)
    built(builder)
    assert sum(each.news for each in loader.load()) > 0
    for each in ontology.types:
        census = loader.census(each)
        assert (census.here + census.waiting, census.twice) == (census.in_mart, 0), each.name
    top = arcadedb_graph.read("MATCH (f:Firm)-[:OWNS]->(g:Firm)-[:OWES]->(i:Invoice {is_open: true}) RETURN f.id AS id LIMIT 1")[0]["id"]
    product = arcadedb_graph.read("MATCH (p:Product)<-[:IS_FOR]-(i) RETURN p.id AS id LIMIT 1")[0]["id"]
    case = arcadedb_graph.read("MATCH (f:Firm)-[:OPENED]->(c:Case {is_closed: false}) RETURN f.id AS id LIMIT 1")[0]["id"]
    given = {"firm": top, "product": product, "day": "2026-06-01"}
    for name, query in queries().items():
        values = {value.name: given[value.name] for value in query.parameters if value.name in given}
        values |= {"firm": case} if name == "open_cases" else {}
        answer = asking.query(name, **values)
        assert answer or name == "owners", name
        for moment in (Moment(valid=datetime(2100, 1, 1, tzinfo=UTC)), Moment(known=datetime.now(UTC) + timedelta(days=1))):
            assert asking.query(name, moment, **values) == answer, name


def test_a_property_that_no_mart_has_is_refused_when_the_ontology_is_read(ontology: Ontology) -> None:
    def refusal(node: NodeType, *edges: EdgeType) -> str:
        with pytest.raises(ConfigError) as error:
            Ontology.of([node], edges).held_against(ontology.kinds)
        return str(error.value)

    firm = {"label": "Firm", "description": "", "mart": "marts/dim_firm", "key": ("firm_id",)}
    assert "marts/dim_firm has no column 'shoe_size'" in refusal(NodeType(**firm, properties=("name", "shoe_size")))  # type: ignore[arg-type]
    assert "there is no mart 'marts/dim_fir'" in refusal(NodeType(**{**firm, "mart": "marts/dim_fir"}, properties=()))  # type: ignore[arg-type]
    nobody = EdgeType(type="OWNS", description="", mart="marts/fct_ownership", source=End("Firm", ("a",)), target=End("Nobody", ("b",)))
    assert "there is no node type 'Nobody'" in refusal(NodeType(**firm, properties=()), nobody)  # type: ignore[arg-type]
    assert "label 'Past' cannot be used" in refusal(NodeType(**{**firm, "label": "Past"}, properties=()))  # type: ignore[arg-type]


def test_the_types_are_assets_that_depend_on_their_marts(ontology: Ontology) -> None:
    assets = graph_assets(ontology)
    specs = {spec.key.to_user_string(): spec for spec in assets.specs}
    assert {dep.asset_key.to_user_string() for dep in specs["graph/placed"].deps} == {"marts/fct_order", "graph/firm", "graph/order"}
    assert len(specs) == len(ontology.types)
    columns = specs["graph/order"].metadata["dagster/column_schema"]
    assert isinstance(columns, dg.TableSchema)
    assert {column.name: column.type for column in columns.columns}["net_amount_eur"] == "decimal(18, 2)"


def test_a_platform_reads_its_ontology_from_its_own_models(tmp_path: Path, project: Project) -> None:
    from pilothouse.kernel.settings import Settings

    platform = Platform(Settings(home=tmp_path))
    platform.__dict__["project"] = project
    assert {"Firm", "Order", "Region"} <= platform.ontology.nodes.keys()
