"""Annotated queries against brute force: what they name are the causes of each value, no more and no fewer."""

from __future__ import annotations

from typing import Any

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pilothouse.tables.why.annotate import Base, annotated
from pilothouse.tables.why.cells import Unexplained
from pilothouse.tables.why.needed import SEPARATOR, Needed, row_of
from pilothouse.tables.why.recipes import Pointing, Recipe, Telling, Trace
from tests.integration.tables.removal import is_cause, necessary

SCHEMA = {
    "s": {"o": ["id", "firm", "day"], "i": ["id", "o_id", "amt", "day"], "f": ["firm", "name"], "v": ["id", "row", "amt", "day"]},
    "asked": {"x": ["id"]},
}
BASES = {("s", "v"): Base(row="row")}  # v holds versions of rows
FIRSTS = "select *, row_number() over (partition by o_id order by day desc, id) as place from s.i"
# Each query's first column names its rows.
QUERIES = {
    "all of a table": "select id, firm, day from s.o",
    "a choice": "select id, day from s.o where firm = 'a' and day > 1",
    "an expression": "select id, case when firm = 'a' then day when day > 1 then 0 else 7 end as v, coalesce(firm, 'none') as f from s.o",
    "an inner join": "select i.id, i.amt, o.firm from s.i as i inner join s.o as o on i.o_id = o.id",
    "a left join": "select i.id, o.firm, coalesce(o.day, 0) as day from s.i as i left join s.o as o on i.o_id = o.id",
    "a comma join": "select i.id, o.firm from s.i as i cross join s.o as o where i.o_id = o.id",
    "two left joins": """
        select i.id, f.name from s.i as i left join s.o as o on i.o_id = o.id left join s.f as f on o.firm = f.firm""",
    "counts and sums": """
        select o_id, count(*) as n, count(amt) as m, sum(amt) as amt, sum(case when day > 1 then 1 else 0 end) as late
        from s.i group by o_id""",
    "a sum alone": "select o_id, sum(amt) as amt from s.i group by o_id",
    "extremes": "select o_id, min(amt) as low, max(day) as last from s.i group by o_id",
    "a mean": "select o_id, avg(amt) as mean from s.i group by o_id",
    "a count of different values": "select o_id, count(distinct amt) as n from s.i group by o_id",
    "a filtered aggregate": "select o_id, sum(amt) filter (where day > 1) as amt from s.i group by o_id",
    "having": "select o_id, max(amt) as amt from s.i group by o_id having count(*) > 1",
    "distinct": "select distinct firm from s.o",
    "all of them": "select 1 as one, count(*) as n from s.o",
    "a left join with groups": """
        with sums as (select o_id, sum(amt) as amt, max(day) as last from s.i group by o_id)
        select o.id, coalesce(sums.amt, 0) as amt, sums.last from s.o as o left join sums on o.id = sums.o_id""",
    "the first of each": f"""
        select o_id, amt
        from ({FIRSTS}) as placed where place = 1""",
    "the first of each, together": f"""
        select 1 as one, sum(amt) as amt, count(amt) as n, count(distinct amt) as different, max(amt) as best, min(amt) as low,
            avg(amt) as mean, sum(case when amt > 1 then 1 else 0 end) as large, count(*) filter (where amt > 1) as many,
            max(amt) filter (where day > 1) as last, sum(amt) is not null as said
        from ({FIRSTS}) as placed where place = 1""",
    "the first of each, by what it is joined to": f"""
        with placed as ({FIRSTS})
        select o.firm, sum(placed.amt) as amt, max(placed.amt) as best, min(placed.day) as first, count(placed.amt + o.day) as n
        from s.o as o inner join placed on o.id = placed.o_id and placed.place = 1 group by o.firm""",
    "the first of each, if there is one": f"""
        with placed as ({FIRSTS})
        select o.id, coalesce(placed.amt, 7) as amt, placed.amt is null as unknown, coalesce(placed.amt, placed.day) as said
        from s.o as o left join placed on o.id = placed.o_id and placed.place = 1""",
    "the first of each, where it is there": f"""
        with placed as ({FIRSTS})
        select o.firm, sum(placed.amt) as amt, count(*) as n, count(placed.id) as m, max(coalesce(placed.amt, 1)) as best
        from s.o as o left join placed on o.id = placed.o_id and placed.place = 1 group by o.firm""",
    "the second of each": f"""
        select o_id, amt
        from ({FIRSTS}) as placed where place = 2""",
    "qualify": "select o_id, amt from s.i qualify row_number() over (partition by o_id order by day, id) = 1",
    "a first value": """
        select id, first_value(amt) over (partition by o_id order by day, id) as first_amt,
            lag(amt) over (partition by o_id order by day, id) as before
        from s.i""",
    "a running sum": """
        select id, sum(amt) over (partition by o_id order by id rows between unbounded preceding and current row) as amt from s.i""",
    "a total beside": "select id, sum(amt) over (partition by o_id) as total, count(*) over (partition by o_id) as n from s.i",
    "one after the other": "select 'o' || id as id, day from s.o union all select 'i' || id as id, amt as day from s.i",
    "within": "select id, amt from s.i where o_id in (select id from s.o where firm = 'a')",
    "not within": "select id, amt from s.i where o_id not in (select id from s.o where firm = 'a')",
    "those of which there is one": "select id, firm from s.o where exists (select 1 from s.i where i.o_id = o.id and i.amt > 0)",
    "those of which there is none": "select id, firm from s.o where not exists (select 1 from s.i where i.o_id = o.id)",
    "there is one, two queries down": """
        select id, day from s.o where exists (
            select i.id from s.i as i where i.o_id = o.id and exists (select 1 from s.i as j where j.day = i.amt and j.o_id = o.id))""",
    "those that are asked for": "select id, firm from s.o where id in (select id from asked.x)",
    "whether it is there": """
        with sums as (select o_id, sum(amt) as amt, max(day) filter (where amt > 1) as last, count(amt) as n from s.i group by o_id)
        select o.id, sums.amt is not null as paid, sums.last is null as open, (o.firm || sums.last) is null as unknown,
            sums.n is null as none, (sums.amt / o.day) is null as no_rate
        from s.o as o left join sums on o.id = sums.o_id""",
    "only if it is there": """
        with sums as (select o_id, sum(amt) as amt, min(day) as first from s.i group by o_id having max(amt) is not null)
        select o_id, first from sums where amt is not null and coalesce(amt, first) is not null""",
    "there by several ways": """
        select i.id, coalesce(o.firm, f.name) is null as nobody, case when i.amt > 1 then o.firm when i.amt = 1 then 'a' end is null as none
        from s.i as i left join s.o as o on i.o_id = o.id left join s.f as f on i.day > 1 and f.firm = 'a'""",
    "the first of each, if it says anything": f"""
        select o_id, amt is null as nothing, coalesce(amt, day) is not null as something
        from ({FIRSTS}) as placed where place = 1""",
    "one after the other, if it is there": """
        with both_of as (select 'o' || id as id, firm as said from s.o union all select 'i' || id as id, 'b' || amt as said from s.i)
        select id, said is null as nothing from both_of""",
    "the newest version": """
        select row, amt, day
        from (select *, row_number() over (partition by row order by id desc) as age from s.v) as versions where age = 1 and day > 0""",
    "newest versions of those that are wanted": """
        with newest as (
            select *, row_number() over (partition by row order by id desc) as age from s.v where day in (select id from s.o)
        )
        select 1 as one, sum(amt) as amt, count(amt) as n, max(amt) as best from newest where age = 1""",
    "the first of different ones": f"""
        select 1 as one, max(distinct amt) as best, max(distinct day) as last from ({FIRSTS}) as placed where place = 1""",
    "newest versions together": """
        select 1 as one, count(*) as n, count(amt) as m, sum(amt) as amt, max(amt) as best
        from (select *, row_number() over (partition by row order by id desc) as age from s.v) as versions where age = 1 and day > 0""",
    "the version before, and the first one": """
        select id, amt, lag(amt) over (partition by row order by id) as before,
            first_value(amt) over (partition by row order by id) as first
        from s.v""",
    "what a newest version is joined to": """
        select o.id, coalesce(newest.amt, 9) as amt, newest.first is null as unknown
        from s.o as o left join (
            select *, first_value(amt) over (partition by row order by id) as first,
                row_number() over (partition by row order by id desc) as age from s.v
        ) as newest on o.day = newest.row and newest.age = 1""",
    "groups of groups": """
        with per_order as (select o.firm, o.id, sum(i.amt) as amt from s.o as o inner join s.i as i on o.id = i.o_id group by o.firm, o.id)
        select firm, max(amt) as best, count(*) as n from per_order group by firm""",
}
few = st.integers(0, 3)
orders = st.lists(st.tuples(st.sampled_from(["a", "b", None]), few), max_size=4)
versions = st.lists(st.tuples(st.integers(0, 2), st.one_of(st.none(), few), few), max_size=4)
items = st.lists(st.tuples(st.integers(0, 4), st.one_of(st.none(), few), few), max_size=5)


