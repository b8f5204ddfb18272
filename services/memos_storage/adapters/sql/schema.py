"""Tables of the catalogue. Times are microseconds since 1970 in UTC; keys are internal and never leave the service."""

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    FetchedValue,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

STORE = "catalogue"
"""What people call the database."""

VERSION_TABLE = "storage_version"
"""A version table of its own, so that services can share a database."""

metadata = MetaData(naming_convention=NAMING)

Key = BigInteger().with_variant(Integer, "sqlite")
"""SQLite numbers rows only in columns of the type INTEGER."""

vaults = Table(
    "vaults",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("tenant", String(63), nullable=False),
    Column("vault", String(63), nullable=False),
    Column("documents", BigInteger, nullable=False),  # texts in the lexical index
    Column("terms", BigInteger, nullable=False),  # sum of their lengths
    Column("cubes", BigInteger, nullable=False),  # those that are not erased
    Column("text_bytes", BigInteger, nullable=False),  # of their present texts
    UniqueConstraint("tenant", "vault"),
)

cubes = Table(
    "cubes",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("uid", String(36), nullable=False, unique=True),
    Column("vault_key", ForeignKey("vaults.key"), nullable=False),
    Column("tenant", String(63), nullable=False),
    Column("cube", String(63), nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("frozen", Boolean, nullable=False),
    Column("semantic_type", SmallInteger, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("content_revision", BigInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("update_time", BigInteger, nullable=False),
    Column("event_time", BigInteger, nullable=False),
    Column("expire_time", BigInteger),
    Column("delete_time", BigInteger),
    Column("purge_time", BigInteger),
    Column("valid_from", BigInteger),
    Column("valid_until", BigInteger),
    Column("hits", BigInteger, nullable=False),
    Column("heat", Float, nullable=False),
    Column("last_used_time", BigInteger),
    Column("text_bytes", Integer, nullable=False),
    UniqueConstraint("tenant", "cube"),
)

Index(
    "uq_cubes_live_content",
    cubes.c.vault_key,
    cubes.c.content_hash,
    unique=True,
    sqlite_where=text("delete_time IS NULL"),
    postgresql_where=text("delete_time IS NULL"),
)
Index("ix_cubes_newest", cubes.c.vault_key, cubes.c.create_time, cubes.c.uid)
Index("ix_cubes_changed", cubes.c.vault_key, cubes.c.update_time)
Index(
    "ix_cubes_purgeable",
    cubes.c.tenant,
    cubes.c.purge_time,
    sqlite_where=text("purge_time IS NOT NULL"),
    postgresql_where=text("purge_time IS NOT NULL"),
)
Index(
    "ix_cubes_due",
    cubes.c.expire_time,
    sqlite_where=text("expire_time IS NOT NULL"),
    postgresql_where=text("expire_time IS NOT NULL"),
)

revisions = Table(
    "revisions",
    metadata,
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
    Column("content_revision", BigInteger, nullable=False),  # the revision that brought its text
    Column("record_time", BigInteger, nullable=False),
    Column("document", LargeBinary, nullable=False),  # memos.v1.MemCube without usage
)

sources = Table(
    "sources",
    metadata,
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True),
    Column("position", SmallInteger, primary_key=True),
    Column("message_id", String(256), nullable=False),
    Column("speaker", String(256), nullable=False),  # folded, for comparing
    Column("session", String(256), nullable=False),
    Column("event_time", BigInteger),
)

labels = Table(
    "labels",
    metadata,
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True),
    Column("label", String(63), primary_key=True),
    Column("value", String(256), nullable=False),
)

vectors = Table(
    "vectors",
    metadata,
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True),
    Column("embedder", String(256), primary_key=True),
    Column("revision", BigInteger, primary_key=True),  # the content revision; those of older texts stay
    Column("data", LargeBinary, nullable=False),  # float32, little endian
    Column("tokens", LargeBinary),  # codes of the tokens' vectors; empty: there are none, NULL: not made yet
)

embedders = Table(
    "embedders",
    metadata,
    Column("embedder", String(256), primary_key=True),
    Column("dimensions", Integer, nullable=False),
)

