"""Rows of a transaction that nothing reads before its end: they are kept back, and go in in bulk."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Table

from memos_kernel.changes import ChangeKind
from memos_kernel.cube import Kind, MemCube
from memos_kernel.moments import micros
from memos_kernel.names import VaultName
from memos_kernel.quotas import VaultQuota
from memos_storage.adapters.sql import rows, schema, turns
from memos_storage.adapters.sql.bulk import insert_all
from memos_storage.adapters.sql.vaults import Growth, grow, held
from memos_storage.adapters.terms import frequencies
from memos_storage.domain.archives import ArchivedRevision
from memos_storage.domain.quotas import check_quota
from memos_storage.domain.values import AuditEvent, Vector

_HELD_TEXT = 256 * 1024
"""Most characters of texts whose rows are kept back: to read more takes so long that PostgreSQL may think us frozen."""

_TABLES = (
    schema.revisions,
    schema.sources,
    schema.labels,
    schema.derivations,
    schema.vectors,
    schema.postings,
    schema.outbox,
    schema.changes,
    schema.audit_events,
)
"""In this order, for some refer to others."""


class NewRows:
    """What a transaction adds, and by how much its vaults grow."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._rows: dict[str, list[dict[str, Any]]] = {}
        self._growth: dict[int, Growth] = {}
        self._text = 0

    def flush(self) -> None:
        """Insert what was kept back so far."""
        for table in _TABLES:
            if table.name in self._rows:
                insert_all(self._connection, table, self._rows[table.name])
        if schema.turns.name in self._rows:
            turns.place(self._connection, self._rows[schema.turns.name])
        self._rows, self._text = {}, 0

    def finish(self, quotas: Mapping[int, tuple[VaultName, VaultQuota]]) -> None:
        """Insert the rest, and let the vaults grow, last of all and in one order: so no writers wait crosswise.

        Args:
            quotas: limits by the vault's key.

        Raises:
            QuotaExceeded: a vault has grown beyond its limit.
        """
        self.flush()
        for vault_key, by in sorted(self._growth.items()):
            if by == Growth():
                continue
            grow(self._connection, vault_key, by)
            if vault_key in quotas:
                vault, quota = quotas[vault_key]
                after = held(self._connection, vault_key)
                before = replace(after, cubes=after.cubes - by.cubes, bytes=after.bytes - by.text_bytes)
                check_quota(vault, before, quota, cubes=by.cubes, size=by.text_bytes)
        self._growth = {}

    def growth(self, vault_key: int) -> Growth:
        """Return what has come to a vault so far."""
        return self._growth.get(vault_key, Growth())

    def add(self, table: Table, row: dict[str, Any]) -> None:
        """Add a row; those of a table have the same columns."""
        self._rows.setdefault(table.name, []).append(row)

    def grow(self, vault_key: int, by: Growth) -> None:
        """Take note of what comes to a vault."""
        self._growth[vault_key] = self.growth(vault_key) + by

    def revisions(
        self, key: int, cube: MemCube, content_revision: int, *, earlier: Sequence[ArchivedRevision] = ()
    ) -> None:
        """Add a revision behind earlier ones, and what filters compare of it."""
        told = [(item.cube, item.content_revision) for item in earlier]
        for one, text in [*told, (cube, content_revision)]:
            self.add(
                schema.revisions,
                {
                    "cube_key": key,
                    "revision": one.revision,
                    "content_revision": text,
                    "record_time": micros(one.update_time),
                    "document": rows.document(one),
                },
            )
        for row in rows.source_rows(key, cube):
            self.add(schema.sources, row)
        for row in rows.label_rows(key, cube):
            self.add(schema.labels, row)

    def terms(self, key: int, vault_key: int, cube: MemCube) -> None:
        """Add a text to the lexical index and to the turns."""
        self._text += len(cube.text)
        if self._text > _HELD_TEXT:
            self.flush()
        counted = frequencies(cube)
        length = counted.total()
        if cube.kind is Kind.PLAINTEXT:
            self.add(schema.turns, turns.row_of(key, vault_key, cube, length=length))
        if not counted:
            return
        for term, frequency in counted.items():
            self.add(
                schema.postings,
                {"vault_key": vault_key, "term": term, "cube_key": key, "frequency": frequency, "length": length},
            )
        self.grow(vault_key, Growth(documents=1, terms=length))

    def vector(self, key: int, revision: int, vector: Vector) -> None:
        """Add the vector of the text that came with a revision; its embedder has to be stored."""
        self.add(
            schema.vectors,
            {
                "cube_key": key,
                "embedder": vector.embedder,
                "revision": revision,
                "data": rows.vector_bytes(vector.values),
                "tokens": vector.tokens,
            },
        )

    def change(self, kind: ChangeKind, vault_key: int, cube: MemCube, *, time: int | None = None) -> None:
        """Add a change to the feed of the vault, at the record time of the cube unless another is given."""
        self.add(
            schema.changes,
            {
                "vault_key": vault_key,
                "uid": cube.uid,
                "cube": cube.name.id,
                "revision": cube.revision,
                "kind": int(kind),
                "record_time": micros(cube.update_time) if time is None else time,
            },
        )

    def entry(self, key: int, embedder: str, now: int | None, *, gone: int | None = None) -> None:
        """Add an entry to the outbox; `gone` is the content revision whose vector has to leave the index."""
        self.add(
            schema.outbox,
            {
                "cube_key": key,
                "embedder": embedder,
                "record_time": now,
                "attempts": 0,
                "due_time": now,
                "lease_token": 0,
                "lease_until": 0,
                "gone_revision": gone,
            },
        )

    def audit(self, event: AuditEvent) -> None:
        """Add an event for governance."""
        self.add(
            schema.audit_events,
            {
                "event_id": event.id,
                "tenant": event.tenant,
                "record_time": micros(event.time),
                "principal": event.principal,
                "action": event.action,
                "resource": event.resource,
                "reason": event.reason,
                "trace_id": event.trace_id,
            },
        )
