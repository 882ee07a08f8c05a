"""Constraints and indexes, derived from the ontology. They stand before the first row comes: a MERGE without one reads every node."""

from __future__ import annotations

from collections.abc import Iterator

from graph.kinds import LOADED, PAST, Ontology
from graph.store import Graph


def statements(ontology: Ontology) -> Iterator[str]:
    """What makes the schema, each of which changes nothing where it is there already. One index a property: ArcadeDB uses no other."""
    yield f"CREATE CONSTRAINT past_key IF NOT EXISTS FOR (n:{PAST}) REQUIRE n._key IS UNIQUE"
    yield f"CREATE CONSTRAINT loaded_mart IF NOT EXISTS FOR (n:{LOADED}) REQUIRE n.mart IS UNIQUE"
    for node in ontology.nodes.values():
        yield f"CREATE CONSTRAINT {node.label.lower()}_id IF NOT EXISTS FOR (n:`{node.label}`) REQUIRE n.id IS UNIQUE"
        for name in node.indexed:
            yield f"CREATE INDEX {node.label.lower()}_{name} IF NOT EXISTS FOR (n:`{node.label}`) ON (n.`{name}`)"


def prepare(graph: Graph, ontology: Ontology) -> None:
    """Make what is missing, and wait until it can be used."""
    for statement in statements(ontology):
        graph.write(statement)
    graph.settle()
