"""A copy in memory in front of a vector index, for as long as there is room for all of it."""

from collections.abc import Sequence
from datetime import datetime

from memos_storage.domain.purges import Reach
from memos_storage.domain.values import DenseHit, Point, PointId, Scope, Vector
from memos_storage.domain.vector_sets import VectorSet
from memos_storage.ports import Outbox, VectorIndex


class HotVectorIndex:
    """Implements `ports.VectorIndex` over another one, which stays the durable one and decides about health.

    Milvus Lite looks at every row in Python, some 2 ms for 1,000 rows; one matrix product does the same for 10,000 in
    1 ms. The copy is complete or not used at all. It follows only writes that go through it, so it is for one process
    that owns its index, as Milvus Lite demands anyway.
    """

    def __init__(self, inner: VectorIndex, outbox: Outbox, *, rows: int) -> None:
        """Take the index, where to load its content from, and the most rows to hold."""
        self._inner = inner
        self._outbox = outbox
        self._rows = rows
        self._copy = VectorSet()
        self._complete = False

    @property
    def healthy(self) -> bool:
        """Whether the index behind answers now."""
        return self._inner.healthy

    @property
    def reason(self) -> str:
        """Why it is not healthy."""
        return self._inner.reason

    @property
    def losses(self) -> int:
        """How often the index behind did not answer so far."""
        return self._inner.losses

    @property
    def complete(self) -> bool:
        """Whether searches are answered from memory."""
        return self._complete

    async def load(self) -> None:
        """Fill the copy with what the index holds; to be called while nothing else writes to it."""
        self._complete = False
        self._copy.clear()
        async for points in self._outbox.indexed():
            self._copy.add(points)
            if len(self._copy) > self._rows:
                self._copy.clear()
                return
        self._complete = True

    async def put(self, points: Sequence[Point]) -> None:
        """Add points."""
        await self._inner.put(points)
        if self._complete:
            self._copy.add(points)
            if len(self._copy) > self._rows:
                self._complete = False
                self._copy.clear()

    async def remove(self, embedder: str, ids: Sequence[PointId]) -> None:
        """Remove; unknown ids are left out."""
        await self._inner.remove(embedder, ids)
        self._copy.remove(embedder, ids)

    async def contents(self, embedder: str, dimensions: int, *, after: str, until: str | None) -> list[PointId]:
        """Return what the index behind holds of the cubes with `after` < uid <= `until`."""
        return await self._inner.contents(embedder, dimensions, after=after, until=until)

    async def held(self, embedder: str, dimensions: int, ids: Sequence[PointId]) -> list[PointId]:
        """Return those that the copy or the index behind holds."""
        copied = self._copy.held(embedder, ids)
        return sorted({*copied, *await self._inner.held(embedder, dimensions, ids)})

    async def scrub(self, embedder: str, dimensions: int, *, now: datetime) -> Reach:
        """Free the files of the index behind; the copy has none."""
        return await self._inner.scrub(embedder, dimensions, now=now)

    async def search(self, query: Vector, scope: Scope, *, limit: int, until: datetime | None = None) -> list[DenseHit]:
        """Return the nearest cubes of the scope, best first, by cosine; only points recorded `until` then."""
        if self._complete:
            return self._copy.search(query.embedder, query.values, scope, limit=limit, until=until)
        return await self._inner.search(query, scope, limit=limit, until=until)
