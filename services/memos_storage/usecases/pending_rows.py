"""The vectors of rows that wait for the vector index."""

import asyncio
from collections.abc import Collection

from memos_storage.domain.values import DenseHit, Scope, Vector
from memos_storage.domain.vector_sets import VectorSet
from memos_storage.ports import Outbox


class PendingRows:
    """Keeps in memory what the outbox holds.

    A row leaves only once the index has it: whoever searches here first, and the index afterwards, misses none.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._vectors = VectorSet()
        self._newest = 0
        # A row that is settled while it is being read must not come back behind the drop.
        self._turn = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    async def refresh(self) -> None:
        """Take in what was written since the last time."""
        async with self._turn:
            newest, points = await self._outbox.pending(after=self._newest)
            self._vectors.add(points)
            self._newest = max(self._newest, newest)

    async def drop(self, sequences: Collection[int]) -> None:
        """Forget the rows of these outbox entries; the index has them."""
        async with self._turn:
            self._vectors.drop(sequences)

    def search(self, query: Vector, scope: Scope, *, limit: int) -> list[DenseHit]:
        """Return the nearest rows of the scope by cosine, best first; exact."""
        return self._vectors.search(query.embedder, query.values, scope, limit=limit)
