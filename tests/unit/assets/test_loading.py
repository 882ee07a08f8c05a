"""A load brings the table up to its source: nothing lost, nothing twice, nothing silently wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assets.holding import Holding
from assets.loading import Load, Loader
from connectors.connector import Connector
from pilothouse.kernel.errors import DataRejected, SourceContractChanged, SourceUnavailable
from pilothouse.kernel.lake import Commit, Lake
from pilothouse.kernel.lake.current import current
from pilothouse.kernel.streams import DEFECT, Batch, Cursor, Stream, Watermark
from pilothouse.kernel.versions import Pinned
from quality.rule import Rule

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
SCHEMA = pa.schema([("id", pa.int64()), ("name", pa.string()), ("changed", pa.timestamp("us", "UTC"))])
SNAPSHOT = Stream(name="thing", key=("id",))
BY_CURSOR = Stream(name="thing", key=("id",), cursor=Cursor("changed", lag=timedelta(minutes=5)), deletes="keys")
BY_TOMBSTONES = Stream(name="thing", key=("id",), cursor=Cursor("changed", lag=timedelta(minutes=5)), deletes="tombstones")

Row = dict[str, Any]


def row(identity: int | None, name: str, minute: int = 0) -> Row:
    return {"id": identity, "name": name, "changed": NOON + timedelta(minutes=minute)}


class Book(Connector):
    """A source held in a list: the smallest thing that keeps a connector's promises."""

    name = "book"

    def __init__(self, *rows: Row, schema: pa.Schema = SCHEMA) -> None:
        self.rows = list(rows)
        self.deleted: list[Row] = []
        self.described = schema
        self.page = 2
        self.fail_after: int | None = None

    def check(self) -> None: ...

    def streams(self) -> Sequence[Stream]:
        return [SNAPSHOT]

    def schema(self, stream: Stream) -> pa.Schema:
        return self.described

    def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
        rows, watermark = self.rows, None
        if stream.cursor is not None:
            newest = max((r["changed"] for r in rows), default=NOON)
            watermark = Watermark({"at": newest.isoformat()})
            if since is not None:
                start = datetime.fromisoformat(str(since.position["at"])) - stream.cursor.lag
                rows = [r for r in rows if r["changed"] >= start]
        fields = [*self.described, pa.field(DEFECT, pa.string())] if any(DEFECT in r for r in rows) else list(self.described)
        schema = pa.schema(fields)

        def pages() -> Iterator[pa.RecordBatch]:
            for number, start in enumerate(range(0, len(rows), self.page)):
                if self.fail_after is not None and number >= self.fail_after:
                    raise SourceUnavailable("book: closed", hint="wait")
                yield from pa.Table.from_pylist(rows[start : start + self.page], schema=schema).to_batches()

        deleted = None
        if self.deleted and stream.deletes == "tombstones":
            deleted = pa.table(
                {"id": [r["id"] for r in self.deleted], "_changed_at": pa.array([NOON] * len(self.deleted), pa.timestamp("us", "UTC"))}
            )
        yield Batch(rows=pa.RecordBatchReader.from_batches(schema, pages()), watermark=watermark, synthetic=True, deleted=deleted)

    def keys(self, stream: Stream) -> Iterator[pa.Table]:
        yield pa.table({"id": pa.array([r["id"] for r in self.rows], pa.int64())})


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def load(
    lake: Lake,
    source: Connector,
    stream: Stream = SNAPSHOT,
    rules: Sequence[Rule] = (),
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Load:
    return Loader(lake, source, stream, rules, now=now).run()


def held(lake: Lake) -> list[tuple[int, str]]:
    rows = current(lake.raw("book", "thing").scan(), ["id", "name"]).collect()
    return sorted(rows.select("id", "name").rows())


def versions(lake: Lake) -> int:
    return lake.raw("book", "thing").scan().collect().height


def test_the_first_load_brings_every_row_and_says_that_it_was_history(lake: Lake) -> None:
    result = load(lake, Book(row(1, "a"), row(2, "b"), row(3, "c")))
    assert held(lake) == [(1, "a"), (2, "b"), (3, "c")]
    assert (result.upserts, result.backfill) == (3, True)


@pytest.mark.parametrize("stream", [SNAPSHOT, BY_CURSOR, BY_TOMBSTONES], ids=["snapshot", "cursor", "tombstones"])
def test_unchanged_content_writes_nothing(lake: Lake, stream: Stream) -> None:
    source = Book(row(1, "a"), row(2, "b"))
    load(lake, source, stream)
    before = lake.raw("book", "thing").version()
    result = load(lake, source, stream)
    assert lake.raw("book", "thing").version() == before
    assert (result.upserts, result.unchanged, result.backfill) == (0, 2, False)


@pytest.mark.parametrize("stream", [SNAPSHOT, BY_CURSOR], ids=["snapshot", "cursor"])
def test_a_changed_row_is_one_more_version_and_a_vanished_one_a_tombstone(lake: Lake, stream: Stream) -> None:
    source = Book(row(1, "a"), row(2, "b"), row(3, "c"))
    load(lake, source, stream)
    source.rows = [row(1, "a"), row(2, "B", minute=1)]
    result = load(lake, source, stream)
    assert held(lake) == [(1, "a"), (2, "B")]
    assert (result.upserts, result.deletes) == (1, 1)
    assert versions(lake) == 5


def test_a_tombstone_of_the_source_ends_a_row_once(lake: Lake) -> None:
    source = Book(row(1, "a"), row(2, "b"))
    load(lake, source, BY_TOMBSTONES)
    source.deleted = [source.rows.pop()]
    assert load(lake, source, BY_TOMBSTONES).deletes == 1
    assert load(lake, source, BY_TOMBSTONES).deletes == 0
    assert held(lake) == [(1, "a")]


def test_a_row_that_goes_back_to_what_it_was_is_a_change(lake: Lake) -> None:
    source = Book(row(1, "a"))
    load(lake, source)
    source.rows = [row(1, "b")]
    load(lake, source)
    source.rows = [row(1, "a")]
    assert load(lake, source).upserts == 1
    assert held(lake) == [(1, "a")]


def test_a_row_that_is_deleted_and_comes_back_exists_again(lake: Lake) -> None:
    source = Book(row(1, "a"), row(2, "b"))
    load(lake, source)
    gone = source.rows.pop()
    load(lake, source)
    source.rows.append(gone)
    load(lake, source)
    assert held(lake) == [(1, "a"), (2, "b")]


def test_a_crash_in_mid_page_commits_nothing_and_the_next_load_brings_all(lake: Lake) -> None:
    source = Book(*(row(i, "x") for i in range(9)))
    source.fail_after = 2
    with pytest.raises(SourceUnavailable):
        load(lake, source)
    assert not lake.raw("book", "thing").exists()
    source.fail_after = None
    load(lake, source)
    assert len(held(lake)) == 9


def test_rows_that_pages_repeat_are_taken_once(lake: Lake) -> None:
    result = load(lake, Book(row(1, "a"), row(2, "b"), row(1, "a"), row(2, "b"), row(1, "a")))
    assert versions(lake) == 2
    assert result.unchanged == 3


def test_one_key_with_two_contents_goes_to_quarantine_not_into_the_table(lake: Lake) -> None:
    result = load(lake, Book(row(1, "a"), row(1, "other"), row(2, "b")))
    assert held(lake) == [(1, "a"), (2, "b")]
    rejected = lake.quarantine("book", "thing").scan().collect()
    assert rejected["rule"].to_list() == ["key is unique"]
    assert result.rejected == 1


def test_a_row_that_changes_while_it_is_paged_keeps_both_versions_and_the_later_counts(lake: Lake) -> None:
    load(lake, Book(row(1, "new", minute=3), row(1, "old", minute=1)), BY_CURSOR)
    assert held(lake) == [(1, "new")]
    assert versions(lake) == 2


def test_rejected_rows_reach_quarantine_and_the_others_go_on(lake: Lake) -> None:
    source = Book(row(1, "a"), row(None, "no key"), {**row(3, "c"), DEFECT: "name: 'x' is not a number"})
    load(lake, source)
    assert held(lake) == [(1, "a")]
    rejected = lake.quarantine("book", "thing").scan().collect()
    assert sorted(rejected["rule"].to_list()) == ["key is complete", "row is readable"]
    assert rejected["_synthetic"].all()


def test_what_is_held_goes_after_its_retention_and_is_held_again_if_it_comes_again(lake: Lake) -> None:
    source = Book(row(1, "a"), row(2, "b"), row(3, "c"))
    rule = Rule("name is a", "expect_column_values_to_be_in_set", {"column": "name", "value_set": ["a"]}, "quarantine")
    load(lake, source, rules=[rule])
    holding = Holding(lake, "book", "thing")
    assert holding.prune(NOON) == 0
    assert holding.prune(datetime.now(UTC) + timedelta(days=1)) == 2
    assert holding.table.rows() == 0
    assert load(lake, source, rules=[rule]).rejected == 2
    assert (holding.table.rows(), held(lake)) == (2, [(1, "a")])


def test_a_bad_row_that_comes_again_on_every_read_is_held_once(lake: Lake) -> None:
    source = Book(row(1, "a"), row(None, "no key"))
    for _ in range(3):
        load(lake, source)
    assert lake.quarantine("book", "thing").scan().collect().height == 1


def test_a_row_that_turns_bad_is_held_back_and_does_not_look_deleted(lake: Lake) -> None:
    source = Book(row(1, "a"), row(2, "b"))
    load(lake, source)
    source.rows[1] = {**row(2, "b"), DEFECT: "name: unreadable"}
    assert load(lake, source).deletes == 0
    assert held(lake) == [(1, "a"), (2, "b")]


def test_a_broken_blocking_rule_publishes_nothing(lake: Lake) -> None:
    rule = Rule("names are short", "expect_column_value_lengths_to_be_between", {"column": "name", "max_value": 3}, on_failure="block")
    with pytest.raises(DataRejected, match="names are short"):
        load(lake, Book(row(1, "a"), row(2, "much too long")), rules=[rule])
    assert not lake.raw("book", "thing").exists()


@pytest.mark.parametrize("whole", [False, True], ids=["tombstones", "a snapshot after a delta that was lost"])
@pytest.mark.parametrize("survived", [0, 1, 2])
def test_a_load_that_dies_between_its_commits_reads_its_batch_again(
    lake: Lake, monkeypatch: pytest.MonkeyPatch, survived: int, *, whole: bool
) -> None:
    class Delta(Book):
        """Tells of a deletion once: to whoever asks from before it."""

        def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
            told = since is not None and since.position == {"link": 2}
            gone = pa.table({"id": [1], "_changed_at": pa.array([None], pa.timestamp("us", "UTC"))})
            yield Batch(
                rows=pa.Table.from_pylist([] if told else self.rows, schema=SCHEMA),
                watermark=Watermark({"link": 2 if self.deleted else 1}),
                synthetic=True,
                deleted=gone if self.deleted and not told and not whole else None,
                snapshot=whole and not told,
            )

    source = Delta(row(1, "a"), row(2, "b"))
    load(lake, source, BY_TOMBSTONES)
    source.rows, source.deleted = [row(2, "b"), row(3, "c")], [row(1, "a")]
    loader, appended = Loader(lake, source, BY_TOMBSTONES), [0]
    append = loader.table.append

    def dying(rows: pa.RecordBatchReader, commit: Commit) -> Pinned:
        if appended[0] == survived:
            raise KeyboardInterrupt
        appended[0] += 1
        return append(rows, commit)

    monkeypatch.setattr(loader.table, "append", dying)
    if survived < 2:
        with pytest.raises(KeyboardInterrupt):
            loader.run()
    else:
        loader.run()
    load(lake, source, BY_TOMBSTONES)
    assert held(lake) == [(2, "b"), (3, "c")]
    before = lake.raw("book", "thing").version()
    load(lake, source, BY_TOMBSTONES)
    assert lake.raw("book", "thing").version() == before


def test_a_row_that_a_broken_first_load_brought_and_the_source_then_deleted_is_ended_by_the_next(lake: Lake) -> None:
    class InPieces(Book):
        """A first read in two batches, as of a delta that claims nothing before its end."""

        def read(self, stream: Stream, since: Watermark | None) -> Iterator[Batch]:
            for number, each in enumerate(self.rows if since is None else []):
                if self.fail_after is not None and number >= self.fail_after:
                    raise SourceUnavailable("book: closed", hint="wait")
                last = Watermark({"link": 1}) if each is self.rows[-1] else None
                yield Batch(rows=pa.Table.from_pylist([each], schema=SCHEMA), watermark=last, synthetic=True, snapshot=True)

    source = InPieces(row(1, "a"), row(2, "b"), row(3, "c"))
    source.fail_after = 2
    with pytest.raises(SourceUnavailable):
        load(lake, source, BY_TOMBSTONES)
    source.rows, source.fail_after = [row(2, "b"), row(3, "c")], None
    assert load(lake, source, BY_TOMBSTONES).backfill
    assert held(lake) == [(2, "b"), (3, "c")]
    assert not load(lake, source, BY_TOMBSTONES).backfill


def test_every_row_says_that_it_is_synthetic_tombstones_too(lake: Lake) -> None:
    source = Book(row(1, "a"), row(2, "b"))
    load(lake, source, BY_CURSOR)
    source.rows.pop()
    load(lake, source, BY_CURSOR)
    assert lake.raw("book", "thing").scan().collect()["_synthetic"].to_list() == [True, True, True]


def test_a_clock_of_ours_that_goes_back_does_not_make_an_old_version_current(lake: Lake) -> None:
    source = Book(row(1, "first"))
    load(lake, source, now=lambda: NOON)
    source.rows = [row(1, "second")]
    load(lake, source, now=lambda: NOON - timedelta(days=1))
    assert held(lake) == [(1, "second")]


def test_an_added_column_is_taken_and_a_lost_one_holds_the_stream(lake: Lake) -> None:
    load(lake, Book(row(1, "a")))
    wider = pa.schema([*SCHEMA, pa.field("note", pa.string())])
    result = load(lake, Book({**row(1, "a"), "note": "n"}, schema=wider))
    assert result.drift == ("column 'note' (string) is new",)
    assert lake.raw("book", "thing").scan().collect()["note"].drop_nulls().to_list() == ["n"]
    with pytest.raises(SourceContractChanged, match=r"'name' \(string\) is gone[\s\S]*pilothouse drift accept book/thing"):
        load(lake, Book({"id": 1}, schema=pa.schema([SCHEMA.field("id"), SCHEMA.field("changed"), wider.field("note")])))


def test_a_widened_column_keeps_its_rows_their_identity_and_the_watermark(lake: Lake) -> None:
    narrow = pa.schema([("id", pa.int64()), ("amount", pa.int16())])
    load(lake, Book({"id": 1, "amount": 7}, schema=narrow))
    before = lake.raw("book", "thing").scan().collect()
    wide = pa.schema([("id", pa.int64()), ("amount", pa.int64())])
    load(lake, Book({"id": 1, "amount": 7}, {"id": 2, "amount": 1 << 40}, schema=wide))
    rows = lake.raw("book", "thing").scan().collect().sort("id")
    assert rows["amount"].to_list() == [7, 1 << 40]
    assert rows["_row_id"][0] == before["_row_id"][0]


def test_types_that_delta_has_not_become_text_and_stay_unchanged_on_the_next_read(lake: Lake) -> None:
    schema = pa.schema([("id", pa.int64()), ("at", pa.time64("us")), ("took", pa.duration("us"))])
    source = Book({"id": 1, "at": time(8, 30), "took": timedelta(seconds=90)}, schema=schema)
    load(lake, source)
    assert load(lake, source).upserts == 0
    assert lake.raw("book", "thing").scan().collect()["at"].to_list() == ["08:30:00.000000"]


State = st.dictionaries(st.integers(0, 6), st.sampled_from("abc"), max_size=6)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(states=st.lists(State, min_size=1, max_size=5))
@pytest.mark.parametrize("stream", [SNAPSHOT, BY_CURSOR], ids=["snapshot", "cursor"])
def test_after_every_sync_the_table_equals_the_source(
    tmp_path_factory: pytest.TempPathFactory, stream: Stream, states: list[dict[int, str]]
) -> None:
    lake, source, before = Lake(str(tmp_path_factory.mktemp("lake"))), Book(), dict[int, Row]()
    for minute, state in enumerate(states):
        # a row's change time moves with its content alone, as in a real source
        source.rows = [before[k] if before.get(k, {}).get("name") == name else row(k, name, minute) for k, name in state.items()]
        before = {r["id"]: r for r in source.rows}
        load(lake, source, stream)
        expected = sorted((r["id"], r["name"]) for r in source.rows)
        assert (held(lake) if lake.raw("book", "thing").exists() else []) == expected


def test_the_identity_of_a_row_never_changes(lake: Lake) -> None:
    load(lake, Book(row(1, "a")))
    assert lake.raw("book", "thing").scan().collect()["_row_id"][0].hex() == "34e28adbb4a383c0d0bf6dceae5ed152"


def test_rows_are_counted_as_polars_sees_them(lake: Lake) -> None:
    load(lake, Book(row(1, "a"), row(2, "b")))
    assert lake.raw("book", "thing").rows() == lake.raw("book", "thing").scan().select(pl.len()).collect().item()
