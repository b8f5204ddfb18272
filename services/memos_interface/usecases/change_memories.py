"""Changes cubes, deletes them, and takes that back."""

from dataclasses import dataclass

from memos_interface.domain.cubes import CubeChange, check_change
from memos_interface.ports import Embedder, MemoryStore, Spans, Vectors
from memos_kernel.cube import MemCube
from memos_kernel.embedding import embedded_text
from memos_kernel.errors import CubeNotFound, MemosError
from memos_kernel.ids import Clock
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateMemory:
    """Changes the named fields as a new revision; a new text gets a new vector."""

    embedder: Embedder
    store: MemoryStore
    clock: Clock
    spans: Spans

    async def __call__(self, change: CubeChange, *, key: RequestKey) -> MemCube:
        """Return the cube as stored.

        Raises:
            RequestError: by field.
            CubeNotFound, EtagMismatch, CubeFrozen, DuplicateContent, RequestIdReused: from storage.
        """
        check_change(change, now=self.clock.now())
        self.spans.mark("update_memory", about=str(change.name))
        vectors = await self._embed(change) if change.changes_text else None
        return await self.store.update(change, vectors, request=key)

    async def _embed(self, change: CubeChange) -> Vectors:
        (before,) = await self.store.get([change.name], full=False)
        if isinstance(before, CubeNotFound):  # storage says so too, unless it has answered this request before
            return await self.embedder.embed([change.text])
        if isinstance(before, MemosError):
            raise before
        return await self.embedder.embed([embedded_text(before, change.text)])


@dataclass(frozen=True, slots=True, kw_only=True)
class DeleteMemory:
    """Takes a cube out of every read and search."""

    store: MemoryStore
    spans: Spans

    async def __call__(self, name: CubeName, *, etag: str, key: RequestKey) -> MemCube:
        """Return the header with delete and purge time.

        Raises:
            CubeNotFound, EtagMismatch, CubeFrozen, RequestIdReused: from storage.
        """
        self.spans.mark("delete_memory", about=str(name))
        return await self.store.delete(name, etag=etag, request=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class UndeleteMemory:
    """Brings a deleted cube back into every read and search."""

    store: MemoryStore
    spans: Spans

    async def __call__(self, name: CubeName, *, etag: str, key: RequestKey) -> MemCube:
        """Return the header.

        Raises:
            CubeNotFound, ResourceExists, DuplicateContent, EtagMismatch, RequestIdReused: from storage.
        """
        self.spans.mark("update_memory", about=str(name))
        return await self.store.undelete(name, etag=etag, request=key)
