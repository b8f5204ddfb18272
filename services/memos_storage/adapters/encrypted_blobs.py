"""Blobs that the store cannot read: encrypted before they go there, by keys that the catalogue holds."""

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DataCorrupted, MemosError
from memos_kernel.names import VaultName
from memos_storage.adapters.blob_cipher import SEALED_SEGMENT, SEGMENT, BlobCipher, sealed_size
from memos_storage.adapters.blobs import part_of
from memos_storage.domain.blobs import BlobKey
from memos_storage.domain.purges import Reach
from memos_storage.ports import BlobKeys, BlobStore


class EncryptedBlobStore:
    """Implements `ports.BlobStore` over another. Without keys of the store new blobs stay as they are.

    Every blob has a key of its own. It is destroyed before the blob is removed, and then no copy that a bucket's older
    versions or a backup of it may keep can be read.
    """

    def __init__(self, store: BlobStore, keys: BlobKeys, store_keys: Sequence[bytes]) -> None:
        """Take what holds the bytes, what holds the blobs' keys, and the keys of the store, the newest first."""
        self._store = store
        self._keys = keys
        self._store_keys = store_keys

    @property
    def healthy(self) -> bool:
        """Whether the store answered when it was asked last."""
        return self._store.healthy

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes, encrypted; they survive a power loss when this returns."""
        if not self._store_keys:
            return await self._store.put(vault, data, media_type=media_type)
        sealing = _Sealing(data)
        sealed = await self._store.put(vault, sealing.segments(), media_type=media_type)
        key = BlobKey(sealing.cipher.wrapped(self._store_keys[0]), sealed.sha256)
        try:
            await self._keys.add(vault, sealed.name, key)
        except MemosError:
            await self._store.remove(vault, sealed.name)
            raise
        return replace(sealed, size_bytes=sealing.size, sha256=sealing.sha256)

    async def get(
        self, vault: VaultName, blob: BlobRef, *, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Return the bytes in chunks of at most 1 MiB; the tags tell whether they are those that were stored.

        Raises:
            DependencyUnavailable: also if the blob's key was wrapped by one that is not there.
        """
        key = await self._keys.find(vault, blob.name)
        if key is None:
            chunks = self._store.get(vault, blob, offset=offset, limit=limit)
        else:
            chunks = self._opened(vault, blob, key, offset, limit)
        async with aclosing(chunks):
            async for chunk in chunks:
                yield chunk

    async def _opened(
        self, vault: VaultName, blob: BlobRef, key: BlobKey, offset: int, limit: int
    ) -> AsyncGenerator[bytes, None]:
        cipher = BlobCipher.unwrapped(key.wrapped, self._store_keys)
        sealed = replace(blob, size_bytes=sealed_size(blob.size_bytes), sha256=key.sealed_sha256)
        whole, length = part_of(blob, offset, limit)
        if not length:
            return
        first, after = offset // SEGMENT, -(-(offset + length) // SEGMENT)
        start = first * SEALED_SEGMENT
        many = min(after * SEALED_SEGMENT, sealed.size_bytes) - start
        chunks = self._store.get(vault, sealed, offset=start, limit=many)
        digest = hashlib.sha256()
        async with aclosing(chunks), aclosing(_pieces(chunks, SEALED_SEGMENT)) as segments:
            index = first
            async for segment in segments:
                data = await asyncio.to_thread(cipher.open, index, segment)
                if whole:
                    await asyncio.to_thread(digest.update, data)
                begin = index * SEGMENT
                yield data[max(0, offset - begin) : offset + length - begin]
                index += 1
        if whole and digest.hexdigest() != blob.sha256:
            raise DataCorrupted(f"Blob {blob.name} differs from its hash.", name=blob.name)

    async def address(self, vault: VaultName, blob: BlobRef) -> str:
        """Return nothing for what is encrypted: what lies there nobody else could read."""
        return "" if await self._keys.find(vault, blob.name) else await self._store.address(vault, blob)

    async def remove(self, vault: VaultName, name: str) -> bool:
        """Destroy the key of a blob and remove the blob; False if there was none."""
        await self._keys.drop(vault, name)
        return await self._store.remove(vault, name)

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that may have blobs."""
        return await self._store.vaults()

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        return await self._store.names(vault)

    async def scrub(self) -> Reach:
        """Say what the store leaves behind, and that nobody can read it if it was encrypted."""
        reach = await self._store.scrub()
        if not self._store_keys:
            return reach
        done = f"{reach.done} The keys of those that were encrypted were destroyed in the catalogue."
        remains = f"{reach.remains} Of encrypted ones no copy can be read." if reach.remains else ""
        return replace(reach, done=done, remains=remains)

    async def close(self) -> None:
        """Close the store."""
        await self._store.close()


class _Sealing:
    """Encrypts what comes, and notes what it was."""

    def __init__(self, data: AsyncIterator[bytes]) -> None:
        self.cipher = BlobCipher.new()
        self.size = 0
        self._data = data
        self._digest = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    async def segments(self) -> AsyncIterator[bytes]:
        index = 0
        async with aclosing(_pieces(self._data, SEGMENT)) as pieces:
            async for piece in pieces:
                self.size += len(piece)
                await asyncio.to_thread(self._digest.update, piece)
                yield await asyncio.to_thread(self.cipher.seal, index, piece)
                index += 1


async def _pieces(chunks: AsyncIterator[bytes], size: int) -> AsyncGenerator[bytes, None]:
    """Return the same bytes in pieces of a size; the last may be shorter."""
    waiting = bytearray()
    async for chunk in chunks:
        waiting += chunk
        while len(waiting) >= size:
            yield bytes(waiting[:size])
            del waiting[:size]
    if waiting:
        yield bytes(waiting)
