"""The chain of decisions, and the blobs that it names."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

SCHEMA = "pilothouse"


def upgrade() -> None:
    op.create_table(
        "capsule_blobs",
        sa.Column("digest", sa.LargeBinary, primary_key=True, comment="SHA-256 of the content"),
        sa.Column("content", sa.LargeBinary, nullable=False),
        schema=SCHEMA,
        comment="what decisions saw and said, and their manifests, each once",
    )
    op.create_table(
        "capsules",
        sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 ... without a gap"),
        sa.Column("digest", sa.LargeBinary, nullable=False, unique=True, comment="SHA-256 of the manifest, which is a blob"),
        sa.Column("previous", sa.LargeBinary, nullable=True, unique=True),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("subject", sa.Text, nullable=False),
        sa.Column("about", sa.LargeBinary, nullable=True, comment="the decision that this is a sequel of"),
        sa.Column("agent", sa.Text, nullable=False),
        sa.Column("agent_version", sa.Text, nullable=False),
        sa.Column("synthetic", sa.Boolean, nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("signature", sa.LargeBinary, nullable=False, comment="Ed25519 over the digest"),
        sa.ForeignKeyConstraint(["about"], [f"{SCHEMA}.capsules.digest"], name="capsules_about_fkey"),
        sa.CheckConstraint("seq > 0", name="capsules_seq"),
        schema=SCHEMA,
        comment="the hash chain of decisions and what became of them",
    )
    op.create_index("capsules_about", "capsules", ["about"], schema=SCHEMA)
    op.create_index("capsules_subject", "capsules", ["subject"], schema=SCHEMA)
    op.create_index("capsules_kind", "capsules", ["kind", "seq"], schema=SCHEMA)


def downgrade() -> None:
    op.drop_table("capsules", schema=SCHEMA)
    op.drop_table("capsule_blobs", schema=SCHEMA)