postings = Table(
    "postings",
    metadata,
    Column("vault_key", ForeignKey("vaults.key"), primary_key=True),
    Column("term", String(64), primary_key=True),
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True, index=True),
    Column("frequency", Integer, nullable=False),
    Column("length", Integer, nullable=False),  # terms in the whole text, kept here to spare a join
    sqlite_with_rowid=False,
)

turns = Table(
    "turns",
    metadata,
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True),
    Column("vault_key", ForeignKey("vaults.key"), nullable=False),
    Column("session", String(256), nullable=False),  # empty: it is in no conversation
    Column("event_time", BigInteger, nullable=False),
    Column("uid", String(36), nullable=False, unique=True),  # of the cube; uids sort by the time when they were made
    Column("previous", Key, index=True),  # cube_key of the turn before it in the session
    Column("speaker", String(256), nullable=False),  # folded; empty: without a name
    Column("role", SmallInteger, nullable=False),
    Column("length", Integer, nullable=False),  # terms of the text
    Column("marks", Integer, nullable=False),  # bits of `domain.turns.Mark`
    Column(
        "named", Text, nullable=False, server_default=""
    ),  # JSON of the times it tells of, see `sql.named`; or empty
)
"""The live texts as the ranking of searches sees them, and their order in conversations."""

Index("ix_turns_order", turns.c.vault_key, turns.c.session, turns.c.event_time, turns.c.uid)

memory_links = Table(
    "memory_links",
    metadata,
    Column("newer_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True),
    Column("older_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True, index=True),
    Column("kind", SmallInteger, nullable=False),
    Column("evidence", Float, nullable=False),
    Column("record_time", BigInteger, nullable=False),
    Column("decided_by", String(160), nullable=False),  # principal; empty: judged
    Column("closed_until", BigInteger),  # `valid_until` that the older one got, and the one that it had
    Column("open_until", BigInteger),
)
"""Which statement makes an earlier one untrue, or may."""

snapshots = Table(
    "snapshots",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("snapshot", String(63), primary_key=True),
    Column("vault", String(63), nullable=False),
    Column("as_of", BigInteger, nullable=False),
    Column("display_name", String(128), nullable=False),
    Column("creator", String(160), nullable=False),
    Column("create_time", BigInteger, nullable=False),
)

Index("ix_snapshots_latest", snapshots.c.tenant, snapshots.c.vault, snapshots.c.as_of, snapshots.c.snapshot)

changes = Table(
    "changes",
    metadata,
    Column("sequence", Key, primary_key=True, autoincrement=True),
    Column("txid", BigInteger, nullable=False, server_default=FetchedValue()),  # of the transaction; 0 on SQLite
    Column("vault_key", ForeignKey("vaults.key"), nullable=False),
    Column("uid", String(36), nullable=False),
    Column("cube", String(63), nullable=False),
    Column("revision", BigInteger, nullable=False),
    Column("kind", SmallInteger, nullable=False),
    Column("record_time", BigInteger, nullable=False, index=True),
    sqlite_autoincrement=True,
)

Index("ix_changes_feed", changes.c.vault_key, changes.c.txid, changes.c.sequence)

derivations = Table(
    "derivations",
    metadata,
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), primary_key=True),
    Column("source", String(63), primary_key=True, index=True),  # name of a cube of the tenant, there or not
)

purges = Table(
    "purges",
    metadata,
    Column("key", Key, primary_key=True, autoincrement=True),
    Column("tenant", String(63), nullable=False),
    Column("purge", String(63), nullable=False),
    Column("vault", String(63), nullable=False),
    Column("principal", String(160), nullable=False),
    Column("reason", String, nullable=False),
    Column("cubes", Integer, nullable=False),
    Column("stale", Integer, nullable=False),
    Column("kept", Integer, nullable=False),
    Column("state", SmallInteger, nullable=False),
    Column("create_time", BigInteger, nullable=False),
    Column("end_time", BigInteger),
    Column("lift_time", BigInteger),
    Column("statement", LargeBinary),
    Column("signature", LargeBinary),
    Column("public_key", LargeBinary),
    UniqueConstraint("tenant", "purge"),
)

