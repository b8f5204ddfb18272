"""Governance's tables. Ids are stored without their `tenants/{tenant}/...` prefix; the tenant leads every key."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from memos_runtime.sql.types import Moment

VERSION_TABLE = "governance_version"
"""A version table of its own, so that services can share a database."""

metadata = MetaData()

tenants = Table(
    "governance_tenants",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("policy_epoch", BigInteger, nullable=False),
    Column("create_time", Moment, nullable=False),
)

principals = Table(
    "governance_principals",
    metadata,
    Column("tenant", String(63), ForeignKey("governance_tenants.tenant"), primary_key=True),
    Column("principal", String(63), primary_key=True),
    Column("admin", Boolean, nullable=False),
    Column("create_time", Moment, nullable=False),
)

api_keys = Table(
    "governance_api_keys",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("key", String(63), primary_key=True),
    Column("digest", String(64), nullable=False, unique=True),
    Column("principal", String(63), nullable=False),
    Column("display_name", Text, nullable=False),
    Column("create_time", Moment, nullable=False),
    Column("revoke_time", Moment),
    ForeignKeyConstraint(["tenant", "principal"], ["governance_principals.tenant", "governance_principals.principal"]),
)

vaults = Table(
    "governance_vaults",
    metadata,
    Column("tenant", String(63), ForeignKey("governance_tenants.tenant"), primary_key=True),
    Column("vault", String(63), primary_key=True),
    Column("display_name", Text, nullable=False),
    Column("create_time", Moment, nullable=False),
    Column("owner", String(63), nullable=False),
    Column("type", SmallInteger, nullable=False),
    Column("member_role", SmallInteger, nullable=False),
    Column("max_cubes", BigInteger, nullable=False),
    Column("max_bytes", BigInteger, nullable=False),
    Column("cold_after", BigInteger),  # seconds
    Column("delete_after", BigInteger),  # seconds
    Index("governance_vaults_shared", "tenant", "member_role"),
)

permissions = Table(
    "governance_permissions",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("vault", String(63), primary_key=True),
    Column("principal", String(63), primary_key=True),
    Column("role", SmallInteger, nullable=False),
    ForeignKeyConstraint(["tenant", "vault"], ["governance_vaults.tenant", "governance_vaults.vault"]),
    ForeignKeyConstraint(["tenant", "principal"], ["governance_principals.tenant", "governance_principals.principal"]),
    Index("governance_permissions_by_principal", "tenant", "principal", "vault"),
)

request_ids = Table(
    "governance_request_ids",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("principal", String(63), primary_key=True),
    Column("method", String(255), primary_key=True),
    Column("request_id", String(64), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("result", Text, nullable=False),
    Column("create_time", Moment, nullable=False),
    Index("governance_request_ids_by_time", "tenant", "create_time"),
)

audit_heads = Table(
    "governance_audit_heads",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("sequence", BigInteger, nullable=False),
    Column("hash", String(64), nullable=False),
)

audit_entries = Table(
    "governance_audit_entries",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("sequence", BigInteger, primary_key=True, autoincrement=False),
    Column("event_id", Text, nullable=False),
    Column("time", Moment, nullable=False),
    Column("principal", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("resource", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("reason", Text, nullable=False),
    Column("trace_id", Text, nullable=False),
    Column("previous_hash", String(64), nullable=False),
    Column("hash", String(64), nullable=False),
    UniqueConstraint("tenant", "event_id", name="governance_audit_event_once"),
    Index("governance_audit_by_principal", "tenant", "principal", "sequence"),
    Index("governance_audit_by_resource", "tenant", "resource", "sequence"),
)

lineage_nodes = Table(
    "governance_lineage_nodes",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("name", String(255), primary_key=True),
    Column("kind", SmallInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("summary", Text, nullable=False),
    Column("time", Moment),
    Column("trace_id", String(32), nullable=False),
    Column("principal", String(63)),
)

lineage_edges = Table(
    "governance_lineage_edges",
    metadata,
    # INTEGER, because only that is a row id that counts up by itself in SQLite
    Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
    Column("tenant", String(63), nullable=False),
    Column("source", String(255), nullable=False),
    Column("target", String(255), nullable=False),
    Column("relation", SmallInteger, nullable=False),
    Column("detail", Text, nullable=False),
    Column("principal", String(63)),
    UniqueConstraint("tenant", "source", "target", "relation", name="governance_lineage_edge_once"),
    Index("governance_lineage_by_target", "tenant", "target"),
)
