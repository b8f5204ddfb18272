"""Texts that have no vector of an embedder, or none of their tokens yet."""

from sqlalchemy import BigInteger, Connection, Integer, Select, and_, bindparam, exists, select, tuple_

from memos_kernel.cube import Kind
from memos_storage.adapters.sql import filters, rows, schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.domain.values import BareText, StoredCube, TextPlace

_CUBES, _REVISIONS, _VECTORS = schema.cubes, schema.revisions, schema.vectors

_OF_TEXT = (
    _VECTORS.c.cube_key == _CUBES.c.key,
    _VECTORS.c.revision == _REVISIONS.c.revision,
    _VECTORS.c.embedder == bindparam("embedder"),
)
_HAS_VECTOR = exists(select(1).where(*_OF_TEXT))
_IS_DONE = exists(select(1).where(*_OF_TEXT, _VECTORS.c.tokens.is_not(None)))
_BRINGS_TEXT = and_(_REVISIONS.c.cube_key == _CUBES.c.key, _REVISIONS.c.content_revision == _REVISIONS.c.revision)
_BARE = (
    select(_REVISIONS.c.revision, *rows.STORED)
    .select_from(_CUBES)
    .join(_REVISIONS, _BRINGS_TEXT)
    .where(_CUBES.c.kind == int(Kind.PLAINTEXT), filters.STANDING, ~_IS_DONE)
)
_OF_NOW = _REVISIONS.c.revision == _CUBES.c.content_revision
_PAGE = (
    _BARE.where(
        _CUBES.c.tenant == bindparam("tenant"),
        tuple_(_CUBES.c.key, _REVISIONS.c.revision)
        > tuple_(bindparam("after_key", type_=BigInteger), bindparam("after_revision", type_=BigInteger)),
    )
    .order_by(_CUBES.c.key, _REVISIONS.c.revision)
    .limit(bindparam("limit", type_=Integer))
)
_PAGE_OF_NOW = _PAGE.where(_OF_NOW)
_ANY: Select[tuple[int]] = (
    select(1)
    .select_from(_CUBES)
    .join(_REVISIONS, and_(_BRINGS_TEXT, _OF_NOW))
    .where(_CUBES.c.kind == int(Kind.PLAINTEXT), _CUBES.c.delete_time.is_(None), ~_HAS_VECTOR)
    .limit(1)
)


class SqlBareTexts:
    """Implements `ports.BareTexts`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(
        self, tenant: str, embedder: str, *, past: bool, after: TextPlace | None, limit: int
    ) -> list[BareText]:
        """Return texts of a tenant without a vector, in one order, from behind a place."""
        key, revision = after or (0, 0)
        parameters = {
            "tenant": tenant,
            "embedder": embedder,
            "after_key": key,
            "after_revision": revision,
            "limit": limit,
        }

        def work(connection: Connection) -> list[BareText]:
            found = connection.execute(_PAGE if past else _PAGE_OF_NOW, parameters).mappings().all()
            return [
                BareText((row["key"], row["revision"]), StoredCube(rows.stored_cube(row).cube, row["revision"]))
                for row in found
            ]

        return await self._database.read(work)

    async def any(self, embedder: str) -> bool:
        """Return whether a text that a search may find has no vector, in any tenant."""
        found = await self._database.read(lambda connection: connection.execute(_ANY, {"embedder": embedder}).first())
        return found is not None
