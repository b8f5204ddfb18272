"""Read every blob, and compare it with its hash."""

from contextlib import aclosing
from dataclasses import dataclass

from memos_kernel.errors import DataCorrupted, ResourceNotFound
from memos_storage.domain.blobs import StoredBlob
from memos_storage.ports import BlobRegistry, BlobStore


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyBlobs:
    """Takes as long as reading all bytes does."""

    blobs: BlobStore
    registry: BlobRegistry

    async def __call__(self) -> tuple[int, tuple[StoredBlob, ...]]:
        """Return how many were read, and those that are lost or differ from their hash or size.

        Raises:
            DependencyUnavailable: the store is away.
        """
        read, bad = 0, []
        for vault in await self.registry.vaults():
            suspects: list[str] = []
            for blob in await self.registry.held(vault):
                try:
                    async with aclosing(self.blobs.get(vault, blob)) as chunks:
                        async for _ in chunks:
                            pass
                except (DataCorrupted, ResourceNotFound):
                    suspects.append(blob.name)
                read += 1
            held = {blob.name for blob in await self.registry.held(vault)}  # what was removed meanwhile is not lost
            bad += [StoredBlob(vault, name) for name in suspects if name in held]
        return read, tuple(bad)
