"""What several contract tests stand on."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from tests.contract.bureau import Connection, Source


@pytest.fixture
def warehouse(postgres_url: str) -> Iterator[Connection]:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("CREATE SCHEMA warehouse")
        yield connection


@pytest.fixture
def source(postgres_url: str) -> Iterator[Source]:
    made = Source(postgres_url)
    yield made
    made.close()
