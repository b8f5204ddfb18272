"""The catalogue holds the keys of encrypted blobs."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "blob_keys",
        sa.Column("name", sa.String(length=36), nullable=False),
        sa.Column("vault_key", _KEY, nullable=False),
        sa.Column("wrapped", sa.LargeBinary(), nullable=False),
        sa.Column("sealed_sha256", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["vault_key"], ["vaults.key"], name=op.f("fk_blob_keys_vault_key_vaults")),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_blob_keys")),
    )


def downgrade() -> None:
    """Drop it."""
    op.drop_table("blob_keys")
