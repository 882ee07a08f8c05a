"""The warehouse schema in a real PostgreSQL: written whole, kept up with the clock, and never over somebody else's."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from pilothouse.kernel.errors import ConfigError, DatabaseUnavailable
from pilothouse.sandbox.company import warehouse
from pilothouse.sandbox.company.clock import ROUND
from pilothouse.sandbox.company.company import Company
from pilothouse.sandbox.company.warehouse_mirror import WarehouseMirror

NOW = datetime(2026, 11, 21, 10, tzinfo=UTC)
COLUMNS = {
    "credit_rating": "rating_id, bureau_id, firm_name, tax_number, rating_grade, credit_limit_eur::text, rated_on::text, is_current::int",
    "exchange_rate": "currency, rate_date::text, per_eur::text",
    "industry_index": "industry, month::text, output_index, insolvencies_per_10000",
    "ownership": "owner_id, owned_id, owner_name, share_percent::text",
}


@pytest.fixture
def company(tmp_path: Path) -> Iterator[Company]:
    opened = Company.open(tmp_path, seed=7, scale=0.01, now=NOW)
    yield opened
    opened.close()


def mirrored(url: str, table: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url) as connection:
        return sorted(connection.execute(f"SELECT {COLUMNS[table]} FROM warehouse.{table}".encode()).fetchall(), key=repr)


def stored(company: Company, table: str) -> list[tuple[object, ...]]:
    columns = COLUMNS[table].replace("::text", "").replace("::int", "")
    return sorted(company.store.rows(f"SELECT {columns} FROM warehouse_{table}"), key=repr)


@pytest.mark.parametrize("table", sorted(COLUMNS))
def test_the_mirror_equals_the_store_from_the_start_and_after_every_beat(company: Company, postgres_url: str, table: str) -> None:
    mirror = WarehouseMirror(company.store, postgres_url)
    mirror.follow()
    assert mirrored(postgres_url, table) == stored(company, table)
    for beat in range(len(ROUND)):
        company.clock.step(NOW + timedelta(hours=2) * beat)
        mirror.follow()
    assert mirrored(postgres_url, table) == stored(company, table)


def test_following_again_writes_nothing(company: Company, postgres_url: str) -> None:
    first = WarehouseMirror(company.store, postgres_url).follow()
    assert first > 100
    assert WarehouseMirror(company.store, postgres_url).follow() == 0


def test_only_what_changed_is_written(company: Company, postgres_url: str) -> None:
    mirror = WarehouseMirror(company.store, postgres_url)
    mirror.follow()
    company.store.update(warehouse.CREDIT_RATING, [1], {"score": 333}, NOW)
    company.store.delete(warehouse.CREDIT_RATING, [2], NOW)
    assert mirror.follow() == 2
    with psycopg.connect(postgres_url) as connection:
        rows = connection.execute("SELECT rating_id, score FROM warehouse.credit_rating WHERE rating_id IN (1, 2)").fetchall()
    assert rows == [(1, 333)]


def test_the_schema_says_that_it_is_synthetic_and_columns_say_what_they_hold(company: Company, postgres_url: str) -> None:
    WarehouseMirror(company.store, postgres_url).follow()
    with psycopg.connect(postgres_url) as connection:
        marked = connection.execute("SELECT obj_description('warehouse'::regnamespace)").fetchone()
        label = connection.execute("SELECT col_description('warehouse.credit_rating'::regclass, 10)").fetchone()
    assert marked == ("pilothouse:synthetic",)
    assert label == ("Grade, A best",)


def test_another_company_replaces_the_one_before(company: Company, postgres_url: str, tmp_path: Path) -> None:
    WarehouseMirror(company.store, postgres_url).follow()
    other = Company.open(tmp_path / "other", seed=8, scale=0.01, now=NOW)
    WarehouseMirror(other.store, postgres_url).follow()
    assert mirrored(postgres_url, "credit_rating") == stored(other, "credit_rating")
    other.close()


def test_a_table_that_somebody_dropped_is_written_again(company: Company, postgres_url: str) -> None:
    mirror = WarehouseMirror(company.store, postgres_url)
    mirror.follow()
    with psycopg.connect(postgres_url) as connection:
        connection.execute("DROP TABLE warehouse.ownership")
    mirror.follow()
    assert mirrored(postgres_url, "ownership") == stored(company, "ownership")


def test_a_real_warehouse_of_the_same_name_is_left_alone(company: Company, postgres_url: str) -> None:
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE SCHEMA warehouse")
        connection.execute("CREATE TABLE warehouse.credit_rating(precious text)")
    with pytest.raises(ConfigError, match="left alone"):
        WarehouseMirror(company.store, postgres_url).follow()
    with psycopg.connect(postgres_url) as connection:
        assert connection.execute("SELECT precious FROM warehouse.credit_rating").fetchall() == []


def test_urls_that_name_sqlalchemys_driver_are_understood(company: Company, postgres_url: str) -> None:
    assert WarehouseMirror(company.store, postgres_url.replace("postgresql://", "postgresql+psycopg://")).follow() > 0


def test_a_database_that_does_not_answer_is_worth_another_try(company: Company) -> None:
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        WarehouseMirror(company.store, "postgresql://nobody@127.0.0.1:1/none").follow()
