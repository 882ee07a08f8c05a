"""Proposals that make up for a write which could not be taken back."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

SCHEMA = "pilothouse"


def upgrade() -> None:
    told = "the proposal whose write could not be taken back, and that it makes up for"
    op.add_column("proposals", sa.Column("compensates", sa.Text, nullable=True, comment=told), schema=SCHEMA)
    op.create_foreign_key(
        "proposals_compensates_fkey", "proposals", "proposals", ["compensates"], ["id"], source_schema=SCHEMA, referent_schema=SCHEMA
    )
    op.create_index("proposals_compensates", "proposals", ["compensates"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_column("proposals", "compensates", schema=SCHEMA)
