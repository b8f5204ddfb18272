"""Blobs in the catalogue: whose they are, and which have to leave the store."""

from collections.abc import Sequence, Set
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from memos_kernel.cube import BlobRef
from memos_kernel.moments import micros
from memos_kernel.names import PurgeName, VaultName
from memos_kernel.quotas import VaultQuota
from memos_storage.adapters.sql import schema
from memos_storage.adapters.sql.blob_ledger import FIND, FREE, OF_VAULT, WITH_VAULT
from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.parts import parts
from memos_storage.adapters.sql.vaults import held, key_of
from memos_storage.domain.blobs import StoredBlob
from memos_storage.domain.quotas import check_quota

_BLOBS, _VAULTS, _PURGES = schema.blobs, schema.vaults, schema.purges
_STAGED = select(func.count()).select_from(WITH_VAULT).where(*OF_VAULT, *FREE)
_KNOWN = select(_BLOBS.c.name).select_from(WITH_VAULT).where(*OF_VAULT)
_HELD = select(_BLOBS).select_from(WITH_VAULT).where(*OF_VAULT, _BLOBS.c.gone.is_(False)).order_by(_BLOBS.c.name)
_VAULTS_WITH = select(_VAULTS.c.tenant, _VAULTS.c.vault).where(_VAULTS.c.key.in_(select(_BLOBS.c.vault_key)))
_GONE = (
    select(_VAULTS.c.tenant, _VAULTS.c.vault, _BLOBS.c.name)
    .select_from(WITH_VAULT)
    .where(_BLOBS.c.gone.is_(True))
    .order_by(_BLOBS.c.name)
)


class SqlBlobRegistry:
    """Implements `ports.BlobRegistry`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def stage(self, vault: VaultName, blob: BlobRef, *, most: int, quota: VaultQuota, now: datetime) -> bool:
        """Take note of a blob in the store, which a cube may take; False if `most` of the vault wait already."""

        def work(connection: Connection) -> bool:
            key = key_of(connection, vault)
            check_quota(vault, held(connection, key, lock=True), quota, size=blob.size_bytes)
            if connection.execute(_STAGED, _names(vault)).scalar_one() >= most:
                return False
            row = {
                "name": blob.name,
                "vault_key": key,
                "size_bytes": blob.size_bytes,
                "sha256": blob.sha256,
                "media_type": blob.media_type,
                "record_time": micros(now),
                "gone": False,
            }
            connection.execute(insert(_BLOBS), row)
            return True

        return await self._database.write(work)

    async def staged(self, vault: VaultName) -> int:
        """Return how many blobs of the vault wait for a cube."""
        return await self._database.read(lambda connection: connection.execute(_STAGED, _names(vault)).scalar_one())

    async def find(self, vault: VaultName, name: str) -> BlobRef | None:
        """Return a blob that waits for a cube."""
        values = {**_names(vault), "name": name}
        row = await self._database.read(lambda connection: connection.execute(FIND, values).first())
        return None if row is None else _blob(row)

    async def expire(self, *, before: datetime) -> None:
        """Let those go that no cube has taken since a moment."""
        late = update(_BLOBS).where(*FREE, _BLOBS.c.record_time < micros(before)).values(gone=True)
        await self._database.write(lambda connection: connection.execute(late))

    async def gone(self, *, purge: PurgeName | None, limit: int) -> list[StoredBlob]:
        """Return blobs that have to leave the store: those of a purge, or those of none."""
        wanted = _GONE.limit(limit)
        if purge is None:
            wanted = wanted.where(_BLOBS.c.purge_key.is_(None))
        else:
            this = select(_PURGES.c.key).where(_PURGES.c.tenant == purge.tenant, _PURGES.c.purge == purge.id)
            wanted = wanted.where(_BLOBS.c.purge_key == this.scalar_subquery())
        found = await self._database.read(lambda connection: connection.execute(wanted).all())
        return [StoredBlob(VaultName(row.tenant, row.vault), row.name) for row in found]

    async def forget(self, blobs: Sequence[StoredBlob]) -> None:
        """Forget blobs that have left the store."""

        def work(connection: Connection) -> None:
            for part in parts([blob.name for blob in blobs]):
                connection.execute(delete(_BLOBS).where(_BLOBS.c.name.in_(part), _BLOBS.c.gone.is_(True)))

        await self._database.write(work)

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that have blobs."""
        found = await self._database.read(lambda connection: connection.execute(_VAULTS_WITH).all())
        return [VaultName(row.tenant, row.vault) for row in found]

    async def known(self, vault: VaultName) -> Set[str]:
        """Return the names of the vault's blobs, with those that have to leave."""
        found = await self._database.read(lambda connection: connection.execute(_KNOWN, _names(vault)).scalars().all())
        return frozenset(found)

    async def held(self, vault: VaultName) -> list[BlobRef]:
        """Return the blobs of the vault that a cube has, or that wait for one."""
        found = await self._database.read(lambda connection: connection.execute(_HELD, _names(vault)).all())
        return [_blob(row) for row in found]


def _blob(row: Row[Any]) -> BlobRef:
    return BlobRef(row.name, row.size_bytes, row.sha256, row.media_type)


def _names(vault: VaultName) -> dict[str, str]:
    return {"tenant": vault.tenant, "vault": vault.id}
