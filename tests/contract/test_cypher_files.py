"""Every query file, read by Neo4j's own parser: its grammar, its types, the variables, and the labels of the ontology."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from graph.kinds import LOADED, PAST, STATE, WAS, Ontology
from graph.queries import FOLDER, Query, parsed

HERE = Path(__file__).parent / "node_cypher"
DOCS = Path(__file__).parents[2] / "docs"
SAMPLES: dict[str, Any] = {"text": "x", "integer": 1, "number": 1.5, "boolean": True, "date": "x", "moment": "x", "texts": ["x"]}


@dataclass(frozen=True)
class Told:
    """What the parser says against a file."""

    file: str
    line: int
    column: int
    error: bool
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}: {self.message}"


def linted(queries: Iterable[tuple[str, Query]]) -> list[Told]:
    """All of them in one process of Node."""
    node = shutil.which("node")
    assert node, "Node is not installed: query files cannot be checked"
    assert (HERE / "node_modules" / "@neo4j-cypher").is_dir(), f"the parser is not installed: run `npm ci` in {HERE} (`make test` does)"
    ontology = Ontology.declared()
    files = [
        {"file": file, "text": query.text, "parameters": {value.name: SAMPLES[value.kind] for value in query.parameters}}
        for file, query in queries
    ]
    schema = {"labels": [*ontology.nodes, PAST, STATE, LOADED], "relationshipTypes": [*ontology.edges, WAS]}
    done = subprocess.run(
        [node, "lint.cjs"], cwd=HERE, input=json.dumps({"files": files, **schema}), capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return [Told(**each) for each in json.loads(done.stdout)]


def of_folder(folder: Path) -> Iterable[tuple[str, Query]]:
    files = sorted(folder.rglob("*.cypher"))
    assert files, f"no query in {folder}"
    return [(path.relative_to(folder).as_posix(), parsed(path.stem, path.read_text())) for path in files]


def test_neo4js_own_parser_has_nothing_against_any_query() -> None:
    assert [str(told) for told in linted(of_folder(FOLDER))] == []


def test_nor_against_those_that_the_docs_tell() -> None:
    found = [
        (f"{page.name}/{place}", Query(page.stem, "", (), (), text))
        for page in sorted(DOCS.rglob("*.md"))
        for place, text in enumerate(re.findall(r"^```cypher\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL), 1)
    ]
    assert len(found) >= 7
    assert [str(told) for told in linted(found)] == []


MISTAKES = {
    "a bracket that is not closed": ("MATCH (f:Firm\nRETURN f.name AS name", 4, "Invalid input 'RETURN'"),
    "a variable that is not there": ("MATCH (f:Firm)\nRETURN g.name AS name", 4, "Variable `g` not defined"),
    "a parameter that the head does not name": ("MATCH (f:Firm {id: $id})\nRETURN f.name AS name", 3, "Parameter $id is not defined"),
    "a function that Neo4j has not": ("MATCH (f:Firm)\nRETURN apoc.text.clean(f.name) AS name", 4, "apoc.text.clean"),
    "a procedure that Neo4j has not": ("CALL gds.pageRank.stream('x') YIELD nodeId\nRETURN nodeId AS name", 3, "gds.pageRank.stream"),
    "a number in place of a list": ("UNWIND range(1, 2) AS i\nRETURN size(i) AS name", 4, "Type mismatch"),
    "a label that the ontology has not": ("MATCH (f:Frim)\nRETURN f.name AS name", 3, "Frim"),
    "an edge that the ontology has not": ("MATCH (f:Firm)-[:OWNED]->()\nRETURN f.name AS name", 3, "OWNED"),
}


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Told]]:
    folder = tmp_path_factory.mktemp("queries")
    for mistake, (text, _, _) in MISTAKES.items():
        (folder / f"{mistake}.cypher").write_text(f"// A query with a mistake.\n// column name: text -- a name\n{text}\n")
    found: dict[str, list[Told]] = {}
    for each in linted(of_folder(folder)):
        found.setdefault(each.file.removesuffix(".cypher"), []).append(each)
    return found


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_told_with_its_file_and_its_line(told: dict[str, list[Told]], mistake: str) -> None:
    _, line, message = MISTAKES[mistake]
    first = told[mistake][0]
    assert (first.file, first.line) == (f"{mistake}.cypher", line)
    assert message in first.message
