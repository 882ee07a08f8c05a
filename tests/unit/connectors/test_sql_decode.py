"""Columns and cells of PostgreSQL as Arrow."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import numpy as np
import psycopg
import pyarrow as pa
import pytest
from adbc_driver_manager import AdbcStatusCode, OperationalError, ProgrammingError
from hypothesis import given
from hypothesis import strategies as st

from connectors.sql.columns import Column
from connectors.sql.decode import decoded
from connectors.sql.errors import translate
from pilothouse.kernel.errors import CredentialsRejected, SourceContractChanged, SourceError, SourceUnavailable
from pilothouse.kernel.streams import DEFECT

POSTGRES_EPOCH = 10_957 * 86_400_000_000


def numeric(precision: int, scale: int) -> pa.DataType:
    """The Arrow type of numeric(precision, scale), by the way PostgreSQL packs both into one number."""
    return Column("n", "numeric", ((precision << 16) | (scale & 0x7FF)) + 4, "N", "numeric").arrow_type


@given(st.integers(1, 38).flatmap(lambda precision: st.tuples(st.just(precision), st.integers(0, precision))))
def test_a_numeric_keeps_its_precision_and_scale(digits: tuple[int, int]) -> None:
    assert numeric(*digits) == pa.decimal128(*digits)


@pytest.mark.parametrize(
    ("precision", "scale", "expected"),
    [(5, -3, pa.decimal128(8, 0)), (2, 5, pa.decimal128(5, 5)), (39, 0, pa.string()), (38, -1, pa.string()), (1000, 10, pa.string())],
)
def test_unusual_numerics_hold_all_their_values(precision: int, scale: int, expected: pa.DataType) -> None:
    assert numeric(precision, scale) == expected


def test_a_numeric_of_any_precision_stays_text() -> None:
    assert Column("n", "numeric", -1, "N", "numeric").arrow_type == pa.string()


@given(st.lists(st.none() | st.datetimes(timezones=st.just(dt.UTC)), min_size=1))
def test_moments_within_the_calendar_pass_unchanged(moments: list[dt.datetime | None]) -> None:
    kind = pa.timestamp("us", "UTC")
    batch = pa.record_batch([pa.array(moments, kind)], names=["at"])
    result = decoded(batch, pa.schema([("at", kind), (DEFECT, pa.string())]))
    assert result["at"].to_pylist() == moments
    assert set(result[DEFECT].to_pylist()) == {None}


@given(st.integers(-(1 << 63), (1 << 63) - 1))
def test_no_moment_of_postgres_passes_as_another_one(microseconds: int) -> None:
    """The driver adds 30 years to what the server sends, in 64 bits: late moments arrive as early ones."""
    wrapped = (microseconds + POSTGRES_EPOCH + (1 << 63)) % (1 << 64) - (1 << 63)
    batch = pa.record_batch([pa.array([wrapped], pa.int64()).cast(pa.timestamp("us"))], names=["at"])
    result = decoded(batch, pa.schema([("at", pa.timestamp("us")), (DEFECT, pa.string())]))
    in_calendar = np.datetime64("0001-01-01", "us") <= np.datetime64(wrapped, "us") < np.datetime64("10000-01-01", "us")
    if microseconds + POSTGRES_EPOCH == wrapped and in_calendar:
        assert result["at"].cast(pa.int64()).to_pylist() == [wrapped]
    else:
        assert result["at"].to_pylist() == [None]
        assert result[DEFECT].to_pylist()[0].startswith("at: ")


def test_a_defect_names_every_bad_cell_of_its_row_and_leaves_the_others() -> None:
    schema = pa.schema([("a", pa.decimal128(4, 1)), ("d", pa.date32()), (DEFECT, pa.string())])
    batch = pa.record_batch([pa.array(["1.5", "NaN", None]), pa.array([0, 1 << 30, None], pa.int32()).cast(pa.date32())], names=["a", "d"])
    result = decoded(batch, schema)
    assert result["a"].to_pylist() == [Decimal("1.5"), None, None]
    assert result["d"].to_pylist() == [dt.date(1970, 1, 1), None, None]
    first, second, third = result[DEFECT].to_pylist()
    assert first is third is None
    assert second == "a: 'NaN' is no decimal128(4, 1); d: a moment in the year 2941775 is outside of the years 1 to 9999"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("28P01", CredentialsRejected),
        ("28000", CredentialsRejected),
        ("42501", CredentialsRejected),
        ("42P01", SourceContractChanged),
        ("42703", SourceContractChanged),
        ("3F000", SourceContractChanged),
        ("3D000", SourceContractChanged),
        ("08006", SourceUnavailable),
        ("57P01", SourceUnavailable),
        ("57P03", SourceUnavailable),
        ("53300", SourceUnavailable),
        ("53100", SourceUnavailable),
        ("40001", SourceUnavailable),
        ("55P03", SourceUnavailable),
        ("57014", SourceUnavailable),
        ("58030", SourceUnavailable),
        ("22012", SourceError),
        ("XX000", SourceError),
    ],
)
def test_both_drivers_errors_mean_the_same(state: str, expected: type[SourceError]) -> None:
    from_psycopg = psycopg.errors.lookup(state)("it went wrong")
    from_adbc = ProgrammingError("it went wrong", status_code=AdbcStatusCode.UNKNOWN, sqlstate=state)
    for error in (from_psycopg, from_adbc):
        translated = translate(error, "bureau", "t")
        assert type(translated) is expected
        assert translated.hint
        assert "bureau / t" in translated.message


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ('FATAL:  password authentication failed for user "u"', CredentialsRejected),
        ('FATAL:  no pg_hba.conf entry for host "10.0.0.1"', CredentialsRejected),
        ("fe_sendauth: no password supplied", CredentialsRejected),
        ('FATAL:  role "u" does not exist', CredentialsRejected),
        ('FATAL:  database "d" does not exist', SourceContractChanged),
        ("Connection refused", SourceUnavailable),
        ("server closed the connection unexpectedly", SourceUnavailable),
        ("ERROR:  canceling statement due to conflict with recovery", SourceUnavailable),
        ("ERROR:  division by zero", SourceError),
    ],
)
def test_a_sentence_without_a_state_is_understood_too(said: str, expected: type[SourceError]) -> None:
    for error in (psycopg.OperationalError(said), OperationalError(said, status_code=AdbcStatusCode.IO), OSError(said)):
        assert type(translate(error, "bureau", "t")) is expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("FATAL:  terminating connection due to administrator command", SourceUnavailable),
        ("server closed the connection unexpectedly", SourceUnavailable),
        ("could not receive data from server: Connection reset by peer", SourceUnavailable),
        ("SSL SYSCALL error: EOF detected", SourceUnavailable),
        ("ERROR:  canceling statement due to conflict with recovery", SourceUnavailable),
        ("ERROR:  division by zero", SourceError),
    ],
)
def test_an_error_while_rows_stream_is_understood_though_it_comes_as_arrows(said: str, expected: type[SourceError]) -> None:
    assert type(translate(pa.ArrowInvalid(f"[libpq] Execution error [PGRES_FATAL_ERROR]: {said}"), "bureau", "t")) is expected
