"""How long it takes to decide 10,000 times again, that no later row is read, and that a bad batch's decisions are found: all, and no other.

Eight thousand occasions are orders from before the ledger, two thousand are decisions of it. The canaries are rows of the days after,
planted at several days of the past and taken away again: every firm complains, is bought and owes a fortune, every order says
something else. What was asked before such a day is decided again, and nothing may differ by a byte. The bad batch is of orders that
customers never placed. Which decisions it touched follows without provenance: those about the orders themselves, and about later
orders of the same firms, made after the batch came.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Final

import polars as pl
import polars.selectors as cs

from bench import tables, value
from bench.figure import Figure, figure
from graph.resolution.corrections import Corrections
from models.declared.late_payment_risk import LATE_PAYMENT_RISK
from pilothouse.agents.agent import Request
from pilothouse.agents.capsules import Ledger, Signer
from pilothouse.agents.capsules.capsule import Digest
from pilothouse.agents.desks.credit_desk import CREDIT_DESK
from pilothouse.agents.running import run
from pilothouse.agents.snapshot import Snapshot
from pilothouse.hindsight.affected import Affected
from pilothouse.hindsight.backtest.candidate import candidate
from pilothouse.hindsight.backtest.comparison import compared
from pilothouse.hindsight.backtest.events import Event, occasions, since_unseen
from pilothouse.hindsight.backtest.running import Backtest
from pilothouse.hindsight.money import Money
from pilothouse.hindsight.orders import fates
from pilothouse.kernel.database import Database
from pilothouse.kernel.lake import Lake
from pilothouse.kernel.settings import MoneySettings, TableSettings
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.sandbox.company.company import Company
from pilothouse.sandbox.company.sap import SALES_ORDER
from pilothouse.tables.building import Builder
from pilothouse.tables.project import FOLDER, Project
from pilothouse.tables.why.explain import Explainer
from pilothouse.tables.why.impact import Impact
from tests.champion import crown
from tests.raw_company import RawCompany

OCCASIONS: Final = 10_000
OF_LEDGER: Final = 2_000
BAD: Final = 40  # orders of the bad batch
CANARIES: Final = 2_000  # occasions that are decided again beside canaries
PLANTED: Final = 8  # days at which canaries are planted, so that none is far from the occasions before it
MODELS: Final = {LATE_PAYMENT_RISK.name: LATE_PAYMENT_RISK}


def figures(scale: float = 1.0, small: float = 0.25) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        found = again(folder, scale)
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        return [*found, *blast(folder, small)]


def again(folder: str, scale: float) -> list[Figure]:
    """Ten thousand decisions, and canaries."""
    lake = value.made(folder, scale)
    with ledger_in(folder) as ledger:
        since = since_unseen(lake, MODELS.values(), CREDIT_DESK)
        orders = [event.order for event in occasions(lake, None, CREDIT_DESK, since, None)]
        decide(lake, ledger, orders[-OF_LEDGER:])
        events = occasions(lake, ledger, CREDIT_DESK, since, None)[-OCCASIONS:]
        tried, money = candidate(CREDIT_DESK, thresholds=["risk.probability:0.22=0.3"]), Money(MoneySettings())
        began = time.perf_counter()
        found = compared(tried, Backtest(lake, MODELS, tried).over(events), fates(lake, money), money)
        seconds = time.perf_counter() - began
        some = events[:: max(1, len(events) // CANARIES)]
        changed = differing(lake, sorted(some, key=lambda event: event.day))
    if found.occasions < OCCASIONS and scale >= 1:
        raise RuntimeError(f"there were {found.occasions:,} occasions, and it takes {OCCASIONS:,}")
    return [
        figure(
            f"backtest of {found.occasions:,} decisions, {found.of_ledger:,} of them of the ledger", seconds, "s", better="lower", bar=600
        ),
        figure(
            f"decisions of {len(some):,} that differ beside rows of later days, {PLANTED} times",
            changed,
            "decisions",
            better="lower",
            bar=0,
        ),
    ]


def told(lake: Lake, events: Sequence[Event]) -> list[bytes]:
    """What the agent as it is says, byte by byte."""
    return [each.output for each in Backtest(lake, MODELS, candidate(CREDIT_DESK)).over(events)]


def differing(lake: Lake, some: Sequence[Event]) -> int:
    """How many occasions are decided otherwise where the days after them say something else."""
    size, changed = -(-len(some) // PLANTED), 0
    for begin in range(0, len(some), size):
        part = some[begin : begin + size]
        before = told(lake, part)
        with planted(lake, part[-1].day):
            changed += sum(then != now for then, now in zip(before, told(lake, part), strict=True))
    return changed


@contextmanager
def planted(lake: Lake, day: date) -> Iterator[None]:
    """For a while, rows of that day and later ones, of every firm; and orders that say something else since."""
    firms = lake.table("marts/dim_firm").scan().select("firm_id").collect()
    grown = {
        "marts/fct_exposure": firms.with_columns(day=pl.lit(day), open_eur=9e8, overdue_1_30_eur=9e8),
        "marts/fct_ownership": firms.select(owner_firm_id=pl.col("firm_id").first(), owned_firm_id="firm_id", since=pl.lit(day)),
        "marts/fct_case": firms.with_row_index("case_id").with_columns(opened_at=pl.lit(day), is_closed=pl.lit(value=False)),
    }
    before = {name: lake.table(name).scan().collect() for name in (*grown, "marts/fct_order")}
    for name, rows in grown.items():
        known = before[name]
        more = rows.with_columns(_synthetic=pl.lit(value=True)).cast({each: known.schema[each] for each in rows.columns})
        write(lake, name, pl.concat([known, more], how="diagonal").with_columns(cs.numeric().fill_null(0)))
    orders = before["marts/fct_order"]
    said = {"delivery_block": pl.lit("01"), "is_rejected": pl.lit(value=True), "net_amount_eur": pl.col("net_amount_eur") * 3}
    write(lake, "marts/fct_order", orders.with_columns(**said).cast(dict(orders.schema)))  # type: ignore[arg-type]
    yield
    for name, rows in before.items():
        write(lake, name, rows)


def write(lake: Lake, name: str, rows: pl.DataFrame) -> None:
    """Make these the rows of a table."""
    lake.table(name).replace(rows.to_arrow().to_reader())


@dataclass(frozen=True)
class World:
    """A company that is synced, and its builder."""

    raw: RawCompany
    builder: Builder
    project: Project
    work: Path


def blast(folder: str, scale: float) -> list[Figure]:
    """A bad batch of orders, and the decisions that it touched."""
    world = made(folder, scale)
    lake = world.raw.lake
    crown(lake)
    with ledger_in(folder) as ledger:
        orders = newest(lake)
        decide(lake, ledger, orders[0::2])
        day = tables.NOW.date() - timedelta(days=30)
        version, planted = bad_batch(world, day)
        decide(lake, ledger, [*orders[1::2], *planted[: BAD // 2]])
        truth = touched(lake, ledger, set(planted), day, len(orders[0::2]))
        impact = Impact(Explainer(lake, world.project, world.work), world.project.published.values())
        rows = lake.table("raw/s4/sales_order").scan(version).filter(pl.col("SalesOrder").is_in(planted))
        keys = [(row.hex().upper(),) for row in rows.select("_row_id").collect()["_row_id"]]
        began = time.perf_counter()
        found = {each.capsule.digest for each in Affected(lake, ledger, lambda: impact).by_rows("raw/s4/sales_order", keys)}
        seconds = time.perf_counter() - began
        decisions = sum(1 for _ in ledger.entries(kind="decision"))
    title = f"a bad batch of {BAD} orders, {decisions:,} decisions, {len(truth):,} of them touched"
    return [
        figure(f"{title}: found", seconds, "s", better="lower", bar=60),
        figure("touched and not found", len(truth - found), "decisions", better="lower", bar=0),
        figure("found and not touched", len(found - truth), "decisions", better="lower", bar=0),
    ]


def made(folder: str, scale: float) -> World:
    """A company in raw tables that can be synced again, and its tables."""
    work = Path(folder) / "work"
    company = Company.open(Path(folder), seed=7, scale=scale, now=tables.NOW)
    raw = RawCompany(company, Lake(f"{folder}/lake"))
    raw.sync()
    Corrections(raw.lake).ensure()
    project = Project.load(FOLDER, work)
    world = World(raw, Builder(raw.lake, project, work, TableSettings()), project, work)
    build(world.builder)
    return world


def build(builder: Builder) -> None:
    """Make every table."""
    failed = [made.reason for made in builder.build() if made.reason]
    if failed:
        raise RuntimeError("\n".join(failed))


def newest(lake: Lake) -> list[str]:
    """The newest orders."""
    rows = lake.table("features/feat_order_risk").scan().sort("ordered_on", "order_id").tail(OF_LEDGER).collect()
    return [str(order) for order in rows["order_id"]]


def bad_batch(world: World, day: date) -> tuple[int, list[str]]:
    """Orders that customers never placed, brought by one commit; its version, and their numbers."""
    store = world.raw.company.store
    names = [field.name for field in SALES_ORDER.fields]
    columns = ", ".join(f'"{name}"' for name in names)
    rows = list(store.rows(f'SELECT {columns} FROM {SALES_ORDER.table} GROUP BY "SoldToParty" ORDER BY 1 LIMIT {BAD}'))
    planted = []
    for number, row in enumerate(rows):
        order = f"9{number:06}"
        said = {"SalesOrder": order, "CreationDate": day.isoformat(), "TotalNetAmount": "900000.000", "OverallSDProcessStatus": "A"}
        store.insert(SALES_ORDER, {**dict(zip(names, row, strict=True)), **said}, tables.NOW)
        planted.append(order)
    world.raw.sync()
    build(world.builder)
    return world.raw.lake.table("raw/s4/sales_order").version(), planted


def touched(lake: Lake, ledger: Ledger, planted: set[str], day: date, before: int) -> set[Digest]:
    """Told by what orders mean: decisions after the batch about its orders, or about later orders of the firms that it names."""
    rows = lake.table("features/feat_order_risk").scan().select("order_id", "firm_id", "ordered_on").collect()
    firms = set(rows.filter(pl.col("order_id").is_in(list(planted)))["firm_id"])
    later = set(rows.filter((pl.col("ordered_on") > day) & pl.col("firm_id").is_in(list(firms)))["order_id"])
    after = [capsule for capsule in ledger.entries(kind="decision") if capsule.seq > before]
    return {each.digest for each in after if str(each.manifest["subject"]).rpartition("/")[2] in planted | later}


def decide(lake: Lake, ledger: Ledger, orders: Sequence[str]) -> None:
    """Decide on these orders, and remember it."""
    snapshot = Snapshot.take(lake, CREDIT_DESK.tables)
    requests = (
        Request(subject=f"{CREDIT_DESK.subject}/{order}", at=tables.NOW + timedelta(milliseconds=number), event={})
        for number, order in enumerate(orders)
    )
    ledger.append([run(CREDIT_DESK, request, snapshot).draft() for request in requests])
    snapshot.close()


@contextmanager
def ledger_in(folder: str) -> Iterator[Ledger]:
    """A ledger in a database of its own."""
    with EmbeddedPostgres(Path(folder) / "postgres", durable=False) as server:
        database = Database(Database(server.url()).ensure_database("bench"))
        database.upgrade()
        yield Ledger(database, Signer.open(Path(folder) / "key.pem"))
        database.close()
