"""Vaults have a type and a policy; those of before are private, without limits."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

_NUMBERS = (
    ("type", sa.SmallInteger(), "1"),
    ("member_role", sa.SmallInteger(), "0"),
    ("max_cubes", sa.BigInteger(), "0"),
    ("max_bytes", sa.BigInteger(), "0"),
)
_AGES = ("cold_after", "delete_after")


def upgrade() -> None:
    """Add the columns."""
    for name, kind, default in _NUMBERS:
        op.add_column("governance_vaults", sa.Column(name, kind, nullable=False, server_default=default))
    for name in _AGES:
        op.add_column("governance_vaults", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_index("governance_vaults_shared", "governance_vaults", ["tenant", "member_role"])


def downgrade() -> None:
    """Drop them."""
    op.drop_index("governance_vaults_shared", "governance_vaults")
    for name in (*_AGES, *(name for name, _, _ in _NUMBERS)):
        op.drop_column("governance_vaults", name)
