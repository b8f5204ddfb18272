"""Statements make earlier ones untrue: links between cubes."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Add the table."""
    op.create_table(
        "memory_links",
        sa.Column("newer_key", _KEY, nullable=False),
        sa.Column("older_key", _KEY, nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("evidence", sa.Float(), nullable=False),
        sa.Column("record_time", sa.BigInteger(), nullable=False),
        sa.Column("decided_by", sa.String(length=160), nullable=False),
        sa.Column("closed_until", sa.BigInteger(), nullable=True),
        sa.Column("open_until", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(
            ["newer_key"], ["cubes.key"], name=op.f("fk_memory_links_newer_key_cubes"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["older_key"], ["cubes.key"], name=op.f("fk_memory_links_older_key_cubes"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("newer_key", "older_key", name=op.f("pk_memory_links")),
    )
    op.create_index(op.f("ix_memory_links_older_key"), "memory_links", ["older_key"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("memory_links")
