"""The keys of encrypted blobs in memory."""

from memos_kernel.names import VaultName
from memos_storage.domain.blobs import BlobKey


class MemoryBlobKeys:
    """Implements `ports.BlobKeys`."""

    def __init__(self) -> None:
        self.keys: dict[tuple[VaultName, str], BlobKey] = {}

    async def add(self, vault: VaultName, name: str, key: BlobKey) -> None:
        """Keep the key of a blob."""
        self.keys[vault, name] = key

    async def find(self, vault: VaultName, name: str) -> BlobKey | None:
        """Return the key of a blob; None if it has none."""
        return self.keys.get((vault, name))

    async def drop(self, vault: VaultName, name: str) -> None:
        """Destroy the key of a blob, if it has one."""
        self.keys.pop((vault, name), None)
