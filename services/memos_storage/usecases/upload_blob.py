"""Store the bytes of a payload, for a cube to take."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass

from memos_kernel import limits
from memos_kernel.errors import InvalidField, LimitExceeded, QuotaExceeded
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant
from memos_storage.domain.blobs import BlobChunk, BlobHeader, Staged, check_header
from memos_storage.domain.quotas import NONE, check_quota
from memos_storage.ports import BlobFormat, BlobRegistry, BlobStore, Catalog
from memos_storage.usecases.access import require_vault

_LENGTH_BYTES = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadBlob:
    """Puts bytes into the store and then takes note of them: what has no row is removed by the sweep."""

    catalog: Catalog
    blobs: BlobStore
    registry: BlobRegistry
    format: BlobFormat
    clock: Clock

    async def __call__(self, header: BlobHeader, chunks: AsyncIterator[BlobChunk], *, grant: Grant) -> Staged:
        """Return the blob once it is durable.

        Raises:
            VaultNotFound, InvalidField, LimitExceeded, QuotaExceeded: nothing was stored.
            StoreFull, DependencyUnavailable: the same.
        """
        require_vault(grant, header.vault, field="header.vault")
        check_header(header)
        quota = grant.quotas.get(header.vault, NONE)
        if quota:
            check_quota(header.vault, await self.catalog.usage(header.vault), quota, size=header.size_bytes)
        if await self.registry.staged(header.vault) >= limits.STAGED_BLOBS:
            raise _no_room(header.vault)
        blob = await self.blobs.put(header.vault, self._received(header, chunks), media_type=header.media_type)
        if blob.sha256 != header.sha256:
            await self.blobs.remove(header.vault, blob.name)
            raise InvalidField(
                f"The bytes have the SHA-256 {blob.sha256}, and not {header.sha256}; send them again.",
                field="header.sha256",
            )
        now = self.clock.now()
        try:
            if not await self.registry.stage(header.vault, blob, most=limits.STAGED_BLOBS, quota=quota, now=now):
                raise _no_room(header.vault)
        except (LimitExceeded, QuotaExceeded):  # others were faster
            await self.blobs.remove(header.vault, blob.name)
            raise
        return Staged(blob, now + limits.BLOB_RETENTION)

    async def _received(self, header: BlobHeader, chunks: AsyncIterator[BlobChunk]) -> AsyncIterator[bytes]:
        """Return the bytes, and refuse them as soon as they break a rule."""
        head, wanted, size = bytearray(), _LENGTH_BYTES, 0
        async for chunk in chunks:
            _check_chunk(chunk, header, size)
            size += len(chunk.data)
            if len(head) < wanted:
                head += chunk.data
                if wanted == _LENGTH_BYTES <= len(head):
                    wanted = self.format.head_bytes(bytes(head))
                if wanted > _LENGTH_BYTES and len(head) >= wanted:
                    await asyncio.to_thread(self.format.check, bytes(head[:wanted]), header.size_bytes)
            yield chunk.data
        if size != header.size_bytes or len(head) < wanted:
            raise InvalidField(
                f"The stream ended after {size} bytes; header.size_bytes is {header.size_bytes}.",
                field="header.size_bytes",
            )


def _no_room(vault: VaultName) -> LimitExceeded:
    return LimitExceeded(
        f"{limits.STAGED_BLOBS} blobs of {vault} wait for a cube; create those cubes first, or wait until the blobs"
        " expire.",
        limit=str(limits.STAGED_BLOBS),
        unit="blobs",
    )


def _check_chunk(chunk: BlobChunk, header: BlobHeader, size: int) -> None:
    if chunk.offset != size:
        raise InvalidField(f"chunk.offset is {chunk.offset}; {size} bytes came before.", field="chunk.offset")
    if not chunk.data:
        raise InvalidField("chunk.data is empty; send bytes, or end the stream.", field="chunk.data")
    if len(chunk.data) > limits.BLOB_CHUNK_BYTES:
        raise LimitExceeded(
            f"chunk.data has {len(chunk.data)} bytes; the limit is {limits.BLOB_CHUNK_BYTES}.",
            field="chunk.data",
            limit=str(limits.BLOB_CHUNK_BYTES),
            unit="bytes",
        )
    if size + len(chunk.data) > header.size_bytes:
        raise InvalidField(
            f"More bytes come than header.size_bytes says, which is {header.size_bytes}.", field="header.size_bytes"
        )