@pytest.mark.parametrize("text", QUERIES.values(), ids=QUERIES.keys())
def test_what_is_named_is_what_brute_force_finds(text: str) -> None:
    told = annotated(text, SCHEMA, bases=BASES)

    @settings(max_examples=15)
    @given(orders, items, versions)
    def holds(some_orders: list[tuple[Any, ...]], some_items: list[tuple[Any, ...]], some_versions: list[tuple[Any, ...]]) -> None:
        fill(connection, {"o": some_orders, "i": some_items, "f": [("Adler",), ("Berg",)], "v": some_versions})
        columns = [each[0] for each in connection.sql(text).description]
        traces = "".join(f", {name}" for name in told.traces)
        found = connection.execute(f'SELECT "{columns[0]}"{traces} FROM ({told.text})').fetchall()
        assert len(found) == len(connection.sql(text).fetchall())
        everything = sorted({row for (row,) in connection.execute("FROM everything").fetchall()})
        answers = Answers(connection, text)
        telling = Telling()
        for key, *rows in found:
            trace = dict(zip(told.traces, rows, strict=True))
            for place, name in enumerate(columns):
                needed = Needed()
                needed.merge(telling.of(told.exists, trace))
                needed.merge(telling.of(told.columns[name], trace))
                explained = set(map(row_of, needed.lifted(in_raw_rows, "").settled()))
                pointed_at_one_row_it_tells_the_same_of_it(telling, told.columns[name], trace)

                def answer(gone: frozenset[str], place: int = place, key: Any = key) -> object:
                    return [row[place] for row in answers[gone] if row[0] == key]

                assert necessary(everything, answer) <= explained, (name, key)
                for each in explained:
                    assert is_cause(each, everything, answer), (name, key, each)

    with duckdb.connect(config={"threads": 1}) as connection:  # for a handful of rows a second thread is in the way
        prepare(connection)
        holds()


