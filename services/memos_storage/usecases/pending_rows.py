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
        self._running: asyncio.Future[None] | None = None
        self._next: asyncio.Future[None] | None = None

    def __len__(self) -> int:
        return len(self._vectors)

    async def refresh(self) -> None:
        """Take in what was written before this call, and forget what left, whichever process did either.

        Callers that come while a look is under way share the next one: theirs has to begin after they called.
        """
        if self._next is None:
            self._next = asyncio.ensure_future(self._look(self._running))
        await asyncio.shield(self._next)

    async def _look(self, before: "asyncio.Future[None] | None") -> None:
        if before is not None:
            await asyncio.wait([before])
        self._running, self._next = self._next, None
        waiting = await self._outbox.waiting(known=self._known)
        self._vectors.drop(self._known - waiting.sequences)
        self._vectors.add(waiting.points)
        self._known = waiting.sequences

    def search(self, query: Vector, scope: Scope, *, limit: int) -> list[DenseHit]:
        """Return the nearest rows of the scope by cosine, best first; exact."""
        return self._vectors.search(query.embedder, query.values, scope, limit=limit)
