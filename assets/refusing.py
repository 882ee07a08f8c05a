"""What a load makes of a changed schema, taken down where people and agents see it, with what of ours reads each column."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import polars as pl
import structlog

from assets.platform import Platform
from pilothouse.agents.toolset.stewardship.drift import REFUSED, OfDrift
from pilothouse.kernel.errors import PilothouseError
from pilothouse.kernel.events import Event
from pilothouse.tables.why.uses import names
from quality.drift import Drift
from quality.refusals import Readers, Refusals, digest

if TYPE_CHECKING:
    from pilothouse.tables.project import Model

SYNC: Final = "a sync"

log = structlog.get_logger()


def note_drift(
    platform: Platform, source_name: str, stream_name: str, drifts: Sequence[Drift], accepted: frozenset[str], *, by: str = SYNC
) -> None:
    """Take down that these differences are refused, or that what was refused is so no longer. What was noted already is not again.

    News wakes the steward. An event that a crash swallows is made up for by its next round.
    """
    refusals = Refusals(platform.lake)
    if platform.drift.refused(drifts, accepted):
        readers, synthetic = _readers(platform, source_name, stream_name), _synthetic(platform, source_name, stream_name)
        if refusals.refuse(source_name, stream_name, drifts, platform.drift, by=by, readers=readers, synthetic=synthetic):
            platform.events.append([Event(REFUSED, OfDrift(source=source_name, stream=stream_name).key)])
        return
    newest, words = refusals.newest(source_name, stream_name), {drift.describe() for drift in drifts}
    if newest is None or newest.status == "gone":
        return
    if newest.status == "refused":  # the source went back, or the policy lets the same differences pass by now
        refusals.settle(source_name, stream_name, "accepted" if newest.seen == digest(words) else "gone", by=by)
    elif accepted and not accepted & words:  # it went back before anything was loaded by what had been accepted
        refusals.settle(source_name, stream_name, "gone", by=by)


def _readers(platform: Platform, source_name: str, stream_name: str) -> Readers:
    """What of ours reads a column of a stream: tables whose text uses it, rules, and the loader itself. Who asks decides whether a column
    may be missing: where it cannot be told what a text uses, whatever it names counts, in a comment, too."""
    source = platform.source(source_name)
    stream, rules = source.stream(stream_name), source.rules(stream_name)
    raw = platform.lake.raw(source_name, stream_name).name

    def of(column: str) -> tuple[str, ...] | None:
        try:
            readers = [
                model.table for model in platform.project.models.values() if raw in model.raw and _reads(platform, model, raw, column)
            ]
        except PilothouseError as error:  # the refusal is to be told, whatever is wrong with tables
            log.warning("what reads a changed column is not known", stream=f"{source_name}/{stream_name}", column=column, why=str(error))
            return None
        judged = [str(rule) for rule in rules if names(column, str(rule.arguments))]
        loader = ["the key of the stream"] if column in stream.key else []
        loader += ["the cursor of the stream"] if stream.cursor is not None and column == stream.cursor.field else []
        return (*sorted(readers), *judged, *loader)

    return of


def _reads(platform: Platform, model: Model, raw: str, column: str) -> bool:
    """Whether a table is made of a column of a raw one."""
    try:
        return bool(platform.explainer.used(model, raw, [column]))
    except PilothouseError as error:
        log.warning("what a table reads is told by what its text names", table=model.table, column=column, why=str(error))
        return names(column, (platform.project.folder / model.path).read_text())


def _synthetic(platform: Platform, source_name: str, stream_name: str) -> bool:
    """Whether what is known of the stream comes from the enterprise in a box."""
    table = platform.lake.raw(source_name, stream_name)
    return bool(table.scan().select(pl.col("_synthetic").any()).collect().item())
