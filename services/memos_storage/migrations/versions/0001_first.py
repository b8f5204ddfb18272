"""The first version: cubes with their revisions, the lexical index, the outboxes and request ids."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make the tables."""
    _audit_events()
    _embedders()
    _fences()
    _meta()
    _request_ids()
    _vaults()
    _cubes()
    _labels()
    _outbox()
    _postings()
    _revisions()
    _sources()
    _vectors()


def downgrade() -> None:
    """Drop everything."""
    for table in reversed(_TABLES):
        op.drop_table(table)


def _audit_events() -> None:
    op.create_table(
        "audit_events",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.String(length=36), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("record_time", sa.BigInteger(), nullable=False),
        sa.Column("principal", sa.String(length=160), nullable=False),
        sa.Column("action", sa.String(length=63), nullable=False),
        sa.Column("resource", sa.String(length=160), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("trace_id", sa.String(length=32), nullable=False),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_audit_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_audit_events_event_id")),
    )


def _embedders() -> None:
    op.create_table(
        "embedders",
        sa.Column("embedder", sa.String(length=256), nullable=False),
        sa.Column("dimensions", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("embedder", name=op.f("pk_embedders")),
    )


def _fences() -> None:
    op.create_table(
        "fences",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("token", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_fences")),
    )


def _meta() -> None:
    op.create_table(
        "meta",
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_meta")),
    )


def _request_ids() -> None:
    op.create_table(
        "request_ids",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("principal", sa.String(length=63), nullable=False),
        sa.Column("method", sa.String(length=160), nullable=False),
        sa.Column("request_id", sa.String(length=256), nullable=False),
        sa.Column("body_sha256", sa.String(length=64), nullable=False),
        sa.Column("provenance_id", sa.String(length=36), nullable=False),
        sa.Column("outcomes", sa.LargeBinary(), nullable=False),
        sa.Column("record_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "principal", "method", "request_id", name=op.f("pk_request_ids")),
    )
    op.create_index(op.f("ix_request_ids_record_time"), "request_ids", ["record_time"], unique=False)


def _vaults() -> None:
    op.create_table(
        "vaults",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("vault", sa.String(length=63), nullable=False),
        sa.Column("documents", sa.BigInteger(), nullable=False),
        sa.Column("terms", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_vaults")),
        sa.UniqueConstraint("tenant", "vault", name=op.f("uq_vaults_tenant_vault")),
    )


def _cubes() -> None:
    op.create_table(
        "cubes",
        sa.Column("key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("vault_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("cube", sa.String(length=63), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("state", sa.SmallInteger(), nullable=False),
        sa.Column("frozen", sa.Boolean(), nullable=False),
        sa.Column("semantic_type", sa.SmallInteger(), nullable=False),
        sa.Column("content_hash", sa.String(length=64), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("content_revision", sa.BigInteger(), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.Column("update_time", sa.BigInteger(), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=False),
        sa.Column("expire_time", sa.BigInteger(), nullable=True),
        sa.Column("delete_time", sa.BigInteger(), nullable=True),
        sa.Column("purge_time", sa.BigInteger(), nullable=True),
        sa.Column("valid_from", sa.BigInteger(), nullable=True),
        sa.Column("valid_until", sa.BigInteger(), nullable=True),
        sa.Column("hits", sa.BigInteger(), nullable=False),
        sa.Column("heat", sa.Float(), nullable=False),
        sa.Column("last_used_time", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["vault_key"], ["vaults.key"], name=op.f("fk_cubes_vault_key")),
        sa.PrimaryKeyConstraint("key", name=op.f("pk_cubes")),
        sa.UniqueConstraint("tenant", "cube", name=op.f("uq_cubes_tenant_cube")),
        sa.UniqueConstraint("uid", name=op.f("uq_cubes_uid")),
    )
    op.create_index(
        "ix_cubes_due",
        "cubes",
        ["expire_time"],
        unique=False,
        sqlite_where=sa.text("expire_time IS NOT NULL"),
        postgresql_where=sa.text("expire_time IS NOT NULL"),
    )
    op.create_index("ix_cubes_newest", "cubes", ["vault_key", "create_time", "uid"], unique=False)
    op.create_index(
        "uq_cubes_live_content",
        "cubes",
        ["vault_key", "content_hash"],
        unique=True,
        sqlite_where=sa.text("delete_time IS NULL"),
        postgresql_where=sa.text("delete_time IS NULL"),
    )


def _labels() -> None:
    op.create_table(
        "labels",
        sa.Column("cube_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("label", sa.String(length=63), nullable=False),
        sa.Column("value", sa.String(length=256), nullable=False),
        sa.ForeignKeyConstraint(["cube_key"], ["cubes.key"], name=op.f("fk_labels_cube_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cube_key", "label", name=op.f("pk_labels")),
    )


def _outbox() -> None:
    op.create_table(
        "outbox",
        sa.Column("sequence", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("cube_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("embedder", sa.String(length=256), nullable=False),
        sa.Column("record_time", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("due_time", sa.BigInteger(), nullable=False),
        sa.Column("lease_token", sa.BigInteger(), nullable=False),
        sa.Column("lease_until", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["cube_key"], ["cubes.key"], name=op.f("fk_outbox_cube_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_outbox")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_outbox_cube_key"), "outbox", ["cube_key"], unique=False)


def _postings() -> None:
    op.create_table(
        "postings",
        sa.Column("vault_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("term", sa.String(length=64), nullable=False),
        sa.Column("cube_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("frequency", sa.Integer(), nullable=False),
        sa.Column("length", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["cube_key"], ["cubes.key"], name=op.f("fk_postings_cube_key"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["vault_key"], ["vaults.key"], name=op.f("fk_postings_vault_key")),
        sa.PrimaryKeyConstraint("vault_key", "term", "cube_key", name=op.f("pk_postings")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_postings_cube_key"), "postings", ["cube_key"], unique=False)


def _revisions() -> None:
    op.create_table(
        "revisions",
        sa.Column("cube_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("record_time", sa.BigInteger(), nullable=False),
        sa.Column("document", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["cube_key"], ["cubes.key"], name=op.f("fk_revisions_cube_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cube_key", "revision", name=op.f("pk_revisions")),
    )


def _sources() -> None:
    op.create_table(
        "sources",
        sa.Column("cube_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("position", sa.SmallInteger(), nullable=False),
        sa.Column("message_id", sa.String(length=256), nullable=False),
        sa.Column("speaker", sa.String(length=256), nullable=False),
        sa.Column("session", sa.String(length=256), nullable=False),
        sa.Column("event_time", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["cube_key"], ["cubes.key"], name=op.f("fk_sources_cube_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cube_key", "position", name=op.f("pk_sources")),
    )


def _vectors() -> None:
    op.create_table(
        "vectors",
        sa.Column("cube_key", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("embedder", sa.String(length=256), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("data", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["cube_key"], ["cubes.key"], name=op.f("fk_vectors_cube_key"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("cube_key", "embedder", name=op.f("pk_vectors")),
    )


_TABLES = (
    "audit_events",
    "embedders",
    "fences",
    "meta",
    "request_ids",
    "vaults",
    "cubes",
    "labels",
    "outbox",
    "postings",
    "revisions",
    "sources",
    "vectors",
)
