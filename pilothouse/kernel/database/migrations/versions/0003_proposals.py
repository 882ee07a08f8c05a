"""What agents propose to write, and what people said of it."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0003"
down_revision = "0002"

SCHEMA = "pilothouse"


def upgrade() -> None:
    op.create_table(
        "proposals",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("decision", sa.LargeBinary, nullable=False, comment="the capsule of the decision that proposes it"),
        sa.Column("proposed_by", sa.Text, nullable=False),
        sa.Column("target", sa.Text, nullable=False, comment="the source it is written to"),
        sa.Column("action", pg.JSON, nullable=False, comment="as it stands now, edits included"),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("amount", sa.Numeric, nullable=False),
        sa.Column("roles", pg.ARRAY(sa.Text), nullable=False),
        sa.Column("synthetic", sa.Boolean, nullable=False),
        sa.Column("revision", sa.Integer, nullable=False, comment="counts edits; an approval is of one revision"),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("said", sa.Text, nullable=False, server_default="", comment="why it stands where it stands, for people"),
        sa.Column("plan", sa.LargeBinary, nullable=True),
        sa.Column("receipt", sa.LargeBinary, nullable=True),
        _moment("created_at"),
        _moment("changed_at"),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["decision"], [f"{SCHEMA}.capsules.digest"], name="proposals_decision_fkey"),
        schema=SCHEMA,
        comment="what agents propose to write, and how far it got",
    )
    op.create_index("proposals_decision", "proposals", ["decision"], schema=SCHEMA)
    op.create_index("proposals_status", "proposals", ["status"], schema=SCHEMA)
    op.create_table(
        "remarks",
        sa.Column("proposal", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("revision", sa.Integer, nullable=False),
        sa.Column("by", sa.Text, nullable=False),
        sa.Column("verb", sa.Text, nullable=False, comment="approve, reject, edit, comment or undo"),
        sa.Column("why", sa.Text, nullable=False),
        sa.Column("change", pg.JSON, nullable=True, comment="of an edit: each field before and after"),
        _moment("at"),
        sa.ForeignKeyConstraint(["proposal"], [f"{SCHEMA}.proposals.id"], name="remarks_proposal_fkey"),
        schema=SCHEMA,
        comment="what people said of proposals",
    )


def downgrade() -> None:
    op.drop_table("remarks", schema=SCHEMA)
    op.drop_table("proposals", schema=SCHEMA)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
