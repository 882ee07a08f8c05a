"""The event log, pins, announcements and principals."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0001"
down_revision = None

SCHEMA = "pilothouse"

# An advisory lock says "a transaction that may still commit holds ids from here on". Its key is the id, tagged in the
# upper bits so that it meets no other advisory lock. The lock is taken before the ids, and ends after the commit is visible.
RESERVE = """
CREATE FUNCTION pilothouse.reserve_events(wanted integer) RETURNS bigint[]
LANGUAGE plpgsql VOLATILE STRICT AS $$
BEGIN
    PERFORM pg_advisory_xact_lock_shared(
        (x'5049'::bigint << 48) | (SELECT last_value + CASE WHEN is_called THEN 1 ELSE 0 END FROM pilothouse.event_ids));
    RETURN ARRAY(SELECT nextval('pilothouse.event_ids') FROM generate_series(1, wanted));
END $$
"""

OPEN = """
CREATE FUNCTION pilothouse.events_open() RETURNS bigint
LANGUAGE sql VOLATILE AS $$
    SELECT min((classid::bigint & x'ffff'::bigint) << 32 | objid::bigint)
    FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND classid::bigint >> 16 = x'5049'::bigint
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$$
"""

# The order matters: an id that was given out before `given` was read has its lock from before, so the lock is seen
# below unless its transaction has ended; and then a snapshot taken later sees what it wrote.
HORIZON = """
CREATE FUNCTION pilothouse.events_horizon() RETURNS bigint
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    given bigint;
BEGIN
    SELECT last_value - CASE WHEN is_called THEN 0 ELSE 1 END INTO given FROM pilothouse.event_ids;
    RETURN least(given, pilothouse.events_open() - 1);
END $$
"""


def upgrade() -> None:
    op.execute(sa.schema.CreateSequence(sa.Sequence("event_ids", schema=SCHEMA)))
    op.create_table(
        "events",
        sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("batch", sa.Uuid, nullable=False, comment="the commit that wrote it, so that a writer can tell whether it arrived"),
        sa.Column("topic", sa.Text, nullable=False),
        sa.Column("key", sa.Text, nullable=False),
        sa.Column("correlation_id", sa.Text, nullable=False),
        sa.Column("payload", pg.JSON, nullable=False),
        schema=SCHEMA,
        comment="append-only; ids come from pilothouse.reserve_events",
    )
    op.create_table(
        "consumers",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("position", sa.BigInteger, nullable=False, comment="every event up to this id was acknowledged"),
        _moment("created_at"),
        _moment("seen_at"),
        sa.CheckConstraint("position >= 0", name="consumers_position"),
        schema=SCHEMA,
    )
    op.create_table(
        "pruned",
        sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("through", sa.BigInteger, nullable=False, comment="events up to this id may have been removed"),
        sa.CheckConstraint("one", name="pruned_one"),
        schema=SCHEMA,
    )
    op.execute("INSERT INTO pilothouse.pruned (through) VALUES (0)")
    op.execute(RESERVE)
    op.execute(OPEN)
    op.execute(HORIZON)
    _create_pins()
    op.create_table(
        "announcements",
        sa.Column("table_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, nullable=False, comment="changes up to this version became events"),
        _moment("announced_at"),
        sa.CheckConstraint("version >= 0", name="announcements_version"),
        schema=SCHEMA,
    )
    op.create_table(
        "principals",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("role", sa.Text, nullable=False),
        sa.Column("token_hash", sa.LargeBinary, nullable=True, unique=True),
        sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
        _moment("created_at"),
        sa.CheckConstraint("name <> '' AND role <> ''", name="principals_named"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    for function in ("events_horizon()", "events_open()", "reserve_events(integer)"):
        op.execute(f"DROP FUNCTION {SCHEMA}.{function}")
    for table in ("principals", "announcements", "pins", "pruned", "consumers", "events"):
        op.drop_table(table, schema=SCHEMA)
    op.execute(f"DROP SEQUENCE {SCHEMA}.event_ids")


def _create_pins() -> None:
    op.create_table(
        "pins",
        sa.Column("table_uri", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("holder", sa.Text, primary_key=True, comment="what points to the version, such as a decision"),
        sa.Column("reason", sa.Text, nullable=False, server_default=""),
        _moment("created_at"),
        sa.Column("until", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("version >= 0", name="pins_version"),
        schema=SCHEMA,
    )
    op.create_index("pins_holder", "pins", ["holder"], schema=SCHEMA)
    op.create_index("pins_until", "pins", ["until"], schema=SCHEMA, postgresql_where=sa.text("until IS NOT NULL"))


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
