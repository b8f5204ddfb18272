"""Blobs in a directory: atomic rename, fsync of file and directory."""

import asyncio
import hashlib
import os
import tempfile
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import IO, TypeVar

from memos_kernel.cube import BlobRef
from memos_kernel.errors import DependencyUnavailable, ResourceNotFound, StoreFull
from memos_kernel.ids import IdFactory, uuid7
from memos_kernel.names import VaultName
from memos_runtime.workers import Worker
from memos_storage.adapters.blobs import FULL, STEPS, Transfers, checked, is_name, name_of, part_of, vault_of
from memos_storage.domain.purges import Reach

T = TypeVar("T")

_PART = ".part-"
"""What the name of a file begins with that is not whole yet."""


class FileBlobStore:
    """Implements `ports.BlobStore`. A blob is the file `tenant/vault/name`; the directory belongs to one process."""

    def __init__(self, root: Callable[[], Path], *, new_id: IdFactory = uuid7) -> None:
        """Take the directory; it is made on the first put."""
        self._root = root
        self._new_id = new_id
        self._transfers = Transfers()
        self._steps = Worker("blobs", threads=4, queue=STEPS)
        self._syncs = Worker("blob-syncs", threads=2, queue=STEPS)
        self._away = False

    @property
    def healthy(self) -> bool:
        """Whether the directory could be used when it was used last."""
        return not self._away

    async def tidy(self) -> None:
        """Remove what puts left behind that were on their way when a process before this one ended."""
        await self._step(self._tidy)

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes; they survive a power loss when this returns."""
        with self._transfers.one():
            writing = _Writing(self._directory(vault), self._new_id())
            try:
                await self._step(writing.begin)
                async for chunk in data:
                    await self._step(writing.write, chunk)
                with self._faults():
                    await self._syncs.run(writing.finish)
            finally:
                # not by a queue that may be full, and to its end, whoever leaves meanwhile
                await asyncio.shield(asyncio.to_thread(writing.abandon))
        return BlobRef(writing.name, writing.size, writing.sha256, media_type)

    async def get(
        self, vault: VaultName, blob: BlobRef, *, offset: int = 0, limit: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Return the bytes in chunks of at most 1 MiB; size and hash are compared at the end, where all is read."""
        whole, length = part_of(blob, offset, limit)
        with self._transfers.one():
            file = await self._step(self._open, vault, blob.name, offset)
            try:
                read = partial(self._step, file.read)
                async with aclosing(checked(blob, read, whole=whole, limit=length)) as chunks:
                    async for chunk in chunks:
                        yield chunk
            finally:
                file.close()

    async def address(self, vault: VaultName, blob: BlobRef) -> str:
        """Return nothing: they lie in a directory."""
        return ""

    async def remove(self, vault: VaultName, name: str) -> bool:
        """Remove a blob; False if there was none."""
        return await self._step(self._remove, vault, name)

    async def vaults(self) -> list[VaultName]:
        """Return the vaults that may have blobs."""
        return await self._step(self._vaults)

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        return await self._step(self._names, vault)

    async def scrub(self) -> Reach:
        """Nothing is left in the directory of what was removed."""
        return Reach("blobs", "Files removed, and looked for.")

    async def close(self) -> None:
        """Stop the threads. Can be called twice."""
        await self._steps.close()
        await self._syncs.close()

    async def _step(self, work: Callable[..., T], *args: object) -> T:
        with self._faults():
            return await self._steps.run(work, *args)

    @contextmanager
    def _faults(self) -> Iterator[None]:
        """Say what an error of the disk means.

        Raises:
            StoreFull: it is full.
            DependencyUnavailable: it cannot be used.
        """
        try:
            yield
        except OSError as error:
            if error.errno in FULL:
                raise StoreFull("The disk of the blob store is full; nothing was stored.", store="blobs") from error
            self._away = True
            raise DependencyUnavailable(
                f"The directory of the blobs cannot be used ({error.strerror}); an operator has to look after it.",
                dependency="blobs",
            ) from error
        self._away = False

    def _directory(self, vault: VaultName) -> Path:
        """Names of tenants and vaults start with a letter or digit and hold no slash, so they stay below the root."""
        return self._root() / vault.tenant / vault.id

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
        found = (vault_of(path.parent.name, path.name) for path in self._root().glob("*/*") if path.is_dir())
        return [vault for vault in found if vault is not None]

    def _tidy(self) -> None:
        for path in self._root().glob(f"*/*/{_PART}*"):
            path.unlink(missing_ok=True)
            _sync_directory(path.parent)


class _Writing:
    """A blob that is being written to a file without a name of its own yet."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name = name
        self.size = 0
        self._directory = directory
        self._digest = hashlib.sha256()
        self._file: IO[bytes] | None = None
        self._path = directory
        self._lock = threading.Lock()  # a thread may still be at it when the caller has left
        self._abandoned = False

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def begin(self) -> None:
        missing = [path for path in (self._directory, *self._directory.parents) if not path.exists()]
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        for made in missing:
            _sync_directory(made.parent)
        with self._lock:
            if not self._abandoned:
                descriptor, path = tempfile.mkstemp(dir=self._directory, prefix=_PART)
                self._file, self._path = os.fdopen(descriptor, "wb"), Path(path)

    def write(self, chunk: bytes) -> None:
        with self._lock:
            if self._file is not None:
                self._file.write(chunk)
                self._digest.update(chunk)
                self.size += len(chunk)

    def finish(self) -> None:
        """Make the bytes durable, then their name."""
        with self._lock:
            if self._file is None:
                return
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._path.replace(self._directory / self.name)
            self._file = None
            _sync_directory(self._directory)

    def abandon(self) -> None:
        """Remove what was not finished."""
        with self._lock:
            self._abandoned = True
            file, self._file = self._file, None
            if file is not None:
                try:
                    file.close()
                finally:
                    self._path.unlink(missing_ok=True)


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
