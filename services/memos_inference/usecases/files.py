"""Files that are handed over as blobs."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from memos_kernel import limits


def measured(path: Path) -> tuple[int, str]:
    """Return the number of bytes, and their hex SHA-256."""
    with path.open("rb") as file:
        return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()


async def parts_of(path: Path, size: int) -> AsyncIterator[bytes]:
    """Yield the bytes of a file, in chunks of a blob's stream."""
    for offset in range(0, size, limits.BLOB_CHUNK_BYTES):
        yield await asyncio.to_thread(_part, path, offset)


def _part(path: Path, offset: int) -> bytes:
    with path.open("rb") as file:
        file.seek(offset)
        return file.read(limits.BLOB_CHUNK_BYTES)
