"""Stores one cube as the caller gives it."""

from dataclasses import dataclass

from memos_interface.domain.cubes import finish_new
from memos_interface.ports import Embedder, MemoryStore, Spans
from memos_kernel.cube import MemCube, Plaintext
from memos_kernel.embedding import embedded_text
from memos_kernel.errors import MemosError
from memos_kernel.ids import Clock
from memos_kernel.permission import Principal
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateMemory:
    """The write path for one cube, without reading or guessing beyond its sort of content."""

    embedder: Embedder
    store: MemoryStore
    clock: Clock
    spans: Spans

    async def __call__(self, cube: MemCube, *, caller: Principal, key: RequestKey) -> MemCube:
        """Return the cube as stored.

        Raises:
            RequestError: by field.
            DuplicateContent, ResourceExists, VaultNotFound, RequestIdReused: from storage.
        """
        cube = finish_new(cube, tenant=caller.name.tenant, now=self.clock.now())
        self.spans.mark("create_memory", about=str(cube.vault))
        vectors = await self.embedder.embed([embedded_text(cube)]) if isinstance(cube.payload, Plaintext) else None
        batch = await self.store.create([cube], vectors, return_existing=False, request=key)
        result = batch.results[0]
        if isinstance(result, MemosError):
            raise result
        return result.cube
