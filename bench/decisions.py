"""Decisions: what one costs, what it costs to remember it, whether all can be made again, and why, at a million orders and exactly.

Each brain makes ten thousand decisions over the tables of a million orders: the policy, and a language model whose server nobody here
wrote, which calls tools, also such as there are none, and says what is no decision before it says one. They are kept as the platform
keeps them, written into a bundle and made again from the bundle alone, in a process in which every socket is refused. Whether why is
right is held against brute force over a small company (`decided.py`).
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, Final

from bench import tables
from bench.apart import ours
from bench.decided import proof
from bench.desk import about, built, company, kept
from bench.figure import Figure, figure
from bench.why import percentile
from pilothouse.agents.agent import Agent
from pilothouse.agents.brains.gateway import Gateway
from pilothouse.agents.brains.language import speaking
from pilothouse.agents.brains.speakers import Speaker
from pilothouse.agents.capsules import Capsule, Ledger, bundle
from pilothouse.agents.capsules.bundle import Bundle
from pilothouse.agents.capsules.capsule import Digest
from pilothouse.agents.deciding import HELD_BACK, TOGETHER
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.explaining.opened import Opened
from pilothouse.agents.explaining.why import Deciding
from pilothouse.agents.running import Run, replay, run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.kernel.database import Database
from pilothouse.kernel.errors import AgentError
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import LanguageModelSettings, ProviderSettings
from pilothouse.tables.project import FOLDER, Project
from pilothouse.tables.why.explain import Explainer
from tests.aimock import Aimock, calls
from tests.champion import crown

ALONE: Final = 50  # decisions that are remembered each by itself, as where one order comes at a time
SCRIPTED: Final = 50  # decisions for which a server is told what to say at once
EXPLAINED: Final = 100
TOOK: Final = "decisions.json"


def figures(large: float = 25.0, decisions: int = 10_000, small: float = 0.02) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        orders = tables.raw(folder, large)
        ours("bench.decisions:prepare", folder)
        made = ours("bench.decisions:decide", folder, str(decisions)).rows + ours("bench.decisions:speak", folder, str(decisions)).rows
        again = ours("bench.decisions:make_again", folder)
        ours("bench.decisions:explain", folder)
        first = ours("bench.decisions:explain_first", folder)
        took: dict[str, Any] = json.loads((Path(folder) / TOOK).read_text())
    return [
        figure(f"a policy decision, warm, {orders:,} orders, p95", took["decision_p95"], "ms", better="lower", bar=20),
        figure("  p50", took["decision_p50"], "ms", better="lower"),
        figure("remembering it, where orders come in numbers", 100 * took["recording"], "% of a decision", better="lower", bar=5),
        figure("  where one comes at a time, and is on disk before it is told", took["alone"], "ms", better="lower"),
        figure("the same of a language model's decision", 100 * took["spoken_recording"], "% of a decision", better="lower", bar=5),
        figure("a capsule after deduplication, median", took["capsule_median"] / 1_000, "KB", better="lower", bar=50),
        figure("the same of a language model's decision", took["spoken_median"] / 1_000, "KB", better="lower", bar=50),
        figure("  all of them, on disk", took["stored"] / made / 1_000, "KB each", better="lower"),
        figure(
            f"replay of {made:,} decisions of both brains, every socket refused: incomplete or of other bytes",
            made - again.rows,
            "",
            better="lower",
            bar=0,
        ),
        figure("  decisions made again", again.rows / took["replay_seconds"], "a second"),
        figure(f"why of a decision, {orders:,} orders, p95", took["why_p95"], "ms", better="lower", bar=1_000),
        figure("  p50", took["why_p50"], "ms", better="lower"),
        figure("  source rows behind one, median", took["why_rows"], "rows"),
        figure("  the first answer of a new process", first.rows / 1_000, "ms", better="lower"),
        *proof(small),
    ]


def prepare(folder: str) -> int:
    """Tables, measures, and a model in force that learned from a smaller company of the same kind."""
    lake, work = Lake(f"{folder}/lake"), Path(folder) / "work"
    built(lake, work)
    small = Path(folder) / "small"
    learned = company(small, 0.2)
    crown(lake, learned=learned)
    return lake.table("features/feat_order_risk").rows()


def decide(folder: str, count: str) -> int:
    """Let the policy make and keep so many decisions on the newest orders; how many they are."""
    with kept(folder) as (ledger, _):
        took, runs = worked(folder, int(count), CREDIT_DESK, ledger)
        alone = [timed(lambda made=made: ledger.append([made.draft()])) for made in runs[-ALONE:]]  # type: ignore[misc]
        capsules = [*ledger.entries(kind="decision")]
        note(
            folder,
            decision_p95=percentile(took.thinking, 0.95) * 1_000,
            decision_p50=percentile(took.thinking, 0.5) * 1_000,
            recording=took.share,
            alone=percentile(alone, 0.5) * 1_000,
            capsule_median=statistics.median(sizes(ledger, capsules[::-1])),
        )
        return len(capsules)


def speak(folder: str, count: str) -> int:
    """Let a language model do the same, and write all decisions into a bundle."""
    with kept(folder) as (ledger, database), Aimock() as server:
        known = ledger.count()
        given = LanguageModelSettings(provider="one", name="m", input_price=Decimal(1), output_price=Decimal(1))
        gateway = Gateway([Speaker("small", given, ProviderSettings(kind="compatible", url=f"{server.url}/v1"))])
        took, _ = worked(folder, int(count), speaking(CREDIT_DESK, ("small",), gateway), ledger, partial(scripted, server))
        gateway.close()
        capsules = [*ledger.entries(kind="decision")]
        spoken = [each for each in capsules[::-1] if each.seq > known]
        note(
            folder,
            spoken_recording=took.share,
            spoken_median=statistics.median(sizes(ledger, spoken)),
            stored=stored(database),
        )
        bundle.write(ledger, capsules, Path(folder) / "decisions.zip")
        return len(spoken)


def scripted(server: Aimock, turn: int, order: str) -> None:
    """From now on the model decides otherwise than before, and comes to it another way."""
    ways: tuple[tuple[dict[str, Any], ...], ...] = (
        (),
        (calls("features", order_id=order),),
        (calls("pay_out", amount=1_000), calls("group", firm_id="nobody")),
        ({"content": "I would hold it."}, calls("decide", action="burn")),
    )
    action = ("release", "prepayment", "hold")[turn % 3]
    server.says(*ways[turn % len(ways)], calls("decide", action=action, reasons=[f"as order {order} is"], confidence=0.5))


@dataclass
class Took:
    """Seconds that decisions took, one by one, and that remembering them took."""

    thinking: list[float] = field(default_factory=list)
    remembering: float = 0.0

    @property
    def share(self) -> float:
        """Of all the time, what went into remembering."""
        return self.remembering / (self.remembering + sum(self.thinking))


def worked(
    folder: str, count: int, agent: Agent, ledger: Ledger, script: Callable[[int, str], None] = lambda *_: None
) -> tuple[Took, list[Run]]:
    """Decide on so many of the newest orders, and remember as `Deciding` does: what was decided within half a second in one commit."""
    lake = Lake(f"{folder}/lake")
    orders = lake.table("marts/fct_order").scan().select("order_id").collect()["order_id"].sort().to_list()
    wanted = random.Random(5).sample(orders[-max(4 * count, 100) :], min(count, len(orders)))
    snapshot, took, pending, last = Snapshot.take(lake, agent.tables), Took(), list[Run](), list[Run]()
    script(0, wanted[0])
    run(agent, about(wanted[0]), snapshot)  # what is opened once
    since = time.perf_counter()
    for number, order in enumerate(wanted, 1):
        if number % SCRIPTED == 0:
            script(number // SCRIPTED, order)
        began = time.perf_counter()
        pending.append(run(agent, about(order), snapshot))
        now = time.perf_counter()
        took.thinking.append(now - began)
        if len(pending) >= TOGETHER or now - since > HELD_BACK or number == len(wanted):
            ledger.append([each.draft() for each in pending])
            took.remembering += time.perf_counter() - now
            last, pending, since = [*last, *pending][-ALONE:], [], time.perf_counter()
    snapshot.close()
    return took, last


def sizes(ledger: Ledger, capsules: list[Capsule]) -> Iterator[int]:
    """The bytes that each brought which were not there yet."""
    known: set[Digest] = set()
    for capsule in capsules:
        new = {*capsule.blobs.values()} - known
        known |= new
        yield sum(len(ledger.blob(each)) for each in new) + len(json.dumps(capsule.manifest))


def stored(database: Database) -> int:
    """What the database takes for all of it, indexes included."""
    import sqlalchemy as sa

    total = "SELECT sum(pg_total_relation_size(each)) FROM unnest(ARRAY['pilothouse.capsules', 'pilothouse.capsule_blobs']) AS each"
    with database.reading() as connection:
        return int(connection.scalar(sa.text(total)) or 0)


def make_again(folder: str) -> int:
    """How many decisions of the bundle come out byte for byte, with nobody to ask."""

    def refused(*_: Any, **__: Any) -> None:
        raise RuntimeError("a replay asked the network")

    there = Bundle(Path(folder) / "decisions.zip")
    for name in ("connect", "connect_ex"):
        setattr(socket.socket, name, refused)
    damaged = {each.seq for each in there.verify()}
    began = time.perf_counter()
    same = sum(each.seq not in damaged and said_again(there, each) for each in there.entries(kind="decision"))
    note(folder, replay_seconds=time.perf_counter() - began)
    return same


def said_again(there: Bundle, capsule: Capsule) -> bool:
    """Whether a decision is made again as it was; one that cannot be made at all is told."""
    try:
        return replay(there, capsule, CREDIT_DESK).identical
    except AgentError as error:
        print(error, file=sys.stderr)
        return False


def explain(folder: str) -> int:
    """Microseconds that nineteen of twenty answers take at most, in a process that has answered before."""
    deciding, there = opened(folder)
    took, rows = [], []
    for number, capsule in enumerate(random.Random(7).sample(there, EXPLAINED + 3)):
        began = time.perf_counter()
        found = deciding.why(capsule, CREDIT_DESK)
        if number >= 3:
            took.append(time.perf_counter() - began)
            rows.append(len(found.sources))
    p95 = percentile(took, 0.95)
    note(folder, why_p95=p95 * 1_000, why_p50=percentile(took, 0.5) * 1_000, why_rows=statistics.median(rows))
    return round(p95 * 1_000_000)


def explain_first(folder: str) -> int:
    """Microseconds of the first answer of a process."""
    began = time.perf_counter()
    deciding, there = opened(folder)
    deciding.why(there[0], CREDIT_DESK)
    return round((time.perf_counter() - began) * 1_000_000)


def opened(folder: str) -> tuple[Deciding, list[Opened]]:
    there, work = Bundle(Path(folder) / "decisions.zip"), Path(folder) / "work"
    lake = Lake(f"{folder}/lake")
    return Deciding(lake, Explainer(lake, Project.load(FOLDER, work), work)), [
        Opened(there, each) for each in there.entries(kind="decision")
    ]


def timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def note(folder: str, **told: float) -> None:
    """Keep figures for the process that prints them."""
    file = Path(folder) / TOOK
    known = json.loads(file.read_text()) if file.exists() else {}
    draft = file.with_suffix(".new")
    draft.write_text(json.dumps({**known, **told}))
    draft.replace(file)
