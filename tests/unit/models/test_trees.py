"""What trees refuse, and what they say: the messages that people mend their files by."""

from __future__ import annotations

import json
import random
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import polars as pl
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner, Result

from models.trees import Fact, Facts, Tree, declared_facts, declared_trees, find_tree, tree_from
from models.trees.declared import find_file
from models.trees.dmn.export import table_of
from models.trees.dmn.imports import tree_of
from models.trees.dmn.xml import read, written
from models.trees.document import TreeFile
from models.trees.picture import svg
from models.trees.reading import Lines
from models.trees.schema import files, schema
from models.trees.writing import text_of
from pilothouse.cli.app import app
from pilothouse.kernel.errors import ConfigError, ModelError
from pilothouse.kernel.versions import Pinned, recording
from tests.unit.models.random_trees import FACTS, asked, rows, trees

TREE = """\
name: small
inputs:
  amount: {type: number, least: 0}
  country: {type: text, categories: [DE, NO]}
  since: {type: date, missing: false}
  count: {type: integer, missing: false}
start: first
nodes:
  first:
    ask: How much?
    cases:
      - when: {amount: {above: 100}}
        then: second
      - when: {amount: {missing: true}}
        then: stop
    otherwise: go
  second:
    cases:
      - when: {country: NO, since: {below: 2026-01-01}}
        then: go
      - when: {country: [DE], count: {above: 3}}
        then: go
    otherwise: stop
leaves:
  go: {action: release, reason: fine}
  stop: {action: hold, reason: look at it, terms: {days: 3}}
changeable:
  amount: {unit: 10, direction: down}
  count: {}
"""
ROW: dict[str, Any] = {"amount": 150, "country": "DE", "since": date(2026, 5, 1), "count": 3}


def tree(text: str = TREE) -> Tree:
    return tree_from(text, {}, "small.yaml")


@pytest.mark.parametrize(
    ("old", "new", "said", "way_out"),
    [
        (
            "    otherwise: go\n",
            "",
            "small.yaml:9: node 'first' has a hole after its last case {amount: {missing: true}}: amount at most 100",
            "add a case",
        ),
        (
            "      - when: {amount: {missing: true}}\n        then: stop\n    otherwise: go\n",
            "      - when: {amount: {at_most: 100}}\n        then: go\n",
            'amount missing reaches no leaf, such as {"amount": null}',
            "otherwise",
        ),
        ("    otherwise: stop\n", "    otherwise: first\n", "leads back to 'first', a loop: first → second → first", "does not come back"),
        ("then: second\n", "then: first\n", "node 'first', case 1: leads back to 'first', a loop: first → first", "does not come back"),
        (
            "{country: [DE], count: {above: 3}}",
            "{amount: {below: 50}, count: {above: 3}}",
            "small.yaml:21: node 'second', case 2",
            "contradicts the conditions on the way",
        ),
        (
            "{country: [DE], count: {above: 3}}",
            "{count: {above: 3, below: 4}}",
            "case 2 {count: {above: 3, below: 4}}: no input reaches it",
            "no count meets it",
        ),
        (
            "{amount: {missing: true}}",
            "{amount: {above: 200}}",
            "case 2 {amount: {above: 200}}: no input reaches it",
            "earlier cases of 'first' take all",
        ),
        (
            "    otherwise: go\n",
            "    otherwise: go\n  third:\n    cases:\n      - when: {count: 1}\n        then: go\n    otherwise: stop\n",
            "nothing leads to node 'third'",
            "lead a case",
        ),
        ("{amount: {missing: true}}", "{amount: {at_most: 100, or_missing: true}}", "otherwise: no input is left for it", "leave it out"),
        ("then: second\n", "then: secnd\n", "no node and no leaf 'secnd'", "is 'second' meant?"),
        ("{amount: {above: 100}}", "{amuont: {above: 100}}", "there is no input 'amuont'", "is amount meant?"),
        ("{amount: {above: 100}}", "{amount: {above: '100'}}", "amount: '100' is no number", "words are"),
        ("{amount: {above: 100}}", "{amount: {abov: 100}}", "is no word of a test of a number; is above meant?", "words are"),
        ("country: NO", "country: SE", "there is no 'SE'; it is one of DE, NO", "words are"),
        ("country: NO", "country: true", "True is no text; put it in quotes", "words are"),
        ("{below: 2026-01-01}", "{below: 2026}", "since: 2026 is no date", "words are"),
        ("ask: How", "aks: How", "small.yaml:10: nodes.first.aks: is no word of a tree; is ask meant?", "schema"),
        ("  stop: {action: hold, reason: look at it", "  stop: {action: hold", "leaves.stop.reason: is missing", "schema"),
        ("  second:\n", "  first:\n", "small.yaml:17: 'first' stands twice, first in line 9", "second alone"),
        ("  go: {", "  second: {", "'second' is a node and a leaf", "rename"),
        ("  count: {}", "  cuont: {}", "'cuont' cannot be changed", "it asks"),
        ("country: {type: text", "country: {type: txt", "inputs.country.type", "schema"),
        ("least: 0}", "least: 0, most: -1}", "least is more than most", "schema"),
        ("start: first", "facts: order\nstart: first", "there are no facts 'order'", "inputs"),
        ("start: first", "start: [first", "small.yaml:", "quotes"),
    ],
)
def test_a_tree_that_is_wrong_is_refused_by_place_and_way_out(old: str, new: str, said: str, way_out: str) -> None:
    assert old in TREE
    with pytest.raises(ConfigError) as refused:
        tree(TREE.replace(old, new, 1))
    assert said in refused.value.message
    assert way_out in refused.value.hint


