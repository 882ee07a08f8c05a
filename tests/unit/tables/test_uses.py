"""Whether a query uses a column: held against DuckDB, which is asked the same of the table with that column and of the table without."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import duckdb
import pytest

from pilothouse.tables.why.annotate import Schema
from pilothouse.tables.why.cells import Unexplained
from pilothouse.tables.why.uses import names, used

COLUMNS = ("Id", "Name", "Status", "Note", "_row_id", "_seen_at")
SCHEMA: Schema = {"s4": {"t": COLUMNS}, "asked": {"m": ("id",)}, "x": {"u": ("k", "note", "size")}}
NEEDED = {
    "a value": "select Id as id, upper(Note) as shout from s4.t",
    "a condition": "select Id as id from s4.t where Note = 'a'",
    "a condition, quoted": 'select "Id" as id from s4.t where "note" = \'a\'',
    "a join": "select u.k, t.Id from x.u as u left join s4.t as t on u.note = t.Note",
    "a join by name": "select u.k from x.u as u join s4.t as t using (note)",
    "a join by all names": "select u.k from x.u as u natural join s4.t as t",
    "an existence": "select k from x.u as u where exists (select 1 from s4.t as t where t.Note = u.note)",
    "an existence, of itself": "select k from x.u as u where exists (select 1 from s4.t as t where t.Id = u.k and Note = 'b')",
    "a group": "select count(*) as n from s4.t group by Note",
    "an order": "select Id as id from s4.t order by Note desc limit 1",
    "a window": "select Id as id, row_number() over (order by Note desc) as place from s4.t",
    "which is the newest": "select Id as id from (select *, row_number() over (order by Note desc) as age from s4.t) as v where age = 1",
    "a qualification": "select Id as id from s4.t qualify row_number() over (order by Note desc) = 1",
    "a union": "select Id as id from s4.t union all select Note from s4.t",
    "what is handed on": "select * from s4.t",
    "what is handed on from below": "with a as (select * from s4.t) select a.* from a",
    "what is compared as a whole": "with a as (select distinct * exclude (_row_id, Id, _seen_at) from s4.t) select count(*) as n from a",
    "named and not used": "with a as (select Id, Note from s4.t) select Id as id from a",
    "named through a star and not used": "with a as (select * from s4.t), b as (select Id, Note from a) select Id as id from b",
    "hidden behind an alias": "select Id as id, upper(Name) as Note from s4.t where Note = 'a'",
    "left out": "select * exclude (Note) from s4.t",
    "put in its place": "select Id as id from (select * replace (upper(Name) as Note) from s4.t) as q",
    "a row as a value": "select to_json(t) as whole from s4.t as t",
    "columns by their names": "select columns('N.*') from s4.t",
    "a column by its place": "select #4 as fourth from s4.t",
    "a part beside": "select Id as id, x from s4.t, lateral (select Note as x) as l",
}
IDLE = {
    "a comment": "select Id as id, Name as name /* Note */ from s4.t -- Note",
    "a text": "select Id as id, 'Note' as kind from s4.t",
    "an alias": "select Id as id, Name as note from s4.t",
    "another table's": "select u.note, t.Id from x.u as u left join s4.t as t on u.k = t.Id",
    "a star that nobody looks at": "select Id as id from (select *, row_number() over (partition by _row_id order by _seen_at) as age"
    " from s4.t where (Id) in (select id from asked.m)) as versions where age = 1",
    "a union of stars": "select Id as id from (select * from s4.t union all select * from s4.t) as several",
    "a count": "select count(*) as n from s4.t",
}


@cache
def world(without: str) -> duckdb.DuckDBPyConnection:
    """The tables, of which one may lack a column."""
    connection = duckdb.connect()
    connection.execute("CREATE SCHEMA s4; CREATE SCHEMA asked; CREATE SCHEMA x; CREATE TABLE asked.m AS SELECT 'i1' AS id")
    connection.execute("CREATE TABLE x.u AS SELECT * FROM (VALUES ('i1', 'a', 1), ('i2', 'c', 2)) AS v(k, note, size)")
    rows = "('i1', 'n', 's', 'a', 1, 1), ('i2', 'n', 's', 'b', 2, 1), ('i3', 'N', 's', 'c', 3, 2)"
    connection.execute(f"CREATE TABLE s4.t AS SELECT * FROM (VALUES {rows}) AS v({', '.join(COLUMNS)})")
    if without:
        connection.execute(f"ALTER TABLE s4.t DROP COLUMN {without}")
    return connection


@pytest.fixture(scope="module", autouse=True)
def closed() -> Iterator[None]:
    yield
    for without in ("", *COLUMNS):
        world(without).close()


def answer(query: str, *, without: str = "") -> list[tuple[object, ...]] | str:
    """DuckDB's own answer, with the names of its columns."""
    try:
        found = world(without).execute(query)
    except duckdb.Error as error:
        return type(error).__name__
    return [tuple(each[0] for each in found.description or ()), *sorted(found.fetchall(), key=repr)]


@pytest.mark.parametrize("query", NEEDED.values(), ids=NEEDED)
def test_what_needs_a_column_uses_it(query: str) -> None:
    assert not isinstance(answer(query), str)
    assert answer(query) != answer(query, without="Note")
    assert used(query, SCHEMA, ("s4", "t"), ["Note"])


@pytest.mark.parametrize("query", IDLE.values(), ids=IDLE)
def test_what_is_the_same_without_a_column_does_not_use_it(query: str) -> None:
    assert answer(query) == answer(query, without="Note")
    assert not used(query, SCHEMA, ("s4", "t"), ["Note"])


@pytest.mark.parametrize("query", [*NEEDED.values(), *IDLE.values()], ids=[*NEEDED, *IDLE])
def test_no_column_is_missed(query: str) -> None:
    assert {name for name in COLUMNS if answer(query) != answer(query, without=name)} <= used(query, SCHEMA, ("s4", "t"), COLUMNS)


def test_where_it_cannot_be_told_a_name_in_the_text_counts() -> None:
    with pytest.raises(Unexplained):
        used("select Id from where", SCHEMA, ("s4", "t"), ["Note"])
    with pytest.raises(Unexplained, match="no column Colour"):
        used("select Id from s4.t", SCHEMA, ("s4", "t"), ["Colour"])
    assert names("Note", "-- note: of old")
    assert not names("Note", "NoteText")
