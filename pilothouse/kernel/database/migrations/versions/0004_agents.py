"""What agents are to decide on, the versions of agents that ever decided, and what a decision saw of the record it would change."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0004"
down_revision = "0003"

SCHEMA = "pilothouse"


def upgrade() -> None:
    op.add_column(
        "proposals",
        sa.Column("seen", pg.JSON, nullable=True, comment="the fields as they were when it was decided"),
        schema=SCHEMA,
    )
    op.create_table(
        "agent_versions",
        sa.Column("version", sa.LargeBinary, primary_key=True, comment="SHA-256 of its definition, which is the blob of that digest"),
        sa.Column("agent", sa.Text, primary_key=True),
        _moment("first_ran_at"),
        sa.ForeignKeyConstraint(["version"], [f"{SCHEMA}.capsule_blobs.digest"], name="agent_versions_version_fkey"),
        schema=SCHEMA,
        comment="every version of an agent that ever decided",
    )
    op.create_table(
        "agent_inbox",
        sa.Column("agent", sa.Text, primary_key=True),
        sa.Column("occasion", sa.Text, primary_key=True, comment="the id of an event, or what was found by looking: decided once"),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("event", pg.JSON, nullable=False),
        sa.Column("state", sa.Text, nullable=False, server_default="waiting", comment="waiting, decided, covered or undecidable"),
        sa.Column("said", sa.Text, nullable=False, server_default="", comment="why it waits, or why it is not decided, for people"),
        sa.Column("attempts", sa.Integer, nullable=False, server_default="0", comment="runs that came to no decision"),
        sa.Column("decision", sa.LargeBinary, nullable=True),
        sa.Column("happened_at", sa.DateTime(timezone=True), nullable=False),
        _moment("noted_at"),
        sa.Column("settled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["decision"], [f"{SCHEMA}.capsules.digest"], name="agent_inbox_decision_fkey"),
        schema=SCHEMA,
        comment="what agents are to decide on, each occasion once, and what became of it",
    )
    op.create_index("agent_inbox_decision", "agent_inbox", ["decision"], schema=SCHEMA)
    op.create_index("agent_inbox_state", "agent_inbox", ["agent", "state"], schema=SCHEMA)
    op.create_index("agent_inbox_subject", "agent_inbox", ["agent", "subject"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("agent_inbox", schema=SCHEMA)
    op.drop_table("agent_versions", schema=SCHEMA)
    op.drop_column("proposals", "seen", schema=SCHEMA)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
