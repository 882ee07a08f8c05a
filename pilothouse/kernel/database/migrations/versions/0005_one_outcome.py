"""A decision has one outcome, whatever crashes or runs twice."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_index(
        "capsules_one_outcome",
        "capsules",
        ["about"],
        unique=True,
        schema="pilothouse",
        postgresql_where=sa.text("kind = 'outcome'"),
    )


def downgrade() -> None:
    op.drop_index("capsules_one_outcome", "capsules", schema="pilothouse")
