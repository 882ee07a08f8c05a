"""The ten questions of docs/ten-questions.md, taken out of the page and asked of a small company: SQL and Cypher agree."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from graph.asking import Asking
from graph.dump import Moment
from graph.kinds import Ontology
from graph.loading import Loader
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.lake import sql as lake_sql
from pilothouse.local.graph_server import GraphServer
from tests.graphs import open_graph
from tests.integration.tables.conftest import NOW

PAGE = Path(__file__).parents[3] / "docs" / "ten-questions.md"
_QUESTION = re.compile(r"^## (\d+\. .+?)$(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_BLOCK = re.compile(r"^```(sql|cypher)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TODAY = NOW.date()
FEW = {3: 1, 7: 1}  # a company of 56 firms has one group that owes, and one customer with both a complaint and a deal
Row = Mapping[str, Any]


@dataclass(frozen=True)
class Question:
    """One of the page: its heading, and its texts by language."""

    heading: str
    texts: Mapping[str, str]

    def __str__(self) -> str:
        return self.heading


def of_the_day(text: str) -> str:
    """The text asked for the day on which the small company stands still."""
    return text.replace("current_date", f"DATE '{TODAY}'").replace("date()", f"date('{TODAY}')")


QUESTIONS = [
    Question(heading, {name: of_the_day(text) for name, text in _BLOCK.findall(body)})
    for heading, body in _QUESTION.findall(PAGE.read_text())
]
BOTH = [question for question in QUESTIONS if len(question.texts) == 2]


@pytest.fixture(scope="module")
def lake(built_company: Path) -> Lake:
    return Lake(str(built_company / "home" / "lake"))


@pytest.fixture(scope="module")
def asking(lake: Lake, arcadedb_server: GraphServer) -> Iterator[Asking]:
    with open_graph(arcadedb_server) as graph:
        graph.clear()
        ontology = Ontology.declared()
        Loader(graph, lake, ontology).load()
        yield Asking(graph, ontology)


def by_sql(lake: Lake, question: Question) -> list[Row]:
    rows: list[Row] = lake_sql.query(lake, question.texts["sql"]).to_pylist()
    return rows


def plain(row: Row) -> dict[str, Any]:
    return {name: float(value) if isinstance(value, Decimal) else value for name, value in row.items()}


def test_the_page_has_ten_questions_and_each_an_answer() -> None:
    assert [int(question.heading.split(".")[0]) for question in QUESTIONS] == list(range(1, 11))
    assert all("sql" in question.texts for question in QUESTIONS)
    assert len(BOTH) >= 7


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_the_answer_tells_something(lake: Lake, question: Question) -> None:
    rows = by_sql(lake, question)
    assert len(rows) >= FEW.get(int(question.heading.split(".")[0]), 2)
    for name in rows[0]:
        assert any(row[name] not in (None, 0, "") for row in rows), f"{name} says nothing"
    assert len({tuple(row.values()) for row in rows}) == len(rows)


@pytest.mark.parametrize("question", BOTH, ids=str)
def test_the_graph_gives_the_same_answer(lake: Lake, asking: Asking, question: Question) -> None:
    wanted = [plain(row) for row in by_sql(lake, question)]
    found = [plain(row) for row in asking.cypher(question.texts["cypher"])]
    assert [list(row) for row in found] == [list(row) for row in wanted]
    for row, other in zip(found, wanted, strict=True):
        assert row == {name: pytest.approx(value, abs=0.011) if isinstance(value, float) else value for name, value in other.items()}


@pytest.mark.parametrize("question", BOTH, ids=str)
def test_it_can_be_asked_of_the_past_in_the_same_words(asking: Asking, question: Question) -> None:
    text = question.texts["cypher"]
    assert asking.cypher(text, Moment(valid=datetime(2000, 1, 1, tzinfo=UTC))) == []
    assert asking.cypher(text, Moment(valid=NOW)) == asking.cypher(text)


def test_the_oldest_debts_are_those_of_the_invoices(lake: Lake) -> None:
    """The exposure of question 2 against the open invoices themselves, which nothing of it is computed from here."""
    invoices = lake_sql.query(lake, "SELECT owed_eur - paid_eur AS open, due_on FROM marts.fct_invoice WHERE is_open AND NOT is_cancelled")
    aged = {"open_eur": Decimal(0), "not_due_eur": Decimal(0), "overdue_longer_eur": Decimal(0)}
    for row in invoices.to_pylist():
        aged["open_eur"] += row["open"]
        days = (TODAY - row["due_on"]).days
        aged["not_due_eur"] += row["open"] if days <= 0 else 0
        aged["overdue_longer_eur"] += row["open"] if days > 60 else 0
    told = by_sql(lake, QUESTIONS[1])
    assert {name: sum(row[name] for row in told) for name in aged} == aged
