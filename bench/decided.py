"""Why of decisions against brute force, over a small company: raw rows are taken away, tables are made again by the models' own texts,
and the agent decides again (`tests/integration/tables/decided_again.py`).

That is for the policy alone: of a language model nobody knows what it would have said to other rows, so why names all that it was told.
"""

from __future__ import annotations

import json
import random
import tempfile
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from bench.desk import about, company, kept
from bench.figure import Figure, figure
from pilothouse.agents.agent import Agent
from pilothouse.agents.capsules import Ledger
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.explaining.why import Deciding
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.kernel.lake import Lake
from pilothouse.tables.project import FOLDER, Project
from pilothouse.tables.why.explain import Explainer
from tests.champion import crown
from tests.integration.tables.decided_again import DecidedAgain, resolved
from tests.integration.tables.remade import compiled, rows_of
from tests.integration.tables.removal import is_cause

PROVED: Final = 20  # decisions that are held against brute force
CHECKED: Final = 8  # rows behind each
REMOVED: Final = 40  # rows that are not behind it


def proof(scale: float, proved: int = PROVED) -> list[Figure]:
    """Recall and precision of the rows that are named."""
    dice = random.Random(5)
    otherwise = idle = named_rows = checked = 0
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        home = Path(folder)
        lake = company(home, scale)
        crown(lake)
        project = Project.load(FOLDER, home / "work")
        deciding = Deciding(lake, Explainer(lake, project, home / "work"))
        with kept(folder) as (ledger, _):
            again = DecidedAgain(lake, project, compiled(lake, project, home / "work"), CREDIT_DESK)
            for one in drawn(lake, ledger, CREDIT_DESK, dice, proved):
                why = deciding.why(one, CREDIT_DESK)
                versions = {(each.table, each.row_id + each.seen_at) for each in why.sources}
                rows = sorted(rows_of(versions))
                snapshot = Snapshot.of(lake, one.versions)
                expected = again.said(run(CREDIT_DESK, one.request, snapshot))
                snapshot.close()
                small = again.whole(versions)
                answer = cache(partial(again.answer, small, one.request))
                otherwise += answer(frozenset()) != expected
                made = sorted(set(rows) - resolved(why.rows))
                sample = dice.sample(made, min(CHECKED, len(made)))
                idle += sum(not is_cause(each, rows, answer) for each in sample)
                checked, named_rows = checked + len(sample), named_rows + len(rows)
            missing, removed = unnamed(again, lake, ledger, deciding, dice)
    return [
        figure(
            f"why, decisions that come out otherwise when made of the {named_rows:,} rows named alone, of {proved}",
            otherwise,
            "decisions",
            better="lower",
            bar=0,
        ),
        figure(
            f"why, decisions that one of {removed} rows not named changes when it is taken away",
            missing,
            "decisions",
            better="lower",
            bar=0,
        ),
        figure(f"why, rows named without cause, of a sample of {checked:,}", idle, "rows", better="lower", bar=0),
    ]


def unnamed(again: DecidedAgain, lake: Lake, ledger: Ledger, deciding: Deciding, dice: random.Random) -> tuple[int, int]:
    """Take rows out of the whole company that decisions do not name, of tables that they read: how many then change, of how many."""
    whole = again.whole()
    found = [*ledger.entries(kind="decision")][:5]
    missing = removed = 0
    for one in (Opened(ledger, each) for each in found):
        why = deciding.why(one, again.agent)
        rows = {(each.table, each.row_id) for each in why.sources}
        before = again.answer(whole, one.request)
        for table in dice.choices(sorted({table for table, _ in rows}), k=REMOVED // len(found)):
            raw = lake.table(table).scan().select("_row_id").collect()["_row_id"]
            gone = table, raw[dice.randrange(raw.len())].hex().upper()
            if gone not in rows:
                removed += 1
                missing += again.answer(whole, one.request, frozenset({gone})) != before
    return missing, removed


def drawn(lake: Lake, ledger: Ledger, agent: Agent, dice: random.Random, count: int) -> list[Opened]:
    """Decisions of a small company, as many of each kind as there are."""
    snapshot = Snapshot.take(lake, agent.tables)
    orders = lake.table("marts/fct_order").scan().select("order_id").collect()["order_id"].sort().to_list()
    made = [run(agent, about(order), snapshot) for order in dice.sample(orders, min(8 * count, len(orders)))]
    snapshot.close()
    kinds: dict[str, list[Any]] = {}
    for each in made:
        kinds.setdefault(json.loads(each.output)["action"], []).append(each)
    several = [each for kind in kinds.values() for each in kind[: -(-count // len(kinds))]][:count]
    return [Opened(ledger, capsule) for capsule in ledger.append([each.draft() for each in several])]
