"""Whole histories, as an export reads them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Integer, RowMapping, String, and_, bindparam, func, select, tuple_

from memos_kernel.moments import micros
from memos_kernel.names import VaultName
from memos_storage.adapters.sql import filters, rows, schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.domain.archives import ArchivedRevision
from memos_storage.domain.values import StoredCube, Vector

_CUBES, _VAULTS, _REVISIONS, _VECTORS = schema.cubes, schema.vaults, schema.revisions, schema.vectors
_THEN = schema.revisions.alias().c

_OF_THEN = (
    select(func.max(_THEN.revision))
    .where(_THEN.cube_key == _CUBES.c.key, _THEN.record_time <= bindparam("as_of"))
    .scalar_subquery()
)
_HEADS = (
    select(*rows.STORED)
    .select_from(_CUBES)
    .join(_VAULTS, _VAULTS.c.key == _CUBES.c.vault_key)
    .join(_REVISIONS, and_(_REVISIONS.c.cube_key == _CUBES.c.key, _REVISIONS.c.revision == _OF_THEN))
    .where(
        _VAULTS.c.tenant == bindparam("tenant"),
        _VAULTS.c.vault == bindparam("vault"),
        _CUBES.c.create_time <= bindparam("as_of"),
        filters.KEPT,
        filters.STANDING,
    )
    .order_by(_CUBES.c.create_time, _CUBES.c.uid)
    .limit(bindparam("limit", type_=Integer))
)
_LATER_HEADS = _HEADS.where(
    tuple_(_CUBES.c.create_time, _CUBES.c.uid)
    > tuple_(bindparam("after_time", type_=BigInteger), bindparam("after_uid", type_=String))
)
_HISTORY = (
    select(*rows.STORED)
    .join(_REVISIONS, _REVISIONS.c.cube_key == _CUBES.c.key)
    .where(
        _CUBES.c.uid.in_(bindparam("uids", expanding=True)),
        _REVISIONS.c.revision > bindparam("above"),
        _REVISIONS.c.record_time <= bindparam("as_of"),
        filters.STANDING,
    )
    .order_by(_CUBES.c.uid, _REVISIONS.c.revision)
    .limit(bindparam("limit", type_=Integer))
)
_OF_TEXTS = select(
    _VECTORS.c.cube_key, _VECTORS.c.revision, _VECTORS.c.embedder, _VECTORS.c.data, _VECTORS.c.tokens
).where(
    _VECTORS.c.cube_key.in_(bindparam("keys", expanding=True)),
    _VECTORS.c.revision.between(bindparam("least"), bindparam("most")),
)


class SqlHistoryReader:
    """Implements `ports.HistoryReader`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def heads(
        self, vault: VaultName, *, as_of: datetime, after: tuple[datetime, str] | None, limit: int, now: datetime
    ) -> list[StoredCube]:
        """Return cubes of a vault as they were at a moment, deleted or not, the oldest first."""
        parameters: dict[str, Any] = {
            "tenant": vault.tenant,
            "vault": vault.id,
            "as_of": micros(as_of),
            "read_time": micros(now),
            "limit": limit,
        }
        if after is not None:
            parameters |= {"after_time": micros(after[0]), "after_uid": after[1]}
        statement = _HEADS if after is None else _LATER_HEADS
        found = await self._database.read(lambda connection: connection.execute(statement, parameters).mappings().all())
        return [rows.stored_cube(row) for row in found]

    async def revisions(
        self, uids: Sequence[str], *, above: int, as_of: datetime, vectors: bool, limit: int
    ) -> list[ArchivedRevision]:
        """Return the revisions of cubes up to a moment, by uid and number, of numbers above `above`."""
        parameters = {"uids": uids, "above": above, "as_of": micros(as_of), "limit": limit}

        def work(connection: Connection) -> list[ArchivedRevision]:
            found = connection.execute(_HISTORY, parameters).mappings().all()
            held = _vectors(connection, found) if vectors else {}
            return [_revision(row, held) for row in found]

        return await self._database.read(work)


def _revision(row: RowMapping, held: dict[tuple[int, int], list[Vector]]) -> ArchivedRevision:
    stored = rows.stored_cube(row)
    return ArchivedRevision(
        stored.cube, stored.content_revision, tuple(held.get((row["key"], stored.cube.revision), ()))
    )


def _vectors(connection: Connection, found: Sequence[RowMapping]) -> dict[tuple[int, int], list[Vector]]:
    """Return the vectors of the texts that came with these revisions, by key and number."""
    held: dict[tuple[int, int], list[Vector]] = {}
    texts = [row["content_revision"] for row in found]
    if not texts:
        return held
    parameters = {"keys": sorted({row["key"] for row in found}), "least": min(texts), "most": max(texts)}
    for row in connection.execute(_OF_TEXTS.order_by(_VECTORS.c.embedder), parameters):
        held.setdefault((row.cube_key, row.revision), []).append(rows.vector_row(row))
    return held
