"""What blob stores have in common: names, the size of chunks, and the check of what is read."""

import asyncio
import errno
import hashlib
import re
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DataCorrupted, MalformedName, Overloaded, ResourceNotFound
from memos_kernel.names import VaultName

CHUNK = 1024 * 1024
TRANSFERS = 64
"""Most uploads and downloads of one process at a time."""

STEPS = 16 * TRANSFERS
"""Room for what they and others ask of the threads."""

FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of an OSError that mean a full disk."""

_NAME = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def is_name(text: str) -> bool:
    """Return whether a text is the name of a blob: a UUIDv7, given once."""
    return _NAME.fullmatch(text) is not None


def name_of(vault: VaultName, name: str) -> str:
    """Return the name of a blob, which reaches nothing outside of its vault.

    Raises:
        ResourceNotFound: it is none.
    """
    if not is_name(name):
        raise ResourceNotFound(f"{vault} has no blob {name[:80]!r}.", name=name[:80])
    return name


def vault_of(tenant: str, vault: str) -> VaultName | None:
    """Return the vault whose blobs lie there; None if it is something else."""
    try:
        return VaultName.parse(f"tenants/{tenant}/vaults/{vault}")
    except MalformedName:
        return None


class Transfers:
    """Bounds the uploads and downloads that go on, before the first byte and not halfway."""

    def __init__(self) -> None:
        self._running = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one for as long as it goes on.

        Raises:
            Overloaded: as many go on as may.
        """
        if self._running >= TRANSFERS:
            raise Overloaded(
                f"{TRANSFERS} blobs are on their way already; try again.", retry_after=1.0, limit=str(TRANSFERS)
            )
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1


async def checked(
    blob: BlobRef, read: Callable[[int], Awaitable[bytes]], *, whole: bool, limit: int
) -> AsyncGenerator[bytes, None]:
    """Return what `read` gives, in chunks of at most 1 MiB, until it gives nothing or the limit is reached.

    Raises:
        DataCorrupted: there are too few bytes; where the whole is read, also if size or hash differ.
    """
    digest, size = hashlib.sha256(), 0
    while chunk := await read(CHUNK if whole else min(CHUNK, limit - size)):
        if whole:
            await asyncio.to_thread(digest.update, chunk)
        size += len(chunk)
        yield chunk
    if size < limit or (whole and (size != blob.size_bytes or digest.hexdigest() != blob.sha256)):
        raise DataCorrupted(f"Blob {blob.name} differs from its hash or size.", name=blob.name)


def part_of(blob: BlobRef, offset: int, limit: int) -> tuple[bool, int]:
    """Return whether the part is the whole, and the number of its bytes."""
    rest = max(0, blob.size_bytes - offset)
    length = min(limit, rest) if limit else rest
    return offset == 0 and length == blob.size_bytes, length
