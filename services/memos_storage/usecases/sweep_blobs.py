"""Compare the blob store with the catalogue, and remove what no cube has or can have any more."""

import uuid
from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memos_kernel import limits
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_storage.domain.blobs import BlobDrift, StoredBlob
from memos_storage.ports import BlobRegistry, BlobStore

_PAGE = 500
_COUNTED = 10_000
_ON_ITS_WAY = timedelta(hours=2)
"""A blob without a row that is younger may be about to get one; an upload takes at most an hour."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepBlobs:
    """Can be broken off and repeated: a row goes only after its bytes, and bytes are there before their row."""

    blobs: BlobStore
    registry: BlobRegistry
    clock: Clock

    async def __call__(self, *, spare: timedelta = _ON_ITS_WAY, repair: bool = True) -> BlobDrift:
        """Return what was lost and how much was removed, or without `repair` would be.

        Bytes without a row are spared that are not older than `spare`.

        Raises:
            DependencyUnavailable: the store is away; what was removed stays so.
        """
        if repair:
            await self.registry.expire(before=self.clock.now() - limits.BLOB_RETENTION)
        removed = await self._remove_gone() if repair else len(await self.registry.gone(purge=None, limit=_COUNTED))
        lost: list[StoredBlob] = []
        for vault in {*await self.registry.vaults(), *await self.blobs.vaults()}:
            # Bytes are there before their row: what has a row before the look is there or lost, what has none after it
            # is strange.
            before = await self.registry.known(vault)
            names = await self.blobs.names(vault)
            lost += await self._lost(vault, before - set(names))
            removed += await self._remove_strange(vault, names, spare, repair=repair)
        return BlobDrift(tuple(lost), removed)

    async def _remove_gone(self) -> int:
        removed = 0
        while page := await self.registry.gone(purge=None, limit=_PAGE):
            for blob in page:
                await self.blobs.remove(blob.vault, blob.name)
            await self.registry.forget(page)
            removed += len(page)
        return removed

    async def _lost(self, vault: VaultName, missing: Set[str]) -> list[StoredBlob]:
        """Return those blobs without bytes that were not removed meanwhile."""
        held = {blob.name for blob in await self.registry.held(vault)} if missing else frozenset[str]()
        return [StoredBlob(vault, name) for name in sorted(missing & held)]

    async def _remove_strange(self, vault: VaultName, names: Sequence[str], spare: timedelta, *, repair: bool) -> int:
        """Remove bytes without a row, such as of an upload that broke off before it was noted."""
        known = await self.registry.known(vault)
        before = self.clock.now() - spare
        strange = [name for name in names if name not in known and _made(name) < before]
        for name in strange if repair else ():
            await self.blobs.remove(vault, name)
        return len(strange)


def _made(name: str) -> datetime:
    """Return when a name was given: the first 48 bits of a UUIDv7 are milliseconds since 1970 (RFC 9562)."""
    return datetime.fromtimestamp((uuid.UUID(name).int >> 80) / 1000, UTC)
