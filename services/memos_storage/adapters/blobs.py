"""What blob stores have in common: names, the size of chunks, and the check of what is read."""

import asyncio
import errno
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DataCorrupted, MalformedName, ResourceNotFound
from memos_kernel.names import VaultName

CHUNK = 1024 * 1024
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of an OSError that mean a full disk."""

_NAME = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


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


async def checked(
    blob: BlobRef, read: Callable[[int], Awaitable[bytes]], *, whole: bool, limit: int
) -> AsyncIterator[bytes]:
    """Return what `read` gives, in chunks of at most 1 MiB, until it gives nothing or the limit is reached.

    Raises:
        DataCorrupted: size or hash differ, where the whole is read.
    """
    digest, size = hashlib.sha256(), 0
    while chunk := await read(CHUNK if whole else min(CHUNK, limit - size)):
        if whole:
            await asyncio.to_thread(digest.update, chunk)
        size += len(chunk)
        yield chunk
    if whole and (size != blob.size_bytes or digest.hexdigest() != blob.sha256):
        raise DataCorrupted(f"Blob {blob.name} differs from its hash or size.", name=blob.name)


def part_of(blob: BlobRef, offset: int, limit: int) -> tuple[bool, int]:
    """Return whether the part is the whole, and the number of its bytes."""
    rest = max(0, blob.size_bytes - offset)
    length = min(limit, rest) if limit else rest
    return offset == 0 and length == blob.size_bytes, length
