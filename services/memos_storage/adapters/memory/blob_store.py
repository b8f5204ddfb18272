"""Blobs in memory: their bytes."""

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator

from memos_kernel.cube import BlobRef
from memos_kernel.errors import ResourceNotFound
from memos_kernel.ids import IdFactory, uuid7
from memos_kernel.names import VaultName
from memos_storage.adapters.blobs import checked, name_of, part_of
from memos_storage.domain.purges import Reach


class MemoryBlobStore:
    """Implements `ports.BlobStore`."""

    def __init__(self, *, new_id: IdFactory = uuid7) -> None:
        self.bytes: dict[tuple[VaultName, str], bytes] = {}
        self.healthy = True
        self._new_id = new_id

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes under a new name."""
        stored = b"".join([chunk async for chunk in data])
        blob = BlobRef(self._new_id(), len(stored), hashlib.sha256(stored).hexdigest(), media_type)
        self.bytes[vault, blob.name] = stored
        return blob

    async def get(
        self, vault: VaultName, blob: BlobRef, *, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Return the bytes in chunks."""
        whole, length = part_of(blob, offset, limit)
        stored = self.bytes.get((vault, name_of(vault, blob.name)))
        if stored is None:
            raise ResourceNotFound(f"{vault} has no blob {blob.name}.", name=blob.name)
        place = offset

        async def read(size: int) -> bytes:
            nonlocal place
            part = stored[place : place + size]
            place += len(part)
            return part

        async for chunk in checked(blob, read, whole=whole, limit=length):
            yield chunk

    async def address(self, vault: VaultName, blob: BlobRef) -> str:
        """Return nothing: they are in memory."""
        return ""

    async def remove(self, vault: VaultName, name: str) -> bool:
        """Remove a blob; False if there was none."""
        return self.bytes.pop((vault, name_of(vault, name)), None) is not None

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that may have blobs."""
        return list({vault for vault, _ in self.bytes})

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        return sorted(name for held, name in self.bytes if held == vault)

    async def scrub(self) -> Reach:
        """Nothing is left."""
        return Reach("blobs", "Removed, and looked for.")

    async def close(self) -> None:
        """Nothing to stop."""
