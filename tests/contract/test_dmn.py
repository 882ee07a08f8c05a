"""Decision tables that trees export, against what we did not write: the OMG's schema, a FEEL interpreter and a DMN engine."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from lxml import etree  # type: ignore[import-untyped]

from models.trees import Tree, declared_facts, find_tree, tree_from
from models.trees.dmn.export import table_of
from models.trees.dmn.imports import tree_of
from models.trees.dmn.table import Policy
from models.trees.dmn.xml import read, written

HERE = Path(__file__).parent / "node_dmn"
MODULES = HERE / "node_modules"

EVERYTHING = """
name: everything
inputs:
  amount: {type: number}
  risk.score: {type: number, least: 0, most: 1}
  count: {type: integer, missing: false}
  grade: {type: text, categories: [A, B, C, "D \\"x\\" & <y>"]}
  city: {type: text}
  new: {type: bool}
  since: {type: date}
start: first
nodes:
  first:
    cases:
      - when: {amount: {above: -2.5, at_most: 1000000}, grade: [A, "D \\"x\\" & <y>"]}
        then: second
      - when:
          - {risk.score: {at_least: 0.25, below: 0.75, or_missing: true}, city: {not_in: [Bonn, Oslo]}}
          - {new: true, count: {above: 2, at_most: 5}}
        then: third
    otherwise: low
  second:
    cases:
      - when: {since: {at_least: 2026-03-01, below: 2026-06-01}}
        then: high
      - when: {since: {missing: true}}
        then: unknown
      - when: {since: [2026-06-01, 2026-07-01], count: {not_in: [3]}}
        then: low
    otherwise: third
  third:
    cases:
      - when: {city: {missing: false}, new: {missing: true}}
        then: high
      - when: {city: {not_in: [Oslo], or_missing: true}, amount: {below: 0.001}}
        then: unknown
    otherwise: low
leaves:
  high: {action: hold, reason: "Höher & <hart>", terms: {share: 0.5, note: "say \\"no\\""}}
  low: {action: release, reason: nothing speaks against it}
  unknown: {action: ask, reason: something is not known, terms: {share: 1}}
"""
SEEN: dict[str, list[Any]] = {
    "amount": [None, -3, -2.5, 0, 0.0005, 0.001, 7, 1_000_000, 1_000_001],
    "risk.score": [None, 0, 0.25, 0.5, 0.75, 1],
    "count": [0, 2, 3, 5, 6],
    "grade": [None, "A", "B", 'D "x" & <y>'],
    "city": [None, "Bonn", "Oslo", "Rome"],
    "new": [None, True, False],
    "since": [None, date(2026, 2, 28), date(2026, 3, 1), date(2026, 5, 31), date(2026, 6, 1), date(2026, 7, 1)],
}
CREDIT: dict[str, list[Any]] = {
    "invoices_late_and_open": [0, 1, 2, 3, 9],
    "rating_grade": [None, "A", "B", "C", "E"],
    "placed_eur": [None, 500, 1000, 1000.01, 2000, 5000, 5000.01, 8000, 10_000, 60_000],
    "graph.group_exposure": [None, 0, 2_000_000, 3_000_000],
    "graph.group_overdue": [None, 0, 200_000, 250_000],
    "risk.probability": [None, 0, 0.13, 0.2, 0.22, 0.24, 0.28, 0.34, 0.43, 0.75, 0.9],
    "orders_before": [0, 2, 3, 40],
    "mean_days_late": [None, -2, 10, 10.5],
}


def rows(values: dict[str, list[Any]], count: int = 400) -> list[dict[str, Any]]:
    chance = random.Random(5)
    return [{name: chance.choice(each) for name, each in values.items()} for _ in range(count)]


def asked(xml: str, older: str | None, given: list[dict[str, Any]]) -> dict[str, Any]:
    node = shutil.which("node")
    assert node, "Node is not installed: the contract with DMN engines cannot be checked"
    assert (MODULES / "feelin").is_dir(), f"feelin is not installed: run `npm ci` in {HERE} (`make install-node` does)"
    done = subprocess.run(
        [node, "drive.mjs"],
        cwd=HERE,
        input=json.dumps({"xml": xml, "older": older, "rows": [nested(row) for row in given]}, default=str),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def nested(row: dict[str, Any]) -> dict[str, Any]:
    """risk.score is the score of risk, in FEEL."""
    plain: dict[str, Any] = {}
    for name, value in row.items():
        *parts, last = name.split(".")
        place = plain
        for part in parts:
            place = place.setdefault(part, {})
        place[last] = value
    return plain


def told(tree: Tree, row: dict[str, Any], outputs: list[str]) -> list[Any]:
    decision = tree.decide(row)
    said = {"action": decision.action, "reason": decision.reason, **decision.terms}
    return [said.get(name) for name in outputs]


@pytest.mark.parametrize("policy", ["FIRST", "UNIQUE", "ANY"])
@pytest.mark.parametrize("which", ["everything", "credit_release"])
def test_other_engines_decide_as_the_tree_does(which: str, policy: Policy) -> None:
    tree, given = (tree_from(EVERYTHING, {}), rows(SEEN)) if which == "everything" else (find_tree(which), rows(CREDIT))
    table = table_of(tree, policy)
    xml = written(table)
    answer = asked(xml, None, given)
    assert answer["warnings"] == []
    assert answer["policy"] == policy
    for row, said in zip(given, answer["answers"], strict=True):
        assert said["results"][0] == told(tree, row, answer["outputs"]), row
        assert policy == "FIRST" or said["holding"] == 1, row
    # what another tool wrote of it is read as the same table
    assert read(answer["written"].encode(), "written by dmn-moddle") == table


@pytest.mark.parametrize("policy", ["FIRST", "UNIQUE"])
def test_an_engine_that_evaluates_whole_tables_decides_as_the_tree_does(policy: Policy) -> None:
    """It reads DMN 1.1, and knows no missing values: rows that have all of them."""
    tree = find_tree("credit_release")
    given = rows({name: [value for value in values if value is not None] for name, values in CREDIT.items()})
    answer = asked(written(table_of(tree, policy)), written(table_of(tree, policy), "1.1"), given)
    for row, said in zip(given, answer["whole"], strict=True):
        assert [said[name] for name in answer["outputs"]] == told(tree, row, answer["outputs"]), row


@pytest.mark.parametrize("policy", ["FIRST", "UNIQUE", "ANY"])
def test_the_file_is_valid_by_the_schema_of_the_omg(policy: Policy) -> None:
    schema = etree.XMLSchema(etree.parse(MODULES / "dmn-moddle" / "resources" / "dmn" / "xsd" / "DMN13.xsd"))
    for tree in (tree_from(EVERYTHING, {}), find_tree("credit_release")):
        schema.assertValid(etree.fromstring(written(table_of(tree, policy)).encode()))


def test_a_table_that_comes_back_decides_as_before() -> None:
    tree = find_tree("credit_release")
    for policy in ("FIRST", "UNIQUE", "ANY"):
        back = tree_of(read(written(table_of(tree, policy)).encode(), "x"), declared_facts(), facts="order")
        for row in rows(CREDIT):
            assert (back.decide(row).leaf, back.decide(row).action) == (tree.decide(row).leaf, tree.decide(row).action)
