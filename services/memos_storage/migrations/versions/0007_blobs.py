"""The catalogue knows the blobs of activation and parametric payloads."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "blobs",
        sa.Column("name", sa.String(length=36), nullable=False),
        sa.Column("vault_key", _KEY, nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("media_type", sa.String(length=127), nullable=False),
        sa.Column("record_time", sa.BigInteger(), nullable=False),
        sa.Column("cube_uid", sa.String(length=36), nullable=True),
        sa.Column("gone", sa.Boolean(), nullable=False),
        sa.Column("purge_key", _KEY, nullable=True),
        sa.ForeignKeyConstraint(["vault_key"], ["vaults.key"], name=op.f("fk_blobs_vault_key_vaults")),
        sa.ForeignKeyConstraint(["purge_key"], ["purges.key"], name=op.f("fk_blobs_purge_key_purges")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_blobs")),
        sa.UniqueConstraint("cube_uid", name=op.f("uq_blobs_cube_uid")),
    )
    op.create_index(op.f("ix_blobs_vault_key"), "blobs", ["vault_key"])
    op.create_index(op.f("ix_blobs_purge_key"), "blobs", ["purge_key"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("blobs")
