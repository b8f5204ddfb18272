"""The catalogue inside one transaction."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Connection, RowMapping, and_, bindparam, case, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from memos_kernel.changes import ChangeKind, change_of
from memos_kernel.cube import MemCube, Usage
from memos_kernel.errors import DuplicateContent, ResourceExists
from memos_kernel.moments import micros
from memos_kernel.names import CubeName, SnapshotName, VaultName
from memos_kernel.quotas import VaultQuota, VaultUsage
from memos_kernel.states import COLD, is_hot
from memos_runtime.sql.engine import insert_or_ignore
from memos_storage.adapters.sql import embedders, filters, rows, schema, snapshots
from memos_storage.adapters.sql.blob_ledger import SqlBlobs
from memos_storage.adapters.sql.bulk import insert_free
from memos_storage.adapters.sql.link_ledger import SqlLinkLedger
from memos_storage.adapters.sql.new_rows import NewRows
from memos_storage.adapters.sql.postings import unindex
from memos_storage.adapters.sql.purges import SqlPurges
from memos_storage.adapters.sql.requests import RequestLog
from memos_storage.adapters.sql.vaults import Growth, held, key_of
from memos_storage.domain.archives import ArchivedRevision, History
from memos_storage.domain.quotas import text_bytes
from memos_storage.domain.snapshots import Snapshot
from memos_storage.domain.values import AuditEvent, PointId, StoredCube, Vector

_STORED = select(*rows.STORED).join(
    schema.revisions,
    and_(schema.revisions.c.cube_key == schema.cubes.c.key, schema.revisions.c.revision == schema.cubes.c.revision),
)
_NAMED = (schema.cubes.c.tenant == bindparam("tenant"), schema.cubes.c.cube == bindparam("cube"))
_BY_NAME = _STORED.where(schema.cubes.c.delete_time.is_(None), *_NAMED)
_DELETED = _STORED.where(schema.cubes.c.delete_time.is_not(None), filters.STANDING, *_NAMED)
_HISTORY = (
    select(*rows.STORED)
    .join(schema.revisions, schema.revisions.c.cube_key == schema.cubes.c.key)
    .where(schema.cubes.c.uid == bindparam("uid"))
)
_REVISION = _HISTORY.where(schema.revisions.c.revision == bindparam("revision"))
_AT = (
    _HISTORY.where(schema.revisions.c.record_time <= bindparam("moment"))
    .order_by(schema.revisions.c.revision.desc())
    .limit(1)
)
_VECTOR = (
    select(schema.vectors.c.embedder, schema.vectors.c.data, schema.vectors.c.tokens)
    .join(schema.cubes, schema.cubes.c.key == schema.vectors.c.cube_key)
    .where(schema.cubes.c.uid == bindparam("uid"), schema.vectors.c.revision == bindparam("revision"))
    .order_by(case((schema.vectors.c.embedder == bindparam("current"), 0), else_=1), schema.vectors.c.embedder)
)
_ADD_TOKENS = (
    update(schema.vectors)
    .where(
        schema.vectors.c.cube_key == bindparam("key"),
        schema.vectors.c.revision == bindparam("of"),
        schema.vectors.c.embedder == bindparam("by"),
        schema.vectors.c.tokens.is_(None),
    )
    .values(tokens=bindparam("codes"))
)
_TEXT = (
    select(schema.cubes.c.key, schema.cubes.c.content_revision, schema.cubes.c.delete_time, schema.cubes.c.state)
    .join(schema.revisions, schema.revisions.c.cube_key == schema.cubes.c.key)
    .where(
        schema.cubes.c.uid == bindparam("uid"),
        schema.cubes.c.tenant == bindparam("tenant"),
        schema.revisions.c.revision == bindparam("revision"),
        schema.revisions.c.content_revision == schema.revisions.c.revision,
        filters.STANDING,
    )
)
_PRESENT = _STORED.where(schema.cubes.c.uid == bindparam("uid"), filters.STANDING)
_HOLDING = (
    schema.cubes.c.vault_key == bindparam("vault_key"),
    schema.cubes.c.content_hash == bindparam("content_hash"),
    schema.cubes.c.delete_time.is_(None),
)
_BY_CONTENT = _STORED.where(*_HOLDING)
_TAKEN = select(schema.cubes.c.key).where(*_NAMED)
_LOCK_NAME = _TAKEN.with_for_update()
_LOCK_UID = select(schema.cubes.c.key).where(schema.cubes.c.uid == bindparam("uid")).with_for_update()
_LOCK_CONTENT = select(schema.cubes.c.key).where(*_HOLDING).with_for_update()
_KEY = select(
    schema.cubes.c.key,
    schema.cubes.c.vault_key,
    schema.cubes.c.content_revision,
    schema.cubes.c.delete_time,
    schema.cubes.c.state,
    schema.cubes.c.text_bytes,
).where(schema.cubes.c.uid == bindparam("uid"))
_PENDING = select(func.count()).select_from(schema.outbox)


@cache
def _insert_cube(dialect: str) -> Any:
    return insert_or_ignore(dialect, schema.cubes).returning(schema.cubes.c.key)


class SqlTransaction:
    """Implements `ports.Transaction` on one connection. Rows that nothing reads before the end go in in bulk."""

    def __init__(self, connection: Connection, *, dimensions: Mapping[str, int]) -> None:
        """Take the connection, and the embedders that are known to be stored."""
        self._connection = connection
        self._dimensions = dict(dimensions)
        self._new = NewRows(connection)
        self._vault_keys: dict[VaultName, int] = {}
        self._claimed: dict[str, int] = {}
        self._quotas: dict[int, tuple[VaultName, VaultQuota]] = {}
        self._log = RequestLog(connection)
        self.blobs = SqlBlobs(connection)
        self.purges = SqlPurges(connection, self._new)
        self.links = SqlLinkLedger(connection)
        self.recall = self._log.recall
        self.remember = self._log.remember

    def live(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is not deleted."""
        return self._read(_BY_NAME, {"tenant": name.tenant, "cube": name.id}, lock=_LOCK_NAME)

    def deleted(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is deleted."""
        return self._read(_DELETED, {"tenant": name.tenant, "cube": name.id}, lock=_LOCK_NAME)

    def revision(self, uid: str, revision: int) -> StoredCube | None:
        """Return a cube as a revision stored it, deleted or not."""
        self.flush()
        row = self._connection.execute(_REVISION, {"uid": uid, "revision": revision}).mappings().one_or_none()
        return None if row is None else rows.stored_cube(row)

    def at(self, uid: str, moment: datetime) -> StoredCube | None:
        """Return a cube in the revision that it had at a moment of record time, deleted or not."""
        self.flush()
        row = self._connection.execute(_AT, {"uid": uid, "moment": micros(moment)}).mappings().first()
        return None if row is None else rows.stored_cube(row)

    def vector(self, uid: str, content_revision: int) -> Vector | None:
        """Return the vector of the text that came with a revision; of the current embedder if it can."""
        self.flush()
        parameters = {"uid": uid, "revision": content_revision, "current": self.embedder()}
        row = self._connection.execute(_VECTOR, parameters).first()
        return None if row is None else rows.vector_row(row)

    def present(self, uid: str) -> StoredCube | None:
        """Return a cube, deleted or not, that is not being erased."""
        return self._read(_PRESENT, {"uid": uid}, lock=_LOCK_UID)

    def holder(self, vault: VaultName, content_hash: str) -> StoredCube | None:
        """Return the live cube of the vault that has this content."""
        values = {"vault_key": self._vault_key(vault), "content_hash": content_hash}
        return self._read(_BY_CONTENT, values, lock=_LOCK_CONTENT)

    def claim(self, cubes: Sequence[MemCube]) -> None:
        """Insert the rows of new cubes that break no unique constraint, in one statement."""
        if len(cubes) > 1:
            values = [self._row(cube, self._vault_key(cube.vault), content_revision=cube.revision) for cube in cubes]
            made = insert_free(self._connection, schema.cubes, values, (schema.cubes.c.uid, schema.cubes.c.key))
            self._claimed |= {row.uid: row.key for row in made}

    def release(self, cube: MemCube) -> None:
        """Remove a row that was claimed."""
        key = self._claimed.pop(cube.uid, None)
        if key is not None:
            self._connection.execute(delete(schema.cubes).where(schema.cubes.c.key == key))

    def insert(self, cube: MemCube, *, vector: Vector | None) -> None:
        """Add a cube; the unique indexes decide whether it may be added."""
        vault_key = self._vault_key(cube.vault)
        key = self._insert(cube, vault_key, content_revision=cube.revision)
        self._new.revisions(key, cube, cube.revision)
        self._new.terms(key, vault_key, cube)
        if vector is not None:
            self._keep_vector(key, cube.revision, vector)
            if is_hot(cube):
                self._new.entry(key, vector.embedder, micros(cube.update_time))
        self._new.change(ChangeKind.CREATED, vault_key, cube)

    def adopt(self, history: History, *, now: datetime) -> None:
        """Add a cube with all these revisions, or the revisions that follow those that it has."""
        newest = history[-1]
        cube, time = newest.cube, micros(now)
        row = self._connection.execute(_KEY, {"uid": cube.uid}).one_or_none()
        if row is None:
            vault_key, text, gone = self._vault_key(cube.vault), 0, frozenset[str]()
            key = self._insert(cube, vault_key, content_revision=newest.content_revision)
            kind = ChangeKind.CREATED
        else:
            key, vault_key, text = row.key, row.vault_key, row.content_revision
            gone = self._succeed(row, newest)
            kind = change_of(cube, was_deleted=row.delete_time is not None)
        self._new.revisions(key, cube, newest.content_revision, earlier=history[:-1])
        if cube.delete_time is None and (row is None or newest.content_revision != text):
            self._new.terms(key, vault_key, cube)
        held = self._adopt_vectors(key, history)
        for embedder in sorted(gone | (held if is_hot(cube) else frozenset())):
            self._new.entry(key, embedder, time, gone=text if embedder in gone else None)
        self._new.change(kind, vault_key, cube, time=time)

    def _succeed(self, row: Any, newest: ArchivedRevision) -> frozenset[str]:
        """Put a revision in the place of an older one; return the embedders whose index may hold the vector of that."""
        cube, content = newest.cube, newest.content_revision != row.content_revision
        self._set_header(row, cube, content_revision=newest.content_revision if content else None)
        self._forget_children(row.key)
        if content or cube.delete_time is not None:
            self.flush()
            self._unindex(row.key)
        return self._indexed(row.key, row.content_revision) if content or not is_hot(cube) else frozenset()

    def _adopt_vectors(self, key: int, history: History) -> frozenset[str]:
        """Store vectors; return the embedders of those of the newest text."""
        for item in history:
            for vector in item.vectors:
                self._keep_vector(key, item.cube.revision, vector)
        newest = history[-1].content_revision
        return frozenset(vector.embedder for item in history if item.cube.revision == newest for vector in item.vectors)

    def _insert(self, cube: MemCube, vault_key: int, *, content_revision: int) -> int:
        key = self._claimed.pop(cube.uid, None)
        if key is None:
            key = self._claim_row(cube, self._row(cube, vault_key, content_revision=content_revision))
        self._new.grow(vault_key, Growth(cubes=1, text_bytes=text_bytes(cube)))
        for source in sorted({ref.name.id for ref in cube.derived_from}):
            self._new.add(schema.derivations, {"cube_key": key, "source": source})
        return key

    def _row(self, cube: MemCube, vault_key: int, *, content_revision: int) -> dict[str, Any]:
        return {
            **rows.header(cube),
            "uid": cube.uid,
            "vault_key": vault_key,
            "tenant": cube.name.tenant,
            "cube": cube.name.id,
            "content_revision": content_revision,
            "create_time": micros(cube.create_time),
            "hits": cube.usage.hits,
            "heat": cube.usage.heat,
            "last_used_time": micros(cube.usage.last_used_time),
        }

    def _claim_row(self, cube: MemCube, values: Mapping[str, Any]) -> int:
        statement = _insert_cube(self._connection.dialect.name)
        while (key := self._connection.execute(statement, values).scalar()) is None:
            holder = self.holder(cube.vault, cube.content_hash)
            if holder is not None:
                raise _duplicate(holder.cube)
            name = {"tenant": cube.name.tenant, "cube": cube.name.id}
            if self._connection.execute(_TAKEN, name).first() is not None:
                raise ResourceExists(f"{cube.name} is taken; choose another id.", name=str(cube.name))
            if self._connection.execute(_KEY, {"uid": cube.uid}).first() is not None:
                raise ResourceExists(f"The cube {cube.uid} is here already, under another name.", name=str(cube.name))
            # What stood in the way was deleted by another process meanwhile.
        return int(key)

    def replace(self, cube: MemCube, *, vector: Vector | None = None, content: bool = False) -> None:
        """Store a new revision; a deleted cube leaves the lexical index and the vector index, a cold one the latter."""
        row = self._key(cube.uid)
        key, vault_key, text = row.key, row.vault_key, row.content_revision
        kept = [] if vector is None else [vector]
        if not content and is_hot(cube) and row.state in COLD:
            # What has left the index comes back as if its text were new: a point that was removed never comes back.
            kept, content = self._vectors(key, text), True
        self._set_header(row, cube, content_revision=cube.revision if content else None)
        self._forget_children(key)
        self._new.revisions(key, cube, cube.revision if content else text)
        if content or cube.delete_time is not None:
            self.flush()
            self._unindex(key)
        if content:
            self._new.terms(key, vault_key, cube)
        gone = self._indexed(key, text) if content or not is_hot(cube) else frozenset[str]()
        for one in kept:
            self._keep_vector(key, cube.revision, one)
        fresh = frozenset(one.embedder for one in kept) if is_hot(cube) else frozenset[str]()
        for embedder in sorted(gone | fresh):
            self._new.entry(key, embedder, micros(cube.update_time), gone=text if embedder in gone else None)
        self._new.change(change_of(cube, was_deleted=row.delete_time is not None), vault_key, cube)

    def _forget_children(self, key: int) -> None:
        for table in (schema.sources, schema.labels):
            self._connection.execute(delete(table).where(table.c.cube_key == key))

    def _set_header(self, row: Any, cube: MemCube, *, content_revision: int | None) -> None:
        """Store a header; `content_revision` is set if the text changes, which may then be that of another cube."""
        values = rows.header(cube) | ({} if content_revision is None else {"content_revision": content_revision})
        statement = update(schema.cubes).where(schema.cubes.c.key == row.key).values(values)
        try:
            with nullcontext() if content_revision is None else self._connection.begin_nested():
                self._connection.execute(statement)
        except IntegrityError:
            holder = self.holder(cube.vault, cube.content_hash)
            if holder is None:
                raise
            raise _duplicate(holder.cube) from None
        self._new.grow(row.vault_key, Growth(text_bytes=values["text_bytes"] - row.text_bytes))

    def add_vector(self, tenant: str, id: PointId, vector: Vector, *, now: datetime) -> bool:
        """Store another embedder's vector of a text, or the tokens that it lacks; False if there is nothing to add."""
        self.flush()
        self._connection.execute(_LOCK_UID, {"uid": id.uid})
        row = self._connection.execute(_TEXT, {"uid": id.uid, "tenant": tenant, "revision": id.revision}).first()
        if row is None:
            return False
        if vector.embedder in self._indexed(row.key, id.revision):
            if vector.tokens is None:
                return False
            place = {"key": row.key, "of": id.revision, "by": vector.embedder, "codes": vector.tokens}
            return self._connection.execute(_ADD_TOKENS, place).rowcount > 0
        self._keep_vector(row.key, id.revision, vector)
        if row.delete_time is None and row.state not in COLD and row.content_revision == id.revision:
            self._new.entry(row.key, vector.embedder, micros(now))
        return True

    def embedder(self) -> str:
        """Return the embedder that searches go by; empty as long as nothing has a vector."""
        return embedders.current(self._connection)

    def adopt_embedder(self, embedder: str) -> None:
        """Make another embedder the one that searches go by."""
        embedders.adopt(self._connection, embedder)

    def set_usage(self, uid: str, usage: Usage) -> None:
        """Store the usage."""
        self._connection.execute(
            update(schema.cubes).where(schema.cubes.c.uid == uid),
            {"hits": usage.hits, "heat": usage.heat, "last_used_time": micros(usage.last_used_time)},
        )

    def dimensions(self, embedder: str) -> int | None:
        """Return the number of elements of an embedder's vectors."""
        if embedder not in self._dimensions:
            table = schema.embedders
            known = self._connection.execute(select(table.c.dimensions).where(table.c.embedder == embedder)).scalar()
            if known is None:
                return None
            self._dimensions[embedder] = known
        return self._dimensions[embedder]

    def pending(self) -> int:
        """Return how many entries the outbox has."""
        self.flush()
        return int(self._connection.execute(_PENDING).scalar_one())

    def usage(self, vault: VaultName) -> VaultUsage:
        """Return cubes and bytes of a vault, as far as this transaction knows."""
        key = self._vault_key(vault)
        found, by = held(self._connection, key), self._new.growth(key)
        return VaultUsage(cubes=found.cubes + by.cubes, bytes=found.bytes + by.text_bytes)

    def limit(self, vault: VaultName, quota: VaultQuota) -> None:
        """Keep the vault from growing beyond its limit with this transaction."""
        self._quotas[self._vault_key(vault)] = (vault, quota)

    def snapshot(self, name: SnapshotName) -> Snapshot | None:
        """Return a snapshot."""
        return snapshots.find(self._connection, name)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot."""
        snapshots.add(self._connection, snapshot)

    def remove_snapshot(self, name: SnapshotName) -> None:
        """Forget a snapshot."""
        snapshots.remove(self._connection, name)

    def audit(self, event: AuditEvent) -> None:
        """Record an event for governance."""
        self._new.audit(event)

    @property
    def known_dimensions(self) -> Mapping[str, int]:
        """Embedders that are stored once the transaction is."""
        return self._dimensions

    def flush(self) -> None:
        """Insert the rows that were kept back."""
        self._new.flush()

    def finish(self) -> None:
        """Write what is to be written at the end of the transaction.

        Raises:
            QuotaExceeded: a vault would hold more than it may.
        """
        self._new.finish(self._quotas)

    def _unindex(self, key: int) -> None:
        for vault_key, by in unindex(self._connection, [key]).items():
            self._new.grow(vault_key, by)

    def _keep_vector(self, key: int, revision: int, vector: Vector) -> None:
        if self.dimensions(vector.embedder) is None:
            self._connection.execute(
                insert(schema.embedders), {"embedder": vector.embedder, "dimensions": vector.values.size}
            )
            if not self.embedder():
                self.adopt_embedder(vector.embedder)
        self._new.vector(key, revision, vector)

    def _vectors(self, key: int, content_revision: int) -> list[Vector]:
        """Return the vectors of a text."""
        self.flush()
        table = schema.vectors
        found = select(table.c.embedder, table.c.data, table.c.tokens).where(
            table.c.cube_key == key, table.c.revision == content_revision
        )
        return [rows.vector_row(row) for row in self._connection.execute(found)]

    def _indexed(self, key: int, content_revision: int) -> frozenset[str]:
        """Return the embedders whose index may hold the vector of a text."""
        self.flush()
        table = schema.vectors
        held = select(table.c.embedder).where(table.c.cube_key == key, table.c.revision == content_revision)
        return frozenset(self._connection.execute(held).scalars())

    def _vault_key(self, vault: VaultName) -> int:
        if vault not in self._vault_keys:
            self._vault_keys[vault] = key_of(self._connection, vault)
        return self._vault_keys[vault]

    def _key(self, uid: str) -> Any:
        self.flush()
        return self._connection.execute(_KEY, {"uid": uid}).one()

    def _read(self, statement: Any, values: Mapping[str, Any], *, lock: Any) -> StoredCube | None:
        self.flush()
        if self._connection.dialect.name != "sqlite":
            # Apart from the read: a row that another process has just changed is joined to its new revision only by a
            # statement that begins afterwards. On SQLite the whole transaction is the only writer.
            self._connection.execute(lock, values)
        row: RowMapping | None = self._connection.execute(statement, values).mappings().one_or_none()
        return None if row is None else rows.stored_cube(row)


def _duplicate(holder: MemCube) -> DuplicateContent:
    return DuplicateContent(f"{holder.name} holds the same content; use that one.", existing=str(holder.name))