def test_a_decision_tells_its_whole_way_with_the_values_seen() -> None:
    decision = tree().decide(ROW)
    assert (decision.action, decision.reason, decision.terms) == ("hold", "look at it", {"days": 3})
    told = [(step.node, step.case, [(each.input, each.test, each.value, each.held) for each in step.conditions]) for step in decision.steps]
    assert told == [
        ("first", 1, [("amount", "above 100", 150, True)]),
        ("second", None, [("country", "NO", "DE", False), ("count", "at least 4", 3, False)]),
    ]
    assert json.loads(json.dumps(decision.as_json()))["path"][0]["conditions"][0]["test"] == "above 100"


def test_norway_is_a_country_and_not_a_truth() -> None:
    assert tree().decide({**ROW, "country": "NO", "since": date(2025, 12, 31)}).leaf == "go"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"amount": "150"}, "amount is '150': it is not a number"),
        ({"amount": True}, "amount is yes: it is not a number"),
        ({"amount": -1}, "amount is -1: it can be at least 0"),
        ({"country": "SE"}, "country is 'SE': it can be one of DE, NO"),
        ({"count": 2.5}, "count is 2.5: it is not a whole number"),
        ({"count": None}, "count is missing: it is declared never to be"),
        ({"count": float("nan")}, "count is nan: it is declared never to be"),
        ({"since": datetime(2026, 1, 1)}, "since is 2026-01-01 00:00:00: it is not a day"),  # noqa: DTZ001 - the point
    ],
)
def test_a_value_that_the_tree_was_not_proved_for_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match="small") as refused:
        tree().decide({**ROW, **change})
    assert said in refused.value.message
    assert "the tree was proved for that alone" in refused.value.hint


def test_an_input_that_is_not_given_is_no_missing_value() -> None:
    with pytest.raises(ModelError, match="'count' is missing altogether"):
        tree().decide({name: value for name, value in ROW.items() if name != "count"})
    with pytest.raises(ModelError, match="no column 'count'"):
        tree().decide_frame(pl.DataFrame([ROW]).drop("count"))


@pytest.mark.parametrize("value", [Decimal("150.00"), 150, 150.0, pl.Series([150.0]).to_numpy()[0], pl.Series([150]).to_numpy()[0]])
def test_a_number_is_a_number_however_it_is_held(value: Any) -> None:
    assert tree().decide({**ROW, "amount": value}).leaf == "stop"


