"""A hundred thousand changed orders into a table of five million, end to end: asked by cursor, carried, and durable.

Ours checks them by twenty rules, recognises what it has read before and appends the rest. The peer is dlt's merge (upsert, the
one strategy it has for Delta that replaces rows) through connectorx; of delta-rs' two ways to merge, streamed or not, the faster
counts. Both begin with the full table loaded, and read the same database at the same moment.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import psycopg

from assets.loading import Loader
from bench import orders
from bench.apart import ours, peer
from bench.figure import Figure, figure
from bench.sql import RULES, complete
from pilothouse.kernel.lake import Lake

CHANGED = 50  # one row in so many is news: nine tenths of that are changed orders, all over the table, and one tenth new ones
WAYS = {"streamed": "true", "not streamed": "false"}


def figures(rows: int = orders.ROWS) -> list[Figure]:
    with tempfile.TemporaryDirectory(prefix="pilothouse-bench-") as folder:
        place = Path(folder)
        with orders.database(place, rows) as url:
            complete(ours("bench.sql:load", url, str(place / "lake")), rows)
            complete(peer("changes.py", url, str(place / "streamed"), "load", "true"), rows)
            shutil.copytree(place / "streamed", place / "not streamed")
            change(url, rows)
            mine = ours("bench.changes:load_changes", url, str(place / "lake"))
            others = {said: peer("changes.py", url, str(place / said), "merge", way) for said, way in WAYS.items()}
    changed = rows // CHANGED
    complete(mine, changed)
    for contender in others.values():
        complete(contender, rows + changed // 10)
    said, theirs = min(others.items(), key=lambda other: other[1].seconds)
    name = f"dlt, connectorx, merge {said}, unchecked"
    return [
        figure(
            f"{changed:,} changed rows into {rows:,}, end to end",
            mine.seconds,
            "s",
            better="lower",
            peer=name,
            peer_value=theirs.seconds,
            ratio_bar=5,
        ),
        figure("peak memory", mine.peak_mb, "MB", better="lower", peer=name, peer_value=theirs.peak_mb),
    ]


def change(url: str, rows: int) -> None:
    """Let the business go on for a moment."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(
            "UPDATE orders SET quantity = quantity %% 40 + 1, status = 'returned', updated_at = now() WHERE id %% %s = 7 AND id %% %s <> 7",
            (CHANGED, CHANGED * 10),
        )
        for frame in orders.frames(rows // CHANGED // 10, first=rows):
            orders.insert(connection, frame.with_columns(updated_at=datetime.now(UTC)))
        connection.execute("VACUUM (ANALYZE) orders")


def load_changes(url: str, lake: str) -> int:
    """Our side: how many rows were news, appended or held back."""
    with closing(orders.source(url)) as source:
        done = Loader(Lake(lake), source, source.streams()[0], RULES).run()
        return done.upserts + done.rejected
