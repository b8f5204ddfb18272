"""Blobs in memory: what the catalogue knows of them."""

from collections.abc import Sequence, Set
from dataclasses import replace
from datetime import datetime

from memos_kernel.cube import BlobRef
from memos_kernel.names import PurgeName, VaultName
from memos_kernel.quotas import VaultQuota
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.memory.tables import BlobRow, Tables, usage_of
from memos_storage.domain.blobs import StoredBlob
from memos_storage.domain.quotas import check_quota


class MemoryBlobRegistry:
    """Implements `ports.BlobRegistry`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    @property
    def _tables(self) -> Tables:
        return self._catalog.tables

    async def stage(self, vault: VaultName, blob: BlobRef, *, most: int, quota: VaultQuota, now: datetime) -> bool:
        """Take note of a blob in the store, which a cube may take; False if `most` of the vault wait already."""
        check_quota(vault, usage_of(self._tables, vault), quota, size=blob.size_bytes)
        if await self.staged(vault) >= most:
            return False
        self._tables.blobs[blob.name] = BlobRow(vault, blob, now)
        return True

    async def staged(self, vault: VaultName) -> int:
        """Return how many blobs of the vault wait for a cube."""
        return sum(row.vault == vault and row.free for row in self._tables.blobs.values())

    async def find(self, vault: VaultName, name: str) -> BlobRef | None:
        """Return a blob that waits for a cube."""
        row = self._tables.blobs.get(name)
        return row.blob if row is not None and row.free and row.vault == vault else None

    async def expire(self, *, before: datetime) -> None:
        """Let those go that no cube has taken since a moment."""
        for name, row in self._tables.blobs.items():
            if row.free and row.recorded < before:
                self._tables.blobs[name] = replace(row, gone=True)

    async def gone(self, *, purge: PurgeName | None, limit: int) -> list[StoredBlob]:
        """Return blobs that have to leave the store: those of a purge, or those of none."""
        found = [
            StoredBlob(row.vault, name)
            for name, row in sorted(self._tables.blobs.items())
            if row.gone and row.purge == purge
        ]
        return found[:limit]

    async def forget(self, blobs: Sequence[StoredBlob]) -> None:
        """Forget blobs that have left the store."""
        for blob in blobs:
            if blob.name in self._tables.blobs and self._tables.blobs[blob.name].gone:
                del self._tables.blobs[blob.name]

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that have blobs."""
        return list({row.vault for row in self._tables.blobs.values()})

    async def known(self, vault: VaultName) -> Set[str]:
        """Return the names of the vault's blobs, with those that have to leave."""
        return {name for name, row in self._tables.blobs.items() if row.vault == vault}

    async def held(self, vault: VaultName) -> list[BlobRef]:
        """Return the blobs of the vault that a cube has, or that wait for one."""
        return [row.blob for row in self._tables.blobs.values() if row.vault == vault and not row.gone]