def test_not_a_number_is_missing_in_a_row_as_in_a_frame() -> None:
    row = {**ROW, "amount": float("nan")}
    assert tree().decide(row).leaf == tree().decide_frame(pl.DataFrame([row]))["leaf"][0] == "stop"


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (pl.Series("country", ["DE", "SE"]), "country is 'SE' in row 1"),
        (pl.Series("count", [1, None]), "count is missing in row 1"),
        (pl.Series("count", [1.0, 2.5]), "count is 2.5 in row 1"),
        (pl.Series("amount", ["1", "2"]), "column 'amount' is String, and not a number"),
    ],
)
def test_a_frame_is_refused_by_column_and_row(column: pl.Series, said: str) -> None:
    frame = pl.DataFrame([ROW, ROW]).with_columns(column)
    with pytest.raises(ModelError) as refused:
        tree().decide_frame(frame)
    assert said in refused.value.message


def test_the_version_is_what_a_tree_says_and_not_how_it_is_written() -> None:
    plain = yaml.safe_load(TREE.replace("NO", "'NO'"))
    plain["leaves"] = dict(reversed(plain["leaves"].items()))
    again = f"# a comment\n{yaml.safe_dump({**plain, 'description': 'words'}, sort_keys=False).replace('above: 100', 'above: 100.0')}"
    assert tree(again).version == tree().version
    others = {tree(TREE.replace(old, new)).version for old, new in (("above: 100", "above: 101"), ("fine", "good"), ("days: 3", "days: 4"))}
    assert len({*others, tree().version}) == 4


def test_a_decision_notes_its_tree_in_the_version_vector() -> None:
    with recording() as recorder:
        tree().decide(ROW)
        tree().decide_frame(pl.DataFrame([ROW]))
    assert recorder.versions().read == (Pinned("policy", "small", tree().version),)


def test_a_tree_from_its_canonical_writing_says_the_same_in_the_same_words() -> None:
    """Old decisions are made again by the tree that they kept, and compared byte for byte. There, names stand in another order."""
    facts, chance = {"random": Facts("random", "", FACTS)}, random.Random(7)
    text = """{name: random, facts: random, start: first, changeable: {amount: {}, count: {}}, nodes: {
        first: {cases: [{when: {since: {above: 2026-01-02}, amount: {above: 1}}, then: second}], otherwise: yes_},
        second: {cases: [{when: [{grade: A, city: Bonn}, {new: true, count: {above: 1}}], then: no_}], otherwise: maybe}},
        leaves: {yes_: {action: go, reason: r}, no_: {action: stop, reason: r}, maybe: {action: wait, reason: r}}}"""
    first = tree_from(text, facts)
    again = tree_from(first.document.canonical(), facts)
    for row in chance.sample(list(rows(list(first.inputs))), 400):
        assert again.decide(row).as_json() == first.decide(row).as_json()
        assert again.nearest(row) == first.nearest(row)


def test_the_nearest_other_decision_is_told_with_what_would_have_to_change() -> None:
    other = tree().nearest(ROW)
    assert other is not None
    assert [(change.input, change.value, change.instead) for change in other.changes] == [("count", 3, 4)]
    cheaper = tree().nearest({**ROW, "amount": 105, "country": None})
    assert cheaper is not None
    assert [(change.input, change.instead, change.weight) for change in cheaper.changes] == [("amount", 100, 0.5)]
    assert tree().nearest({**ROW, "amount": None, "country": None}, ["hold"]) is None
    with pytest.raises(ModelError, match="no action 'explode'"):
        tree().nearest(ROW, ["explode"])


def test_every_declared_tree_is_proved_and_named_after_its_file() -> None:
    assert "credit_release" in declared_trees()
    assert set(find_tree("credit_release").actions) == {"release", "prepayment", "hold"}


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(trees(), st.sampled_from(["FIRST", "UNIQUE", "ANY"]))
def test_a_tree_that_goes_out_as_a_table_comes_back_and_decides_alike(document: TreeFile, policy: Any) -> None:
    before = Tree.checked(document, FACTS, Lines("random", {}))
    table = table_of(before, policy)
    again = read(written(table).encode(), "random.dmn")
    assert again == table
    for facts in (None, "random"):
        after = tree_of(again, {"random": Facts("random", "", FACTS)}, facts=facts)
        assert tree_from(text_of(after.document), {"random": Facts("random", "", FACTS)}).version == after.version
        for row in rows(asked(document)):
            assert (after.decide(row).action, after.decide(row).reason) == (before.decide(row).action, before.decide(row).reason)


