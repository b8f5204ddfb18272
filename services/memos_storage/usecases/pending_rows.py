"""The vectors of rows that wait for the vector index."""

import asyncio

from memos_storage.domain.values import DenseHit, Scope, Vector
from memos_storage.domain.vector_sets import VectorSet
from memos_storage.ports import Outbox


class PendingRows:
    """Keeps in memory what the outbox holds.

    A row leaves only once the index has it: who refreshes first and asks the index afterwards misses none.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._vectors = VectorSet()
        self._known: frozenset[int] = frozenset()
        # An older look must not undo a newer one.
        self._turn = asyncio.Lock()

    def __len__(self) -> int:
        return len(self._vectors)

    async def refresh(self) -> None:
        """Take in what was written since the last time, and forget what left, whichever process did either."""
        async with self._turn:
            waiting = await self._outbox.waiting(known=self._known)
            self._vectors.drop(self._known - waiting.sequences)
            self._vectors.add(waiting.points)
            self._known = waiting.sequences

    def search(self, query: Vector, scope: Scope, *, limit: int) -> list[DenseHit]:
        """Return the nearest rows of the scope by cosine, best first; exact."""
        return self._vectors.search(query.embedder, query.values, scope, limit=limit)
