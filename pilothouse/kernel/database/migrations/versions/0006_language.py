"""What language models answered, and how versions of agents stood up to their evaluation sets."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql as pg

revision = "0006"
down_revision = "0005"

SCHEMA = "pilothouse"


def upgrade() -> None:
    op.create_table(
        "model_answers",
        sa.Column("key", sa.LargeBinary, primary_key=True, comment="SHA-256 of the question, the models and the data's versions"),
        sa.Column("answer", pg.JSON, nullable=False),
        _moment("at"),
        schema=SCHEMA,
        comment="what language models answered, for the same question over the same data",
    )
    op.create_index("model_answers_at", "model_answers", ["at"], schema=SCHEMA)
    op.create_table(
        "evaluations",
        sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("version", sa.LargeBinary, nullable=False, comment="of the agent that was evaluated"),
        sa.Column("essence", sa.LargeBinary, nullable=False, comment="SHA-256 of its definition but for the code"),
        sa.Column("definition", pg.JSON, nullable=False, comment="of that version, so that it can decide again"),
        sa.Column("verdict", sa.Text, nullable=False, comment="in force, or worse"),
        sa.Column("score", sa.Float, nullable=False, comment="the share of cases that it decides as people want it"),
        sa.Column("report", pg.JSON, nullable=False),
        _moment("at"),
        schema=SCHEMA,
        comment="how versions of agents stood up to their evaluation sets",
    )
    op.create_index("evaluations_agent", "evaluations", ["agent", "id"], schema=SCHEMA)
    op.create_table(
        "traced",
        sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true()),
        sa.Column("seq", sa.BigInteger, nullable=False, comment="decisions up to this entry of the ledger are shown in MLflow"),
        sa.CheckConstraint("one", name="traced_one"),
        schema=SCHEMA,
    )


def downgrade() -> None:
    op.drop_table("traced", schema=SCHEMA)
    op.drop_table("evaluations", schema=SCHEMA)
    op.drop_table("model_answers", schema=SCHEMA)


def _moment(name: str) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=False, server_default=sa.func.now())
