"""Blobs in a directory: atomic rename, fsync of file and directory."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import IO

from memos_kernel.cube import BlobRef
from memos_kernel.errors import ResourceNotFound, StoreFull
from memos_kernel.names import VaultName
from memos_runtime.workers import Worker
from memos_storage.adapters.blobs import CHUNK, FULL, is_name, name_of, verified


class FileBlobStore:
    """Implements `ports.BlobStore`. A blob's name is the hash of its bytes; each vault has a directory of its own."""

    def __init__(self, root: Path) -> None:
        """Take the directory; it is made on the first put."""
        self._root = root
        self._worker = Worker("blobs", threads=2, queue=64)

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes; they survive a power loss when this returns."""
        writing = await self._worker.run(_Writing.begin, self._directory(vault))
        try:
            async for chunk in data:
                await self._worker.run(writing.write, chunk)
            name = await self._worker.run(writing.finish)
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull("The disk of the blob store is full; nothing was stored.", store="blobs") from error
            raise
        finally:
            await asyncio.shield(self._worker.run(writing.abandon))
        return BlobRef(name=name, size_bytes=writing.size, sha256=name, media_type=media_type)

    async def get(self, vault: VaultName, blob: BlobRef) -> AsyncIterator[bytes]:
        """Return the bytes in chunks of at most 1 MiB; size and hash are compared at the end."""
        file = await self._worker.run(self._open, vault, blob)
        try:
            async for chunk in verified(blob, lambda: self._worker.run(file.read, CHUNK)):
                yield chunk
        finally:
            file.close()

    async def remove(self, vault: VaultName, blob: BlobRef) -> bool:
        """Remove a blob; False if there was none."""
        return await self._worker.run(self._remove, vault, blob)

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        return await self._worker.run(self._names, vault)

    async def close(self) -> None:
        """Stop the threads. Can be called twice."""
        await self._worker.close()

    def _directory(self, vault: VaultName) -> Path:
        """Names of tenants and vaults start with a letter or digit and hold no slash, so they stay below the root."""
        return self._root / vault.tenant / vault.id

    def _path(self, vault: VaultName, blob: BlobRef) -> Path:
        return self._directory(vault) / name_of(vault, blob)

    def _open(self, vault: VaultName, blob: BlobRef) -> IO[bytes]:
        try:
            return self._path(vault, blob).open("rb")
        except FileNotFoundError as error:
            raise ResourceNotFound(f"{vault} has no blob {blob.name}.", name=blob.name) from error

    def _remove(self, vault: VaultName, blob: BlobRef) -> bool:
        path = self._path(vault, blob)
        try:
            path.unlink()
        except FileNotFoundError:
            return False
        _sync_directory(path.parent)
        return True

    def _names(self, vault: VaultName) -> list[str]:
        directory = self._directory(vault)
        if not directory.is_dir():
            return []
        return sorted(path.name for path in directory.iterdir() if is_name(path.name))


class _Writing:
    """A blob that is being written to a file without a name of its own yet."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._path: Path | None = Path(file.name)
        self.size = 0

    @classmethod
    def begin(cls, directory: Path) -> "_Writing":
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for made in missing:
            _sync_directory(made.parent)
        return cls(tempfile.NamedTemporaryFile(dir=directory, prefix=".part-", delete=False))

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def finish(self) -> str:
        """Make the bytes durable, then their name; returns the name."""
        assert self._path is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        name = self._digest.hexdigest()
        self._path.replace(self._path.parent / name)
        _sync_directory(self._path.parent)
        self._path = None
        return name

    def abandon(self) -> None:
        """Remove what was not finished."""
        if self._path is not None:
            try:
                self._file.close()
            finally:
                self._path.unlink(missing_ok=True)
                self._path = None


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
