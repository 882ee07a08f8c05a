"""The operational database: migrated once by whoever comes first, and honest about who is to blame for an error."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from pilothouse.kernel.database import Database
from pilothouse.kernel.database.locks import exclusively
from pilothouse.kernel.database.schema import metadata
from pilothouse.kernel.errors import CommitConflict, ConfigError, DatabaseError, DatabaseUnavailable
from pilothouse.kernel.events import Event, EventLog
from pilothouse.local.postgres import EmbeddedPostgres
from pilothouse.local.postgres_programs import program


def dump(url: str) -> str:
    text = subprocess.run([program("pg_dump"), "--schema-only", url], capture_output=True, text=True, check=True).stdout
    return "\n".join(line for line in text.splitlines() if not re.match(r"\\(un)?restrict ", line))


@pytest.fixture
def empty(postgres_url: str) -> Database:
    return Database(postgres_url)


def test_up_down_and_up_again_ends_with_the_same_schema(empty: Database) -> None:
    empty.upgrade()
    first = dump(empty.url)
    empty.downgrade("base")
    assert empty.current() is None
    assert "CREATE TABLE pilothouse.events" not in dump(empty.url)
    empty.upgrade()
    assert dump(empty.url) == first
    assert "CREATE TABLE pilothouse.events" in first
    empty.close()


def test_the_migrations_make_what_the_code_declares(database: Database) -> None:
    with database.begin() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_schemas": True, "version_table_schema": "pilothouse", "compare_server_default": True}
        )
        assert compare_metadata(context, metadata) == []


def test_two_processes_may_upgrade_at_once(empty: Database) -> None:
    others = [Database(empty.url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(Database.upgrade, others))
    for other in others:
        other.close()
    empty.check()
    empty.close()


def test_a_check_before_the_first_upgrade_says_what_to_do(empty: Database) -> None:
    with pytest.raises(DatabaseError, match="the schema is at nothing") as refusal:
        empty.check()
    assert "upgrade" in refusal.value.hint
    empty.close()


def test_a_schema_from_the_future_is_refused(database: Database) -> None:
    with database.begin() as connection:
        connection.execute(sa.text("UPDATE pilothouse.alembic_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match="cannot be migrated"):
        database.upgrade()


def test_every_foreign_key_is_indexed_and_every_table_has_a_key(database: Database) -> None:
    inspector = sa.inspect(database.engine)
    for table in inspector.get_table_names("pilothouse"):
        assert inspector.get_pk_constraint(table, "pilothouse")["constrained_columns"], table
        leading = [index["column_names"][0] for index in inspector.get_indexes(table, "pilothouse")]
        leading += inspector.get_pk_constraint(table, "pilothouse")["constrained_columns"][:1]
        for key in inspector.get_foreign_keys(table, "pilothouse"):
            assert key["constrained_columns"][0] in leading, (table, key)


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO pilothouse.pins (table_uri, version, holder) VALUES ('t', -1, 'h')",
        "INSERT INTO pilothouse.announcements (table_id, version) VALUES ('t', -1)",
        "INSERT INTO pilothouse.principals (name, role) VALUES ('', 'analyst')",
        "INSERT INTO pilothouse.pruned (one, through) VALUES (false, 1)",
        "INSERT INTO pilothouse.consumers (name, position) VALUES ('c', -1)",
    ],
)
def test_the_database_itself_refuses_nonsense(database: Database, statement: str) -> None:
    with pytest.raises(DatabaseError, match="violates check constraint") as refusal, database.begin() as connection:
        connection.execute(sa.text(statement))
    assert not refusal.value.transient


def test_an_error_inside_a_transaction_leaves_nothing_behind(database: Database) -> None:
    def write_and_fail() -> None:
        with database.begin() as connection:
            connection.execute(sa.text("INSERT INTO pilothouse.announcements (table_id, version) VALUES ('t', 1)"))
            connection.execute(sa.text("SELECT 1 / 0"))

    with pytest.raises(DatabaseError, match="division by zero"):
        write_and_fail()
    with database.reading() as connection:
        assert connection.scalar(sa.text("SELECT count(*) FROM pilothouse.announcements")) == 0


def test_a_database_of_another_purpose_is_made_once(postgres_server: EmbeddedPostgres) -> None:
    database = Database(postgres_server.url())
    with ThreadPoolExecutor(3) as pool:
        urls = set(pool.map(lambda _: database.ensure_database("dag-ster"), range(3)))
    assert len(urls) == 1
    with psycopg.connect(urls.pop()) as connection:
        assert connection.info.dbname == "dag-ster"


def test_an_idle_connection_that_the_server_dropped_is_replaced_unseen(database: Database) -> None:
    with database.reading() as connection:
        pid = connection.scalar(sa.text("SELECT pg_backend_pid()"))
    with psycopg.connect(database.url, autocommit=True) as killer:
        killer.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])
    with database.reading() as connection:
        assert connection.scalar(sa.text("SELECT 1")) == 1


def test_a_server_that_dies_under_a_statement_is_unavailable(tmp_path: Path) -> None:
    with EmbeddedPostgres(tmp_path / "postgres", durable=False) as server:
        database = Database(server.url())

        def die_asking() -> None:
            with database.begin() as connection:
                assert server.pid is not None
                os.kill(server.pid, signal.SIGKILL)
                connection.execute(sa.text("SELECT pg_sleep(30)"))

        with pytest.raises(DatabaseUnavailable):
            die_asking()
        with pytest.raises(DatabaseUnavailable, match=re.escape(database.where)) as silence:
            database.check()
        assert "PILOTHOUSE_DATABASE__URL" in silence.value.hint
        database.close()


def test_a_statement_that_takes_too_long_is_unavailable_not_wrong(postgres_url: str) -> None:
    database = Database(postgres_url, statement_timeout=timedelta(milliseconds=50))
    with pytest.raises(DatabaseUnavailable, match="statement timeout"), database.reading() as connection:
        connection.execute(sa.text("SELECT pg_sleep(30)"))
    database.close()


def test_a_wrong_password_is_refused_and_not_repeated_in_the_message(postgres_url: str) -> None:
    wrong = sa.make_url(postgres_url).set(password="hunter2hunter2").render_as_string(hide_password=False)
    with pytest.raises(DatabaseError, match="password authentication failed") as refusal:
        Database(wrong).check()
    assert not refusal.value.transient
    assert "hunter2" not in str(refusal.value)
    assert "hunter2" not in repr(Database(wrong))


def test_a_database_that_is_not_there_is_refused(postgres_server: EmbeddedPostgres) -> None:
    with pytest.raises(DatabaseError, match="does not exist") as refusal:
        Database(postgres_server.url("nowhere")).check()
    assert not refusal.value.transient


@pytest.mark.parametrize("url", ["nonsense", "mysql://u:p@h/d", "postgresql://u:p@h", "postgresql://u:p@h:port/d"])
def test_a_url_that_is_none_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigError, match=r"database\.url") as refusal:
        Database(url)
    assert "PILOTHOUSE_DATABASE__URL" in refusal.value.hint


def test_of_two_who_want_one_lock_the_second_is_refused_until_the_first_has_ended(database: Database) -> None:
    with exclusively(database, "sync s4/product", what="a sync of s4/product"):
        with (
            pytest.raises(CommitConflict, match="a sync of s4/product is already running"),
            exclusively(database, "sync s4/product", what="a sync of s4/product"),
        ):
            pytest.fail("both are in")
        with exclusively(database, "sync s4/sales_order", what="another sync"):
            pass
    with exclusively(database, "sync s4/product", what="a sync of s4/product"):
        pass


def test_a_lock_is_free_before_the_server_notices_that_its_holder_is_gone(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    open_still: list[psycopg.Connection] = []
    with monkeypatch.context() as late:
        late.setattr(psycopg.Connection, "close", lambda connection: open_still.append(connection))
        for _ in range(2):
            with exclusively(database, "sync s4/product", what="a sync of s4/product"):
                pass
    assert len(open_still) == 2
    for connection in open_still:
        connection.close()


def test_who_has_patience_comes_in_when_the_first_has_ended(database: Database) -> None:
    first = ExitStack()
    first.enter_context(exclusively(database, "tables", what="a build"))
    ended = threading.Event()

    def end() -> None:
        ended.set()
        first.close()

    threading.Timer(0.5, end).start()
    with exclusively(database, "tables", what="a build", patience=60):
        assert ended.is_set()


def test_patience_ends(database: Database) -> None:
    with (
        exclusively(database, "tables", what="a build"),
        pytest.raises(CommitConflict, match="a build is already running"),
        exclusively(database, "tables", what="a build", patience=0.3),
    ):
        pytest.fail("both are in")


def test_a_lock_by_name_does_not_hold_back_the_readers_of_events(database: Database) -> None:
    log = EventLog(database)
    with exclusively(database, "sync s4/product", what="a sync"):
        ids = log.append([Event("t", "k")])
        assert log.horizon() == ids[0]
