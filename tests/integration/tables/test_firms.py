"""Firms of a living company: found, corrected, and put back as if nothing had been said."""

from __future__ import annotations

import random
from collections import Counter, defaultdict
from itertools import pairwise

import polars as pl

from graph.resolution.corrections import Corrections
from pilothouse.tables.building import Builder
from tests.integration.tables.test_building import built, lived
from tests.raw_company import RawCompany

SYSTEMS = {"s4": "sap", "crm": "salesforce", "bureau": "bureau"}
TRIALS = 2


def firms(raw: RawCompany) -> dict[str, str]:
    rows = raw.lake.table("intermediate/int_firm_member").scan().collect()
    return {f"{row['source']}:{row['record_id']}": row["firm_id"] for row in rows.iter_rows(named=True)}


def state(raw: RawCompany, builder: Builder) -> dict[str, str]:
    """What every table says, but for what people said."""
    models = [model for model in builder.project.published.values() if model.name != "stg_pilothouse__firm_correction"]
    return {model.table: raw.lake.table(model.table).digest() for model in models}


def test_the_firms_found_are_those_that_are(raw: RawCompany, builder: Builder) -> None:
    lived(raw, 40)
    built(builder)
    truth, found = raw.company.truth, firms(raw)
    groups = defaultdict(list)
    for record, firm in found.items():
        source, _, number = record.partition(":")
        groups[firm].append(truth.firm_of(SYSTEMS[source], number))
    right = sum(pairs(count) for group in groups.values() for count in Counter(group).values())
    taken = sum(pairs(len(group)) for group in groups.values())
    true = sum(pairs(count) for count in Counter(firm for group in groups.values() for firm in group).values())
    precision, recall = right / taken, right / true
    assert precision >= 0.99
    assert 2 * precision * recall / (precision + recall) >= 0.97


def pairs(count: int) -> int:
    return count * (count - 1) // 2


def test_every_merge_keeps_its_evidence(raw: RawCompany) -> None:
    members = raw.lake.table("intermediate/int_firm_member").scan().filter(pl.col("evidence") == "likeness").collect()
    links = raw.lake.table("intermediate/int_firm_link").scan().filter("is_same").collect()
    linked = {frozenset(pair) for pair in links.select("left_id", "right_id").iter_rows()}
    assert members.height > 20
    for way in members["through"]:
        records = way.split(" ")
        assert all(frozenset(pair) in linked for pair in pairwise(records))
    (weights,) = raw.lake.table("intermediate/int_firm_weights").scan().collect()["version"]
    assert set(links["weights_version"]) == {weights}


def test_a_merge_that_is_split_again_leaves_every_table_as_if_it_had_never_been(raw: RawCompany, builder: Builder) -> None:
    corrections, dice = Corrections(raw.lake), random.Random(3)
    for _ in range(TRIALS):
        before, found = state(raw, builder), firms(raw)
        customers = sorted(record for record in found if record.startswith("s4:"))
        left, right = dice.sample(customers, 2)
        while found[left] == found[right]:
            left, right = dice.sample(customers, 2)
        corrections.say(left, right, "same", by="test")
        built(builder)
        assert firms(raw)[left] == firms(raw)[right]
        assert state(raw, builder)["features/feat_order_risk"] != before["features/feat_order_risk"]
        corrections.say(left, right, "different", by="test")
        built(builder)
        assert state(raw, builder) == before


def test_a_split_outlives_every_rerun_and_can_be_taken_back(raw: RawCompany, builder: Builder) -> None:
    before, found = state(raw, builder), firms(raw)
    links = raw.lake.table("intermediate/int_firm_link").scan().filter("is_same").sort("weight").collect()
    left, right = links.select("left_id", "right_id").row(0)
    assert found[left] == found[right]
    corrections = Corrections(raw.lake)
    corrections.say(left, right, "different", by="test")
    built(builder)
    assert firms(raw)[left] != firms(raw)[right]
    assert [made.reason for made in builder.build(full=True, learn=True) if made.reason] == []
    assert firms(raw)[left] != firms(raw)[right]
    corrections.say(left, right, "same", by="test")
    built(builder)
    assert firms(raw)[left] == firms(raw)[right]
    (row,) = raw.lake.table("marts/dim_firm").scan().filter(pl.col("firm_id") == firms(raw)[left]).collect().to_dicts()
    assert row["partners"] + row["accounts"] + (row["bureau_id"] is not None) >= 2
    assert before.keys() == state(raw, builder).keys()


def test_a_record_keeps_its_firm_while_others_come_and_go(raw: RawCompany, builder: Builder) -> None:
    before = firms(raw)
    lived(raw, 40)
    built(builder)
    after = firms(raw)
    moved = [record for record in before.keys() & after.keys() if before[record] != after[record] and before[record] in set(after)]
    assert moved == []
