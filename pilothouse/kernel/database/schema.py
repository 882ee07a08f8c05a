"""The operational tables as code reads and writes them. What creates them are the migrations; a test compares the two."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData(schema="pilothouse")


def _moment(name: str, *, default: bool = True, nullable: bool = False) -> sa.Column[object]:
    return sa.Column(name, sa.DateTime(timezone=True), nullable=nullable, server_default=sa.func.now() if default else None)


# `json`, not `jsonb`: an event is stored as it was told, and validating is faster than taking apart.
events = sa.Table(
    "events",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("batch", sa.Uuid, nullable=False, comment="the commit that wrote it, so that a writer can tell whether it arrived"),
    sa.Column("topic", sa.Text, nullable=False),
    sa.Column("key", sa.Text, nullable=False),
    sa.Column("correlation_id", sa.Text, nullable=False),
    sa.Column("payload", pg.JSON, nullable=False),
    comment="append-only; ids come from pilothouse.reserve_events",
)

consumers = sa.Table(
    "consumers",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("position", sa.BigInteger, nullable=False, comment="every event up to this id was acknowledged"),
    _moment("created_at"),
    _moment("seen_at"),
    sa.CheckConstraint("position >= 0", name="consumers_position"),
)

pruned = sa.Table(
    "pruned",
    metadata,
    sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("through", sa.BigInteger, nullable=False, comment="events up to this id may have been removed"),
    sa.CheckConstraint("one", name="pruned_one"),
)

pins = sa.Table(
    "pins",
    metadata,
    sa.Column("table_uri", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("holder", sa.Text, primary_key=True, comment="what points to the version, such as a decision"),
    sa.Column("reason", sa.Text, nullable=False, server_default=""),
    _moment("created_at"),
    _moment("until", default=False, nullable=True),
    sa.CheckConstraint("version >= 0", name="pins_version"),
    sa.Index("pins_holder", "holder"),
    sa.Index("pins_until", "until", postgresql_where=sa.text("until IS NOT NULL")),
)

announcements = sa.Table(
    "announcements",
    metadata,
    sa.Column("table_id", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False, comment="changes up to this version became events"),
    _moment("announced_at"),
    sa.CheckConstraint("version >= 0", name="announcements_version"),
)

principals = sa.Table(
    "principals",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("role", sa.Text, nullable=False),
    sa.Column("token_hash", sa.LargeBinary, nullable=True, unique=True),
    sa.Column("disabled", sa.Boolean, nullable=False, server_default=sa.false()),
    _moment("created_at"),
    sa.CheckConstraint("name <> '' AND role <> ''", name="principals_named"),
)

capsule_blobs = sa.Table(
    "capsule_blobs",
    metadata,
    sa.Column("digest", sa.LargeBinary, primary_key=True, comment="SHA-256 of the content"),
    sa.Column("content", sa.LargeBinary, nullable=False),
    comment="what decisions saw and said, and their manifests, each once",
)

capsules = sa.Table(
    "capsules",
    metadata,
    sa.Column("seq", sa.BigInteger, primary_key=True, autoincrement=False, comment="1, 2, 3 ... without a gap"),
    sa.Column("digest", sa.LargeBinary, nullable=False, unique=True, comment="SHA-256 of the manifest, which is a blob"),
    sa.Column("previous", sa.LargeBinary, nullable=True, unique=True),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("about", sa.LargeBinary, nullable=True, comment="the decision that this is a sequel of"),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("agent_version", sa.Text, nullable=False),
    sa.Column("synthetic", sa.Boolean, nullable=False),
    _moment("at", default=False),
    sa.Column("signature", sa.LargeBinary, nullable=False, comment="Ed25519 over the digest"),
    sa.ForeignKeyConstraint(["about"], ["pilothouse.capsules.digest"], name="capsules_about_fkey"),
    sa.CheckConstraint("seq > 0", name="capsules_seq"),
    sa.Index("capsules_about", "about"),
    sa.Index("capsules_subject", "subject"),
    sa.Index("capsules_kind", "kind", "seq"),
    sa.Index("capsules_one_outcome", "about", unique=True, postgresql_where=sa.text("kind = 'outcome'")),
    comment="the hash chain of decisions and what became of them",
)

proposals = sa.Table(
    "proposals",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("decision", sa.LargeBinary, nullable=False, comment="the capsule of the decision that proposes it"),
    sa.Column("proposed_by", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False, comment="the source it is written to"),
    sa.Column("action", pg.JSON, nullable=False, comment="as it stands now, edits included"),
    sa.Column("seen", pg.JSON, nullable=True, comment="the fields as they were when it was decided"),
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("amount", sa.Numeric, nullable=False),
    sa.Column("roles", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("synthetic", sa.Boolean, nullable=False),
    sa.Column("revision", sa.Integer, nullable=False, comment="counts edits; an approval is of one revision"),
    sa.Column("status", sa.Text, nullable=False),
    sa.Column("said", sa.Text, nullable=False, server_default="", comment="why it stands where it stands, for people"),
    sa.Column("plan", sa.LargeBinary, nullable=True),
    sa.Column("receipt", sa.LargeBinary, nullable=True),
    sa.Column("compensates", sa.Text, nullable=True, comment="the proposal whose write could not be taken back, and that it makes up for"),
    _moment("created_at"),
    _moment("changed_at"),
    _moment("expires_at", default=False),
    sa.ForeignKeyConstraint(["decision"], ["pilothouse.capsules.digest"], name="proposals_decision_fkey"),
    sa.ForeignKeyConstraint(["compensates"], ["pilothouse.proposals.id"], name="proposals_compensates_fkey"),
    sa.Index("proposals_compensates", "compensates"),
    sa.Index("proposals_decision", "decision"),
    sa.Index("proposals_status", "status"),
    comment="what agents propose to write, and how far it got",
)

remarks = sa.Table(
    "remarks",
    metadata,
    sa.Column("proposal", sa.Text, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("revision", sa.Integer, nullable=False),
    sa.Column("by", sa.Text, nullable=False),
    sa.Column("verb", sa.Text, nullable=False, comment="approve, reject, edit, comment or undo"),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("change", pg.JSON, nullable=True, comment="of an edit: each field before and after"),
    _moment("at"),
    sa.ForeignKeyConstraint(["proposal"], ["pilothouse.proposals.id"], name="remarks_proposal_fkey"),
    comment="what people said of proposals",
)

agent_versions = sa.Table(
    "agent_versions",
    metadata,
    sa.Column("version", sa.LargeBinary, primary_key=True, comment="SHA-256 of its definition, which is the blob of that digest"),
    sa.Column("agent", sa.Text, primary_key=True),
    _moment("first_ran_at"),
    sa.ForeignKeyConstraint(["version"], ["pilothouse.capsule_blobs.digest"], name="agent_versions_version_fkey"),
    comment="every version of an agent that ever decided",
)

agent_inbox = sa.Table(
    "agent_inbox",
    metadata,
    sa.Column("agent", sa.Text, primary_key=True),
    sa.Column("occasion", sa.Text, primary_key=True, comment="the id of an event, or what was found by looking: decided once"),
    sa.Column("subject", sa.Text, nullable=False),
    sa.Column("event", pg.JSON, nullable=False),
    sa.Column("state", sa.Text, nullable=False, server_default="waiting", comment="waiting, decided, covered or undecidable"),
    sa.Column("said", sa.Text, nullable=False, server_default="", comment="why it waits, or why it is not decided, for people"),
    sa.Column("attempts", sa.Integer, nullable=False, server_default="0", comment="runs that came to no decision"),
    sa.Column("decision", sa.LargeBinary, nullable=True),
    _moment("happened_at", default=False),
    _moment("noted_at"),
    _moment("settled_at", default=False, nullable=True),
    sa.ForeignKeyConstraint(["decision"], ["pilothouse.capsules.digest"], name="agent_inbox_decision_fkey"),
    sa.Index("agent_inbox_decision", "decision"),
    sa.Index("agent_inbox_state", "agent", "state"),
    sa.Index("agent_inbox_subject", "agent", "subject"),
    comment="what agents are to decide on, each occasion once, and what became of it",
)

model_answers = sa.Table(
    "model_answers",
    metadata,
    sa.Column("key", sa.LargeBinary, primary_key=True, comment="SHA-256 of the question, the models and the data's versions"),
    sa.Column("answer", pg.JSON, nullable=False),
    _moment("at"),
    sa.Index("model_answers_at", "at"),
    comment="what language models answered, for the same question over the same data",
)

evaluations = sa.Table(
    "evaluations",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("agent", sa.Text, nullable=False),
    sa.Column("version", sa.LargeBinary, nullable=False, comment="of the agent that was evaluated"),
    sa.Column("essence", sa.LargeBinary, nullable=False, comment="SHA-256 of its definition but for the code"),
    sa.Column("definition", pg.JSON, nullable=False, comment="of that version, so that it can decide again"),
    sa.Column("verdict", sa.Text, nullable=False, comment="in force, or worse"),
    sa.Column("score", sa.Float, nullable=False, comment="the share of cases that it decides as people want it"),
    sa.Column("report", pg.JSON, nullable=False),
    _moment("at"),
    sa.Index("evaluations_agent", "agent", "id"),
    comment="how versions of agents stood up to their evaluation sets",
)

traced = sa.Table(
    "traced",
    metadata,
    sa.Column("one", sa.Boolean, primary_key=True, server_default=sa.true()),
    sa.Column("seq", sa.BigInteger, nullable=False, comment="decisions up to this entry of the ledger are shown in MLflow"),
    sa.CheckConstraint("one", name="traced_one"),
)
