"""Logs: structured, correlated, and free of secrets by whatever way they try to get in."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog

from pilothouse.kernel import concealing, log

SECRET = "S3cr3t-Pa55word"


@pytest.fixture(autouse=True)
def json_logs(capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    level = logging.getLogger().level
    log.configure("json")
    concealing.conceal([SECRET])
    yield
    log.unconfigure()
    logging.getLogger().setLevel(level)
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


@pytest.mark.parametrize(
    "attempt",
    [
        lambda logger: logger.info("connected", password=SECRET),
        lambda logger: logger.info(f"connected with {SECRET}"),
        lambda logger: logger.info("connected", url=f"postgresql://me:{SECRET}@host/db"),
        lambda logger: logger.info("connected", options={"nested": [{"client_secret": SECRET}], "plain": SECRET}),
        lambda logger: logger.info("connected", raw=SECRET.encode()),
        lambda logger: logger.error("failed", error=ValueError(f"bad {SECRET}")),
        lambda logger: logging.getLogger("a.library").warning("using %s", SECRET),
    ],
)
def test_a_secret_never_reaches_the_log(attempt: Callable[[Any], None], capsys: pytest.CaptureFixture[str]) -> None:
    attempt(structlog.get_logger())
    captured = capsys.readouterr().err
    assert captured
    assert SECRET not in captured


def test_a_traceback_shows_no_secret(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        json.loads(f'{{"login": "{SECRET}')
    except ValueError:
        structlog.get_logger().exception("failed")
    captured = capsys.readouterr().err
    assert "Traceback" in captured
    assert SECRET not in captured


def test_a_password_inside_an_unknown_url_is_masked(capsys: pytest.CaptureFixture[str]) -> None:
    structlog.get_logger().info("opening postgresql://me:hunter2@host/db")
    assert lines(capsys)[0]["event"] == "opening postgresql://me:***@host/db"


def test_everything_inside_carries_one_correlation_id(capsys: pytest.CaptureFixture[str]) -> None:
    with log.correlated() as outer:
        structlog.get_logger().info("one")
        with log.correlated() as inner:
            logging.getLogger("library").warning("two")
    structlog.get_logger().info("three")
    one, two, three = lines(capsys)
    assert inner == outer == one["correlation_id"] == two["correlation_id"]
    assert "correlation_id" not in three
