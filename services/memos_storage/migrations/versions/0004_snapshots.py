"""Moments of a vault get names."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "snapshots",
        sa.Column("tenant", sa.String(length=63), nullable=False),
        sa.Column("snapshot", sa.String(length=63), nullable=False),
        sa.Column("vault", sa.String(length=63), nullable=False),
        sa.Column("as_of", sa.BigInteger(), nullable=False),
        sa.Column("display_name", sa.String(length=128), nullable=False),
        sa.Column("creator", sa.String(length=160), nullable=False),
        sa.Column("create_time", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("tenant", "snapshot", name=op.f("pk_snapshots")),
    )
    op.create_index("ix_snapshots_latest", "snapshots", ["tenant", "vault", "as_of", "snapshot"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("snapshots")