DMN = """<?xml version="1.0"?>
<definitions xmlns="https://www.omg.org/spec/DMN/20191111/MODEL/" id="d" name="d" namespace="x">
 <decision id="approve" name="Approve it">
  <decisionTable id="t" hitPolicy="{policy}">
   <input id="i1" label="Order value"><inputExpression id="e1" typeRef="number"><text>Order value</text></inputExpression></input>
   <input id="i2" label="Grade"><inputExpression id="e2" typeRef="string"><text>grade</text></inputExpression>{values}</input>
   <output id="o1" name="Result" typeRef="string">{default}</output>
   {rules}
  </decisionTable>
 </decision>
</definitions>"""
VALUES = '<inputValues id="v"><text>"A","B",null</text></inputValues>'


def dmn(*rules: tuple[str, str, str], policy: str = "UNIQUE", values: str = VALUES, default: str = "") -> bytes:
    told = [
        f'<rule id="r{number}"><inputEntry id="a{number}"><text><![CDATA[{one}]]></text></inputEntry><inputEntry id="b{number}">'
        f'<text><![CDATA[{two}]]></text></inputEntry><outputEntry id="c{number}"><text>"{result}"</text></outputEntry></rule>'
        for number, (one, two, result) in enumerate(rules)
    ]
    return DMN.format(policy=policy, values=values, default=default, rules="".join(told)).encode()


def test_a_table_of_another_tool_becomes_a_tree() -> None:
    table = read(
        dmn(
            ("< 10", "-", "Yes, please"),
            ("[10..100[", 'not("A")', "No"),
            ("[10..100), >= 100, null", '"A"', "Yes, please"),
            (">= 100, null", 'not("A")', "No"),
        ),
        "x",
    )
    made = tree_of(table, {})
    assert (made.name, made.actions) == ("approve_it", ("yes_please", "no"))
    assert [
        made.decide({"Order value": value, "grade": grade}).action
        for value, grade in ((5, None), (10, "A"), (50, "B"), (50, None), (None, "A"))
    ] == [*("yes_please", "yes_please", "no", "no", "yes_please")]
    assert tree_from(text_of(made.document), {}).version == made.version


@pytest.mark.parametrize(
    ("document", "said", "way_out"),
    [
        (
            dmn(("< 10", "-", "y"), ("-", '"A"', "n")),
            'rule 2 and rule 1 hold together, such as for {"Order value": 0, "grade": "A"}, and its hit policy is UNIQUE',
            "FIRST",
        ),
        (dmn(("< 10", "-", "y"), ("-", '"A"', "n"), policy="ANY"), "with another result, and its hit policy is ANY", "FIRST"),
        (dmn(("< 10", "-", "y"), ("< 5", "-", "n"), policy="FIRST"), "rule 2 never holds", "leave it out"),
        (dmn(("< 10", "-", "y"), (">= 10", "-", "n")), "has a hole", "--otherwise"),
        (dmn(("Order value * 2 > 4", "-", "y")), "rule 1, Order value: 'Order value * 2 > 4' is no test", "a feature"),
        (dmn(("-", '"C"', "y")), 'rule 1, grade: there is no "C"', "feature"),
        (dmn(("-", "-", "y"), policy="COLLECT"), "has the hit policy COLLECT", "UNIQUE, FIRST and ANY"),
        (dmn(("-", "-", "y")).replace(b"https://www.omg.org", b"https://example.org"), "is no DMN", "1.3"),
        (b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + dmn(("-", "-", "y")), "declares a document type", "none"),
        (b"<definitions", "is no XML", "export"),
        (dmn(("-", "-", "y")).replace(b"decisionTable", b"context"), "has no decision table", "boxed"),
    ],
)
def test_a_table_that_is_no_tree_is_refused_by_rule_and_way_out(document: bytes, said: str, way_out: str) -> None:
    with pytest.raises(ConfigError) as refused:
        tree_of(read(document, "x.dmn"), {})
    assert said in refused.value.message
    assert way_out in refused.value.hint


