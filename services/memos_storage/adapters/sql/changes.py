"""The feed of changes in the catalogue."""

from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Select, Text, and_, bindparam, cast, delete, func, select, true, tuple_

from memos_kernel.changes import Change, ChangeKind
from memos_kernel.moments import micros, moment
from memos_kernel.names import CubeName, VaultName
from memos_storage.adapters.sql import filters, rows, schema
from memos_storage.adapters.sql.catalog import Database
from memos_storage.domain.feed import Place

_CHANGES, _CUBES, _VAULTS, _REVISIONS = schema.changes, schema.cubes, schema.vaults, schema.revisions
_PLACE = tuple_(_CHANGES.c.txid, _CHANGES.c.sequence)
_OF_VAULT = (
    _CHANGES.c.vault_key
    == select(_VAULTS.c.key)
    .where(_VAULTS.c.tenant == bindparam("tenant"), _VAULTS.c.vault == bindparam("vault"))
    .scalar_subquery()
)


class SqlChangeFeed:
    """Implements `ports.ChangeFeed`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def latest(self, vault: VaultName) -> Place:
        """Return the place of the newest change."""
        parameters = {"tenant": vault.tenant, "vault": vault.id}
        row = await self._database.read(
            lambda connection: connection.execute(_latest(connection.dialect.name), parameters).first()
        )
        return Place() if row is None else Place(row.txid, row.sequence)

    async def after(self, vault: VaultName, place: Place, *, limit: int, now: datetime) -> list[tuple[Place, Change]]:
        """Return the changes behind a place, in order."""
        parameters = {
            "tenant": vault.tenant,
            "vault": vault.id,
            "after_transaction": place.transaction,
            "after_sequence": place.sequence,
            "read_time": micros(now),
            "limit": limit,
        }
        found = await self._database.read(
            lambda connection: connection.execute(_after(connection.dialect.name), parameters).mappings().all()
        )
        return [(Place(row["txid"], row["sequence"]), _change(vault, row)) for row in found]

    async def forget(self, *, before: datetime) -> int:
        """Remove changes that were recorded before a moment; returns how many."""
        statement = delete(_CHANGES).where(_CHANGES.c.record_time < micros(before))
        return await self._database.write(lambda connection: connection.execute(statement).rowcount)


def _ended(dialect: str) -> Any:
    """Return the condition that no transaction is under way which could still put something before a row."""
    if dialect == "sqlite":
        return true()
    oldest = func.pg_snapshot_xmin(func.pg_current_snapshot())
    return _CHANGES.c.txid < cast(cast(oldest, Text), BigInteger)


@cache
def _latest(dialect: str) -> Select[Any]:
    columns = select(_CHANGES.c.txid, _CHANGES.c.sequence).where(_OF_VAULT, _ended(dialect))
    return columns.order_by(_CHANGES.c.txid.desc(), _CHANGES.c.sequence.desc()).limit(1)


@cache
def _after(dialect: str) -> Select[Any]:
    readable = and_(_CUBES.c.uid == _CHANGES.c.uid, filters.KEPT)
    place = tuple_(bindparam("after_transaction", type_=BigInteger), bindparam("after_sequence", type_=BigInteger))
    return (
        select(_CHANGES, *rows.STORED)
        .select_from(_CHANGES)
        .outerjoin(_CUBES, readable)
        .outerjoin(
            _REVISIONS, and_(_REVISIONS.c.cube_key == _CUBES.c.key, _REVISIONS.c.revision == _CHANGES.c.revision)
        )
        .where(_OF_VAULT, _ended(dialect), place < _PLACE)
        .order_by(_CHANGES.c.txid, _CHANGES.c.sequence)
        .limit(bindparam("limit"))
    )


def _change(vault: VaultName, row: Any) -> Change:
    kind = ChangeKind(row["kind"])
    readable = row["document"] is not None and kind is not ChangeKind.PURGED
    return Change(
        kind=kind,
        name=CubeName(vault.tenant, row["cube"]),
        uid=row["uid"],
        revision=row["revision"],
        time=moment(row["record_time"]),
        cube=rows.stored_cube(row).cube if readable else None,
    )
