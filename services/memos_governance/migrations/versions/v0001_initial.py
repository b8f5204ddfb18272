"""Tenants, principals, keys, vaults, roles, request ids, audit chains, lineage."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_ID = sa.String(63)
_HASH = sa.String(64)
_COUNTER = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    """Make the tables."""
    _policy()
    _ledger()


def _policy() -> None:
    op.create_table(
        "governance_tenants",
        sa.Column("tenant", _ID, primary_key=True),
        sa.Column("policy_epoch", sa.BigInteger, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "governance_principals",
        sa.Column("tenant", _ID, sa.ForeignKey("governance_tenants.tenant"), primary_key=True),
        sa.Column("principal", _ID, primary_key=True),
        sa.Column("admin", sa.Boolean, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "governance_api_keys",
        sa.Column("tenant", _ID, primary_key=True),
        sa.Column("key", _ID, primary_key=True),
        sa.Column("digest", _HASH, nullable=False, unique=True),
        sa.Column("principal", _ID, nullable=False),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("revoke_time", sa.BigInteger),
        _to_principal(),
    )
    op.create_table(
        "governance_vaults",
        sa.Column("tenant", _ID, sa.ForeignKey("governance_tenants.tenant"), primary_key=True),
        sa.Column("vault", _ID, primary_key=True),
        sa.Column("display_name", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
        sa.Column("owner", _ID, nullable=False),
    )
    op.create_table(
        "governance_permissions",
        sa.Column("tenant", _ID, primary_key=True),
        sa.Column("vault", _ID, primary_key=True),
        sa.Column("principal", _ID, primary_key=True),
        sa.Column("role", sa.SmallInteger, nullable=False),
        sa.ForeignKeyConstraint(["tenant", "vault"], ["governance_vaults.tenant", "governance_vaults.vault"]),
        _to_principal(),
    )
    op.create_index("governance_permissions_by_principal", "governance_permissions", ["tenant", "principal", "vault"])
    op.create_table(
        "governance_request_ids",
        sa.Column("tenant", _ID, primary_key=True),
        sa.Column("principal", _ID, primary_key=True),
        sa.Column("method", sa.String(255), primary_key=True),
        sa.Column("request_id", sa.String(64), primary_key=True),
        sa.Column("body_sha256", _HASH, nullable=False),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("create_time", sa.BigInteger, nullable=False),
    )
    op.create_index("governance_request_ids_by_time", "governance_request_ids", ["tenant", "create_time"])


def _ledger() -> None:
    op.create_table(
        "governance_audit_heads",
        sa.Column("tenant", _ID, primary_key=True),
        sa.Column("sequence", sa.BigInteger, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
    )
    words = ("principal", "service", "action", "resource", "outcome", "reason", "trace_id")
    op.create_table(
        "governance_audit_entries",
        sa.Column("tenant", _ID, primary_key=True),
        sa.Column("sequence", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("event_id", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger, nullable=False),
        *(sa.Column(word, sa.Text, nullable=False) for word in words),
        sa.Column("previous_hash", _HASH, nullable=False),
        sa.Column("hash", _HASH, nullable=False),
        sa.UniqueConstraint("tenant", "event_id", name="governance_audit_event_once"),
    )
    for word in ("principal", "resource"):
        op.create_index(f"governance_audit_by_{word}", "governance_audit_entries", ["tenant", word, "sequence"])
    op.create_table(
        "governance_lineage_nodes",
        sa.Column("tenant", _ID, primary_key=True),
        sa.Column("name", sa.String(255), primary_key=True),
        sa.Column("kind", sa.SmallInteger, nullable=False),
        sa.Column("revision", sa.BigInteger, nullable=False),
        sa.Column("summary", sa.Text, nullable=False),
        sa.Column("time", sa.BigInteger),
        sa.Column("trace_id", sa.String(32), nullable=False),
        sa.Column("principal", _ID),
    )
    op.create_table(
        "governance_lineage_edges",
        sa.Column("id", _COUNTER, primary_key=True),
        sa.Column("tenant", _ID, nullable=False),
        sa.Column("source", sa.String(255), nullable=False),
        sa.Column("target", sa.String(255), nullable=False),
        sa.Column("relation", sa.SmallInteger, nullable=False),
        sa.Column("detail", sa.Text, nullable=False),
        sa.Column("principal", _ID),
        sa.UniqueConstraint("tenant", "source", "target", "relation", name="governance_lineage_edge_once"),
    )
    op.create_index("governance_lineage_by_target", "governance_lineage_edges", ["tenant", "target"])


def _to_principal() -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["tenant", "principal"], ["governance_principals.tenant", "governance_principals.principal"]
    )