def test_what_no_rule_says_is_said_by_the_default_or_by_whoever_imports() -> None:
    rules = (("< 10", "-", "y"),)
    default = '<defaultOutputEntry id="x"><text>"n"</text></defaultOutputEntry>'
    assert tree_of(read(dmn(*rules, default=default), "x"), {}).decide({"Order value": 10, "grade": None}).action == "n"
    assert tree_of(read(dmn(*rules), "x"), {}, otherwise="Ask").decide({"Order value": 10, "grade": None}).action == "ask"
    assert tree_of(read(dmn(("-", "-", "y")), "x"), {}).decide({}).action == "y"


def test_a_column_is_named_as_the_facts_have_it() -> None:
    facts = {"order": Facts("order", "", {"placed_eur": Fact(type="number"), "grade": Fact(type="text", categories=("A", "B"))})}
    table = read(dmn(("< 10", "-", "y"), values=""), "x")
    with pytest.raises(ConfigError, match="there is no input 'Order value' for the column 'Order value'"):
        tree_of(table, facts, facts="order", otherwise="n")
    assert tree_of(table, facts, facts="order", names={"Order value": "placed_eur"}, otherwise="n").inputs == ("placed_eur",)


def test_the_published_schemas_are_those_of_the_code() -> None:
    """`make docs` writes them."""
    for path, text in files(declared_facts()).items():
        assert path.read_text(encoding="utf-8") == text, path


def test_the_schema_takes_what_the_reader_takes_and_refuses_what_it_refuses() -> None:
    order = declared_facts()["order"]
    validator = jsonschema.Draft7Validator(schema(order))
    text = find_file("credit_release").read_text(encoding="utf-8")
    assert not list(validator.iter_errors(yaml.safe_load(text)))
    wrong = [
        ("rating_grade: E", "rating_grade: F"),
        ("{at_most: 1000}", "{at_most: many}"),
        ("{at_most: 1000}", "{atmost: 1000}"),
        ("otherwise: risk", "else: risk"),
        ("action: hold", "acton: hold"),
        ("unit: 10000", "unit: -1"),
    ]
    for old, new in wrong:
        assert list(validator.iter_errors(yaml.safe_load(text.replace(old, new)))), new
        with pytest.raises(ConfigError):
            tree_from(text.replace(old, new), declared_facts())
    assert not list(jsonschema.Draft7Validator(schema()).iter_errors(yaml.safe_load(TREE.replace("NO", "'NO'"))))


def test_a_picture_shows_every_leaf_and_the_way_that_was_taken() -> None:
    plain, taken = svg(tree()), svg(tree(), tree().decide(ROW))
    for said in ("How much?", "amount above 100", "otherwise", "release", "hold, days 3"):
        assert said in plain
    assert (plain.count('class="edge on"'), taken.count('class="edge on"')) == (0, 2)


def pilothouse(*words: str) -> Result:
    return CliRunner().invoke(app, ["tree", *words])


def test_the_commands_show_decide_and_take_a_table_out_and_in(tmp_path: Path) -> None:
    words = "-v risk.probability=0.3 -v placed_eur=70000 -v invoices_late_and_open=0 -v orders_before=10 --others-missing"
    decided = pilothouse("decide", "credit_release", *words.split(), "--json")
    told = json.loads(decided.stdout)
    assert (told["action"], told["nearest"]["changes"][0]["instead"]) == ("prepayment", 0.129)
    assert pilothouse("export", "credit_release", "--out", str(tmp_path / "credit_release.dmn")).exit_code == 0
    back = pilothouse("import", str(tmp_path / "credit_release.dmn"), "--facts", "order", "--out", str(tmp_path / "credit_release.yaml"))
    assert back.exit_code == 0, back.stderr
    asked_again = pilothouse("decide", str(tmp_path / "credit_release.yaml"), *words.split())
    assert "prepayment, share 0.5: The risk of a late payment calls for half of the order ahead" in asked_again.stdout
    refused = pilothouse("decide", "credit_release", "-v", "placed_eur=much")
    assert refused.exit_code == 1
    assert "placed_eur is 'much', and not a number" in refused.stderr
