"""What happens to the cubes of a vault is a feed that can be followed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TRANSACTION = {"sqlite": "0", "postgresql": "(pg_current_xact_id()::text::bigint)"}


def upgrade() -> None:
    """Make the table; what happened before is not in it."""
    dialect = op.get_bind().dialect.name
    op.create_table(
        "changes",
        sa.Column("sequence", _KEY, autoincrement=True, nullable=False),
        sa.Column("txid", sa.BigInteger(), server_default=sa.text(_TRANSACTION[dialect]), nullable=False),
        sa.Column("vault_key", _KEY, nullable=False),
        sa.Column("uid", sa.String(length=36), nullable=False),
        sa.Column("cube", sa.String(length=63), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.SmallInteger(), nullable=False),
        sa.Column("record_time", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["vault_key"], ["vaults.key"], name=op.f("fk_changes_vault_key_vaults")),
        sa.PrimaryKeyConstraint("sequence", name=op.f("pk_changes")),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_changes_feed", "changes", ["vault_key", "txid", "sequence"])
    op.create_index(op.f("ix_changes_record_time"), "changes", ["record_time"])


def downgrade() -> None:
    """Drop it."""
    op.drop_table("changes")
