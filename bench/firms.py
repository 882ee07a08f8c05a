"""One firm from many records: how often it is right, how long a million records take, and what a split leaves behind.

Right is what the generator of the company knows, pair by pair of records that are taken as one firm. The million is made of the usual
company's records, copy by copy in another alphabet: each copy is a company of its own, with likenesses inside it and across.
"""

from __future__ import annotations

import random
import sqlite3
import string
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

import duckdb
import pyarrow as pa

from bench import tables
from bench.apart import ours
from bench.figure import Figure, figure
from graph.resolution.firms import FIRMS
from graph.resolution.resolver import learned, links
from graph.resolution.tables import firm_links, firm_members
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import TableSettings
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from tests.febrl import PEOPLE, records

MILLION = 1_000_000
TRIALS = 1_000
_SYSTEMS = {"sap": "s4", "salesforce": "crm", "bureau": "bureau"}


def figures(million: int = MILLION, trials: int = TRIALS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        tables.raw(folder, 1.0)
        lake, work = Lake(f"{folder}/lake"), Path(folder) / "work"
        failed = [made.reason for made in Builder(lake, Project.load(FOLDER, work), work, TableSettings()).build() if made.reason]
        if failed:
            raise RuntimeError("\n".join(failed))
        precision, recall = rightness(lake, Path(folder) / "company" / "truth.sqlite")
        whole = ours("bench.firms:resolve_many", folder, str(million))
        unlike = split_again(lake, trials)
    return [
        figure("precision, usual company", 100 * precision, "%", bar=99),
        figure("F1, usual company", 200 * precision * recall / (precision + recall), "%", bar=97),
        figure(f"{whole.rows:,} records", whole.seconds, "s", better="lower", bar=240),
        figure("peak memory of that", whole.peak_mb, "MB", better="lower"),
        figure(f"splits of {trials:,} that leave a trace", unlike, "", better="lower", bar=0.5),
        *(figure(f"FEBRL {number}, recall at precision {100 * p:.1f} %", 100 * r, "%", bar=least) for number, least, p, r in people()),
    ]


def rightness(lake: Lake, truth: Path) -> tuple[float, float]:
    """Precision and recall of the pairs of records in one firm."""
    with sqlite3.connect(truth) as known:
        firm_of = {(_SYSTEMS[system], number): firm for system, number, firm in known.execute("SELECT system, id, firm FROM identity")}
    groups = defaultdict(list)
    for row in lake.table("intermediate/int_firm_member").scan().collect().iter_rows(named=True):
        groups[row["firm_id"]].append(firm_of[row["source"], row["record_id"]])
    taken = sum(_pairs(len(group)) for group in groups.values())
    right = sum(_pairs(count) for group in groups.values() for count in Counter(group).values())
    true = sum(_pairs(count) for count in Counter(firm for group in groups.values() for firm in group).values())
    return right / taken, right / true


def _pairs(count: int) -> int:
    return count * (count - 1) // 2


def resolve_many(folder: str, count: str) -> int:
    """Learn, link and group this many records; returns how many there were."""
    parties = _many(Lake(f"{folder}/lake").table("intermediate/int_party").scan().collect().to_arrow(), int(count))
    weights = pa.table({"weights": [learned(FIRMS, parties).as_json()]})
    return int(firm_members(parties, firm_links(parties, weights), _nothing_said()).num_rows)


def _many(parties: pa.Table, count: int) -> pa.Table:
    letters = string.ascii_lowercase
    copies = []
    with duckdb.connect() as connection:
        connection.register("parties", parties)
        for copy in range(-(-count // parties.num_rows)):
            turn = 1 + copy % 25
            other = f"translate(lower(strip_accents({{}})), '{letters}', '{letters[turn:] + letters[:turn]}')"
            changed = ", ".join(f"{other.format(name)} AS {name}" for name in ("name", "street", "city", "website"))
            rest = f"record_id || '-{copy}' AS record_id, tax_number || '{copy}' AS tax_number, postal_code || '{copy}' AS postal_code"
            copies.append(connection.sql(f"SELECT * REPLACE ({changed}, {rest}) FROM parties").to_arrow_table())
    return pa.concat_tables(copies).slice(0, count)


def _nothing_said() -> pa.Table:
    return pa.table({name: pa.array([], pa.string()) for name in ("left_record", "right_record", "verdict")})


def split_again(lake: Lake, trials: int) -> int:
    """Merge two firms, split them again, and count how often anything is not as before. The tables behind follow from this one
    (`tests/integration/tables/test_firms.py` compares them all)."""
    parties, found = (lake.table(f"intermediate/{name}").scan().collect().to_arrow() for name in ("int_party", "int_firm_link"))
    before, dice, unlike = firm_members(parties, found, _nothing_said()), random.Random(7), 0
    firm_of = {f"{row['source']}:{row['record_id']}": row["firm_id"] for row in before.to_pylist()}
    for _ in range(trials):
        left, right = sorted(dice.sample(sorted(firm_of), 2))
        if firm_of[left] != firm_of[right]:
            said = pa.table({"left_record": [left], "right_record": [right], "verdict": ["different"]})
            unlike += not firm_members(parties, found, said).equals(before)
    return unlike


def people() -> list[tuple[int, float, float, float]]:
    """FEBRL 1 to 4 with the recall to reach, and our precision and recall."""
    told = []
    for number, least in ((1, 99.6), (2, 99.0), (3, 98.8), (4, 99.7)):
        rows, same = records(number)
        found = {
            (row["left_id"], row["right_id"])
            for row in links(PEOPLE, learned(PEOPLE, rows), rows).to_pylist()
            if row["probability"] >= PEOPLE.likely
        }
        told.append((number, least, len(found & same) / len(found), len(found & same) / len(same)))
    return told