Index("ix_purges_newest", purges.c.tenant, purges.c.vault, purges.c.create_time, purges.c.purge)
Index(
    "ix_purges_unfinished",
    purges.c.tenant,
    purges.c.create_time,
    sqlite_where=text("end_time IS NULL"),
    postgresql_where=text("end_time IS NULL"),
)

purge_cubes = Table(
    "purge_cubes",
    metadata,
    Column("purge_key", ForeignKey("purges.key"), primary_key=True),
    Column("uid", String(36), primary_key=True, unique=True, index=True),  # a cube is in one purge
    Column("cube", String(63), nullable=False),
    Column("revisions", Integer, nullable=False),
    Column("erased", Boolean, nullable=False),
)
"""Cubes of a purge that is not done; the receipt has them afterwards."""

purge_points = Table(
    "purge_points",
    metadata,
    Column("purge_key", ForeignKey("purges.key"), primary_key=True),
    Column("embedder", String(256), primary_key=True),
    Column("uid", String(36), primary_key=True),
    Column("revision", BigInteger, primary_key=True),
)
"""Points that an index may hold of cubes that are erased already."""

tombstones = Table(
    "tombstones",
    metadata,
    Column("digest", LargeBinary(32), primary_key=True),
    Column("purge_key", ForeignKey("purges.key"), primary_key=True, index=True),
)

blobs = Table(
    "blobs",
    metadata,
    Column("name", String(36), primary_key=True),
    Column("vault_key", ForeignKey("vaults.key"), nullable=False, index=True),
    Column("size_bytes", BigInteger, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("media_type", String(127), nullable=False),
    Column("record_time", BigInteger, nullable=False),
    Column("cube_uid", String(36), unique=True),  # the cube that has taken it
    Column("gone", Boolean, nullable=False),  # has to leave the store
    Column("purge_key", ForeignKey("purges.key"), index=True),  # the purge that waits for that
)

blob_keys = Table(
    "blob_keys",
    metadata,
    Column("name", String(36), primary_key=True),
    Column("vault_key", ForeignKey("vaults.key"), nullable=False),
    Column("wrapped", LargeBinary, nullable=False),
    Column("sealed_sha256", String(64), nullable=False),
)

outbox = Table(
    "outbox",
    metadata,
    Column("sequence", Key, primary_key=True, autoincrement=True),
    Column("cube_key", ForeignKey("cubes.key", ondelete="CASCADE"), nullable=False, index=True),
    Column("embedder", String(256), nullable=False),
    Column("record_time", BigInteger, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("due_time", BigInteger, nullable=False),
    Column("lease_token", BigInteger, nullable=False),  # 0: not leased
    Column("lease_until", BigInteger, nullable=False),
    Column("gone_revision", BigInteger),  # the content revision whose vector has to leave
    sqlite_autoincrement=True,
)

fences = Table(
    "fences",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("token", BigInteger, nullable=False),
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("sequence", Key, primary_key=True, autoincrement=True),
    Column("event_id", String(36), nullable=False, unique=True),
    Column("tenant", String(63), nullable=False),
    Column("record_time", BigInteger, nullable=False),
    Column("principal", String(160), nullable=False),
    Column("action", String(63), nullable=False),
    Column("resource", String(160), nullable=False),
    Column("reason", String, nullable=False),
    Column("trace_id", String(32), nullable=False),
)

request_ids = Table(
    "request_ids",
    metadata,
    Column("tenant", String(63), primary_key=True),
    Column("principal", String(63), primary_key=True),
    Column("method", String(160), primary_key=True),
    Column("request_id", String(256), primary_key=True),
    Column("body_sha256", String(64), nullable=False),
    Column("provenance_id", String(36), nullable=False),
    Column("outcomes", LargeBinary, nullable=False),  # JSON; cubes as uid and revision
    Column("record_time", BigInteger, nullable=False, index=True),
)

meta = Table(
    "meta",
    metadata,
    Column("name", String(63), primary_key=True),
    Column("value", LargeBinary, nullable=False),
)
