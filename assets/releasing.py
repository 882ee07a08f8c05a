"""Rows that a person lets out of quarantine: they go through the same loader, without the rules they are released from."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime

import polars as pl
import pyarrow as pa

from assets.announcing import announce
from assets.holding import Holding
from assets.loading import Load, Loader
from assets.platform import Platform
from connectors.connector import Connector
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.errors import ConfigError
from pilothouse.kernel.lake import Commit
from pilothouse.kernel.lake.commit import decode_schema
from pilothouse.kernel.log import correlated
from pilothouse.kernel.streams import Batch, Stream, Watermark
from quality import quarantine


class _Released(Connector):
    """The released rows as a source. It keeps the watermark where it is: nothing was read from the real one."""

    def __init__(self, name: str, rows: pl.DataFrame, last: Commit, *, synthetic: bool) -> None:
        self.name = name
        self._rows = rows
        self._last = last
        self._synthetic = synthetic

    def check(self) -> None:
        """It is always there."""

    def streams(self) -> Sequence[Stream]:
        """None of its own."""
        return ()

    def schema(self, stream: Stream) -> pa.Schema:  # noqa: ARG002
        """What the source said at the last commit."""
        return decode_schema(self._last.contract)

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        """One batch."""
        rows = self._rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(self.schema(stream))
        yield Batch(rows=rows, watermark=since, synthetic=self._synthetic)


def release(
    platform: Platform,
    source: str,
    stream_name: str,
    *,
    by: str,
    rule: str | None = None,
    ids: Sequence[str] = (),
    until: datetime | None = None,
) -> Load:
    """Release the open rejections of a rule, up to a moment, or of these ids. Repeating it after a crash adds nothing twice."""
    stream = platform.source(source).stream(stream_name)
    holding = Holding(platform.lake, source, stream_name)
    last = platform.lake.raw(source, stream_name).last_commit()
    if not holding.table.exists():
        raise ConfigError(f"{source}/{stream_name}: nothing is quarantined", hint="`pilothouse quarantine list` shows what is")
    if last is None:
        raise ConfigError(
            f"{source}/{stream_name}: nothing was ever loaded", hint=f"sync it first: `pilothouse sync {source}/{stream_name}`"
        )
    with correlated(), exclusively(platform.database, f"sync {source}/{stream_name}", what=f"a sync of {source}/{stream_name}"):
        history = holding.table.scan()
        rejections = quarantine.open_rejections(history, rule=rule, ids=ids, until=until)
        freed = quarantine.release(rejections, history, by=by)
        rows = quarantine.released(freed.rows, decode_schema(last.contract))
        from_quarantine = _Released(source, rows, last, synthetic=bool(rejections["_synthetic"].any()))
        rules = platform.rules(source, stream_name)
        load = Loader(platform.lake, from_quarantine, replace(stream, deletes="never"), rules, without=freed.rules).run()
        holding.append(freed.records, batch_id=f"release by {by}", at=datetime.now(UTC))
        load.events = announce(platform, source, stream)
    return load
