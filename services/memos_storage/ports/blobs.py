"""The bytes of activation and parametric payloads, and what the catalogue knows of them."""

from collections.abc import AsyncGenerator, AsyncIterator, Sequence, Set
from datetime import datetime
from typing import Protocol

from memos_kernel.cube import BlobRef
from memos_kernel.names import PurgeName, VaultName
from memos_kernel.quotas import VaultQuota
from memos_storage.domain.blobs import BlobKey, StoredBlob
from memos_storage.domain.purges import Reach


class BlobStore(Protocol):
    """Bytes, apart for each vault. A name is given once and never again, so nothing takes the place of something else.

    Every method raises DependencyUnavailable if the store does not answer; put and get raise Overloaded if too many are
    under way.
    """

    @property
    def healthy(self) -> bool:
        """Whether it answered when it was asked last."""
        ...

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes under a new name; they survive a power loss when this returns.

        Raises:
            StoreFull: the disk is full; nothing was stored.
        """
        ...

    def get(self, vault: VaultName, blob: BlobRef, *, offset: int = 0, limit: int = 0) -> AsyncGenerator[bytes, None]:
        """Return the bytes in chunks, from `offset` on and with a limit at most so many.

        Raises:
            ResourceNotFound: the vault has no such blob.
            DataCorrupted: there are too few bytes, or all was read and size or hash differ; raised at the latest after
                the last chunk.
        """
        ...

    async def address(self, vault: VaultName, blob: BlobRef) -> str:
        """Return where the bytes can be read by HTTP, for some minutes and by who has the address; empty if nowhere."""
        ...

    async def remove(self, vault: VaultName, name: str) -> bool:
        """Remove a blob; False if there was none."""
        ...

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that may have blobs."""
        ...

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        ...

    async def scrub(self) -> Reach:
        """Look whether what was removed leaves something behind, and say so."""
        ...

    async def close(self) -> None:
        """Let go of what it holds open. Can be called twice."""
        ...


class BlobKeys(Protocol):
    """The keys of encrypted blobs. What was dropped is in no file of the database any more after the next scrub."""

    async def add(self, vault: VaultName, name: str, key: BlobKey) -> None:
        """Keep the key of a blob; it survives a power loss when this returns."""
        ...

    async def find(self, vault: VaultName, name: str) -> BlobKey | None:
        """Return the key of a blob; None if it has none."""
        ...

    async def drop(self, vault: VaultName, name: str) -> None:
        """Destroy the key of a blob, if it has one."""
        ...


class BlobFormat(Protocol):
    """The form of the bytes."""

    def check(self, head: bytes, size_bytes: int) -> None:
        """Look at the first bytes, as many as `head_bytes` said, of a blob of a size. Blocks.

        Raises:
            InvalidField: they are not of this form, or not of this size.
        """
        ...

    def head_bytes(self, first: bytes) -> int:
        """Return how many bytes `check` needs; `first` are the first eight.

        Raises:
            InvalidField: they are not of this form.
        """
        ...


class BlobLedger(Protocol):
    """The blobs inside a transaction."""

    def free(self, vault: VaultName, name: str) -> bool:
        """Return whether the vault has such a blob and no cube has taken it; true until the transaction ends."""
        ...

    def take(self, name: str, uid: str) -> None:
        """Give a free blob to a cube, for as long as the cube has a row."""
        ...

    def drop(self, name: str) -> None:
        """Let a free blob go, for nobody will take it."""
        ...


class BlobRegistry(Protocol):
    """What the catalogue knows of blobs: whose they are, and which have to go."""

    async def stage(self, vault: VaultName, blob: BlobRef, *, most: int, quota: VaultQuota, now: datetime) -> bool:
        """Take note of a blob in the store, which a cube may take; False if `most` of the vault wait already.

        Raises:
            QuotaExceeded: the vault may not hold so many bytes.
        """
        ...

    async def staged(self, vault: VaultName) -> int:
        """Return how many blobs of the vault wait for a cube."""
        ...

    async def find(self, vault: VaultName, name: str) -> BlobRef | None:
        """Return a blob that waits for a cube."""
        ...

    async def expire(self, *, before: datetime) -> None:
        """Let those go that no cube has taken since a moment."""
        ...

    async def gone(self, *, purge: PurgeName | None, limit: int) -> list[StoredBlob]:
        """Return blobs that have to leave the store: those of a purge, or those of none."""
        ...

    async def forget(self, blobs: Sequence[StoredBlob]) -> None:
        """Forget blobs that have left the store."""
        ...

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that have blobs."""
        ...

    async def known(self, vault: VaultName) -> Set[str]:
        """Return the names of the vault's blobs, with those that have to leave."""
        ...

    async def held(self, vault: VaultName) -> list[BlobRef]:
        """Return the blobs of the vault that a cube has, or that wait for one."""
        ...
