"""The bytes of activation and parametric payloads."""

from collections.abc import AsyncIterator
from typing import Protocol

from memos_kernel.cube import BlobRef
from memos_kernel.names import VaultName


class BlobStore(Protocol):
    """Bytes of activation and parametric payloads, apart for each vault."""

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes; they survive a power loss when this returns. Equal bytes of a vault are stored once.

        Raises:
            StoreFull: the disk is full; nothing was stored.
        """
        ...

    def get(self, vault: VaultName, blob: BlobRef) -> AsyncIterator[bytes]:
        """Return the bytes in chunks.

        Raises:
            ResourceNotFound: the vault has no such blob.
            DataCorrupted: size or hash differ; raised at the latest after the last chunk.
        """
        ...

    async def remove(self, vault: VaultName, blob: BlobRef) -> bool:
        """Remove a blob; False if there was none."""
        ...

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        ...
