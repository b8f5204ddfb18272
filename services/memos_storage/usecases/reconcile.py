"""Compare the vector index with the catalogue, and mend it."""

from dataclasses import dataclass

from memos_storage.domain.values import Drift, PointId
from memos_storage.ports import Outbox, VectorIndex
from memos_storage.usecases.follow_outbox import remove_outdated

WINDOW = 5_000
"""Cubes that are compared at once; bounds the memory."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconcile:
    """Goes through both in the order of the uids, and mends each window before the next.

    Writers and other workers may go on meanwhile: a point that seems to be missing is put as the catalogue has it then,
    and one that seems to be too many is removed only if the catalogue still says so.
    """

    outbox: Outbox
    index: VectorIndex
    window: int = WINDOW

    async def __call__(self) -> Drift:
        """Return what was missing and too many.

        Raises:
            MemosError: the index does not answer; what was mended stays.
        """
        missing = extra = 0
        for embedder, dimensions in await self.outbox.embedders():
            after: str | None = ""
            while after is not None:
                expected = await self.outbox.expected(embedder, after=after, limit=self.window)
                until = expected[-1].uid if len(expected) == self.window else None
                held = set(await self.index.contents(embedder, dimensions, after=after, until=until))
                missing += await self._put(embedder, set(expected) - held)
                extra += await remove_outdated(self.outbox, self.index, embedder, held - set(expected))
                after = until
        return Drift(missing, extra)

    async def _put(self, embedder: str, ids: set[PointId]) -> int:
        points = await self.outbox.points(embedder, sorted(id.uid for id in ids))
        if points:
            await self.index.put(points)
        return len(points)
