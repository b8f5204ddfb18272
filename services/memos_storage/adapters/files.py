"""Blobs in a directory: atomic rename, fsync of file and directory."""

import asyncio
import hashlib
import os
import tempfile
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import IO

from memos_kernel.cube import BlobRef
from memos_kernel.errors import ResourceNotFound, StoreFull
from memos_kernel.ids import IdFactory, uuid7
from memos_kernel.names import VaultName
from memos_runtime.workers import Worker
from memos_storage.adapters.blobs import FULL, checked, is_name, name_of, part_of, vault_of
from memos_storage.domain.purges import Reach

_PART = ".part-"
"""What the name of a file begins with that is not whole yet."""


class FileBlobStore:
    """Implements `ports.BlobStore`. A blob is the file `tenant/vault/name`; the directory belongs to one process."""

    healthy = True

    def __init__(self, root: Path, *, new_id: IdFactory = uuid7) -> None:
        """Take the directory; it is made on the first put."""
        self._root = root
        self._new_id = new_id
        self._worker = Worker("blobs", threads=2, queue=64)

    async def tidy(self) -> None:
        """Remove what puts left behind that were on their way when a process before this one ended."""
        await self._worker.run(self._tidy)

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes; they survive a power loss when this returns."""
        writing = await self._worker.run(_Writing.begin, self._directory(vault), self._new_id())
        try:
            async for chunk in data:
                await self._worker.run(writing.write, chunk)
            await self._worker.run(writing.finish)
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull("The disk of the blob store is full; nothing was stored.", store="blobs") from error
            raise
        finally:
            await asyncio.shield(self._worker.run(writing.abandon))
        return BlobRef(writing.name, writing.size, writing.sha256, media_type)

    async def get(self, vault: VaultName, blob: BlobRef, *, offset: int = 0, limit: int = 0) -> AsyncIterator[bytes]:
        """Return the bytes in chunks of at most 1 MiB; size and hash are compared at the end, where all is read."""
        whole, length = part_of(blob, offset, limit)
        file = await self._worker.run(self._open, vault, blob.name, offset)
        try:
            async for chunk in checked(blob, partial(self._worker.run, file.read), whole=whole, limit=length):
                yield chunk
        finally:
            file.close()

    async def remove(self, vault: VaultName, name: str) -> bool:
        """Remove a blob; False if there was none."""
        return await self._worker.run(self._remove, vault, name)

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that may have blobs."""
        return await self._worker.run(self._vaults)

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        return await self._worker.run(self._names, vault)

    async def scrub(self) -> Reach:
        """Nothing is left in the directory of what was removed."""
        return Reach("blobs", "Files removed, and looked for.")

    async def close(self) -> None:
        """Stop the threads. Can be called twice."""
        await self._worker.close()

    def _directory(self, vault: VaultName) -> Path:
        """Names of tenants and vaults start with a letter or digit and hold no slash, so they stay below the root."""
        return self._root / vault.tenant / vault.id

    def _path(self, vault: VaultName, name: str) -> Path:
        return self._directory(vault) / name_of(vault, name)

    def _open(self, vault: VaultName, name: str, offset: int) -> IO[bytes]:
        try:
            file = self._path(vault, name).open("rb")
        except FileNotFoundError as error:
            raise ResourceNotFound(f"{vault} has no blob {name}.", name=name) from error
        file.seek(offset)
        return file

    def _remove(self, vault: VaultName, name: str) -> bool:
        path = self._path(vault, name)
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

    def _vaults(self) -> list[VaultName]:
        found = (vault_of(path.parent.name, path.name) for path in self._root.glob("*/*") if path.is_dir())
        return [vault for vault in found if vault is not None]

    def _tidy(self) -> None:
        for path in self._root.glob(f"*/*/{_PART}*"):
            path.unlink(missing_ok=True)
            _sync_directory(path.parent)


class _Writing:
    """A blob that is being written to a file without a name of its own yet."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self._file = file
        self._digest = hashlib.sha256()
        self._path: Path | None = Path(file.name)
        self.size = 0

    @classmethod
    def begin(cls, directory: Path, name: str) -> "_Writing":
        missing = [path for path in (directory, *directory.parents) if not path.exists()]
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for made in missing:
            _sync_directory(made.parent)
        return cls(tempfile.NamedTemporaryFile(dir=directory, prefix=_PART, delete=False), name)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, chunk: bytes) -> None:
        self._file.write(chunk)
        self._digest.update(chunk)
        self.size += len(chunk)

    def finish(self) -> None:
        """Make the bytes durable, then their name."""
        assert self._path is not None
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._path.replace(self._path.parent / self.name)
        _sync_directory(self._path.parent)
        self._path = None

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