def in_raw_rows(atom: str) -> Needed:
    """What an atom needs at the end: its row, of which it may be a version."""
    row, *version = row_of(atom).split(SEPARATOR)
    return Needed({SEPARATOR.join([row, *(version or [""])])})


class Answers(dict[frozenset[str], list[tuple[Any, ...]]]):
    """What the query says once some rows are gone."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, text: str) -> None:
        self.connection = connection
        self.text = text

    def __missing__(self, gone: frozenset[str]) -> list[tuple[Any, ...]]:
        self.connection.execute("DELETE FROM gone")
        self.connection.execute("INSERT INTO gone SELECT unnest(?::VARCHAR[])", [sorted(gone)])
        self[gone] = self.connection.sql(self.text).fetchall()
        return self[gone]


def pointed_at_one_row_it_tells_the_same_of_it(telling: Telling, recipe: Recipe, trace: Trace) -> None:
    """Whether it is needed for sure, as one of several, or not at all."""
    needed = telling.of(recipe, trace)
    for row in {*map(row_of, needed.everything()), "nobody"}:
        told = Pointing(telling, lambda identity, row=row: row_of(identity) == row).of(recipe, trace)  # type: ignore[misc]
        assert {atom for atom in told.atoms if row_of(atom) == row} == {atom for atom in needed.atoms if row_of(atom) == row}
        assert {atom for atom in told.everything() if row_of(atom) == row} == {atom for atom in needed.everything() if row_of(atom) == row}
        assert told.everything() <= needed.everything()


def prepare(connection: duckdb.DuckDBPyConnection) -> None:
    """Tables out of which rows can be taken away."""
    kinds = {
        "o": "id INT, firm VARCHAR, day INT",
        "i": "id INT, o_id INT, amt INT, day INT",
        "f": "firm VARCHAR, name VARCHAR",
        "v": "id INT, row INT, amt INT, day INT",
    }
    connection.execute("CREATE SCHEMA s; CREATE SCHEMA kept; CREATE TABLE gone (id VARCHAR)")
    connection.execute("CREATE SCHEMA asked; CREATE TABLE asked.x AS SELECT unnest([0, 2]) AS id")
    for table, columns in kinds.items():
        connection.execute(f"CREATE TABLE kept.{table} ({columns}, _id VARCHAR)")
        connection.execute(f"CREATE VIEW s.{table} AS FROM kept.{table} WHERE split_part(_id, chr(31), 1) NOT IN (FROM gone)")
    named = " UNION ALL ".join(f"SELECT split_part(_id, chr(31), 1) FROM kept.{table}" for table in kinds)
    connection.execute(f"CREATE VIEW everything AS {named}")


def fill(connection: duckdb.DuckDBPyConnection, tables: dict[str, list[tuple[Any, ...]]]) -> None:
    """Put these rows in the place of those of the last example."""
    connection.execute("TRUNCATE gone")
    for table, rows in tables.items():
        connection.execute(f"TRUNCATE kept.{table}")
        for number, row in enumerate(rows):
            first = "ab"[number] if table == "f" else number
            named = (row[0], SEPARATOR, number) if table == "v" else (number,)  # a version of a row, or a row
            marks = ", ".join("?" * (len(row) + 2))
            connection.execute(f"INSERT INTO kept.{table} VALUES ({marks})", [first, *row, f"{table}{''.join(map(str, named))}{SEPARATOR}"])


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("select id from s.o limit 1", "LIMIT"),
        ("select id from s.o union select id from s.i", "UNION"),
        ("select o.id from s.o as o full join s.i as i on o.id = i.o_id", "FULL"),
        ("select firm, string_agg(day) as days from s.o group by firm", "(?i)agg"),
        ("select id, rank() over (order by day) as place from s.o", "RANK"),
        ("select id, (select max(amt) from s.i) as best from s.o", "subquery"),
        ("with recursive r as (select 1 as id union all select id + 1 as id from r where id < 3) select id from r", "recursive"),
    ],
)
def test_what_cannot_be_told_exactly_is_refused(text: str, what: str) -> None:
    with pytest.raises(Unexplained, match=what):
        annotated(text, SCHEMA)


@pytest.mark.parametrize(
    "text",
    [
        # chosen by what they say, before something is made of all of them
        "select count(*) as n from p where place = 1 and amt > 1",
        "select amt, count(*) as n from p where place = 1 group by amt",
        "select sum(day) as day from (select * from p where place = 1 and amt > 1) as chosen",
        "select o.id, p.amt from s.o as o left join p on o.id = p.o_id and p.place = 1 and p.day > 1",
        # chosen by their places, but not as the first ones
        "select sum(amt) as amt from (select * from s.i qualify row_number() over (partition by o_id order by id) = 1) as q",
        "select sum(amt) as amt from p where place < 2",
        "select sum(amt) filter (where place = 1) as amt from p",
        # put together, or handed on, otherwise than by a group over one source
        "select o_id, sum(amt) over () as amt from p where place = 1",
        "select sum(n) as n from (select amt as n from p where place = 1 union all select id as n from s.o) as two",
        "select sum(n) as n from (select p.amt * r.day as n from p inner join p as r on p.place = 1 and r.place = 1) as two",
        "select sum(n) as n from (select amt as n, row_number() over (order by day) as nr from p where place = 1) as q where nr = 1",
        "select max(v) as v from (select *, first_value(amt) over (partition by day order by id) as v from p) as q where place = 1",
        # an absence, which one that is taken away may end
        "select id from s.o where not exists (select 1 from p where p.o_id = o.id and p.place = 1)",
        "select id from s.o where id not in (select amt from p where p.place = 1)",
        "select id, case when id in (select o_id from p where place = 1 and amt > 1) then 1 else 0 end as large from s.o",
    ],
)
def test_where_others_would_come_instead_of_rows_it_is_refused(text: str) -> None:
    with pytest.raises(Unexplained, match="by their places"):
        annotated(f"with p as ({FIRSTS}) {text}", SCHEMA)


def test_what_is_no_sql_is_refused() -> None:
    with pytest.raises(Unexplained, match="cannot be read"):
        annotated("select id from where s.o", SCHEMA)
