"""What blob stores have in common: names, the size of chunks, and the check of what is read."""

import errno
import hashlib
import re
from collections.abc import AsyncIterator, Awaitable, Callable

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DataCorrupted, ResourceNotFound
from memos_kernel.names import VaultName

CHUNK = 1024 * 1024
FULL = (errno.ENOSPC, errno.EDQUOT)
"""Numbers of an OSError that mean a full disk."""

_NAME = re.compile(r"[0-9a-f]{64}")


def is_name(text: str) -> bool:
    """Return whether a text is the name of a blob: the SHA-256 of its bytes."""
    return _NAME.fullmatch(text) is not None


def name_of(vault: VaultName, blob: BlobRef) -> str:
    """Return the name of a blob, which reaches nothing outside of its vault.

    Raises:
        ResourceNotFound: it is none.
    """
    if not is_name(blob.name):
        raise ResourceNotFound(f"{vault} has no blob {blob.name[:80]!r}.", name=blob.name[:80])
    return blob.name


async def verified(blob: BlobRef, read: Callable[[], Awaitable[bytes]]) -> AsyncIterator[bytes]:
    """Return what `read` gives until it gives nothing; size and hash are compared at the end.

    Raises:
        DataCorrupted: they differ.
    """
    digest, size = hashlib.sha256(), 0
    while chunk := await read():
        digest.update(chunk)
        size += len(chunk)
        yield chunk
    if size != blob.size_bytes or digest.hexdigest() != blob.sha256:
        raise DataCorrupted(f"Blob {blob.name} differs from its hash or size.", name=blob.name)
