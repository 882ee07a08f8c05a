"""What several contract tests stand on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from pilothouse.agents.brains.gateway import Gateway
from pilothouse.agents.brains.speakers import Speaker
from tests.contract.bureau import Connection, Source

Opened = Callable[..., Gateway]


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


@pytest.fixture
def gateway_of() -> Iterator[Opened]:
    """Opens gateways to these speakers, and closes them all."""
    opened: list[Gateway] = []

    def open_one(*speakers: Speaker, **more: Any) -> Gateway:
        opened.append(Gateway(speakers, **more))
        for each in speakers:
            _ = each.ready  # what is imported once is no part of what is measured
        return opened[-1]

    yield open_one
    for gateway in opened:
        gateway.close()
