"""Compare the vector index with the catalogue, and mend it."""

from collections.abc import Sequence, Set
from dataclasses import dataclass, field

from memos_storage.domain.values import Drift, Point, PointId
from memos_storage.ports import Outbox, VectorIndex
from memos_storage.usecases.follow_outbox import remove_outdated

WINDOW = 5_000
"""Cubes that are compared at once; bounds the memory."""

_PUT = 500
"""Points in one call to the index: 8 MB, if they are as long as can be."""


@dataclass(slots=True, kw_only=True)
class Reconcile:
    """Goes through both in the order of the uids, and mends each window before the next.

    Writers and other workers may go on meanwhile: a point that seems to be missing is put as the catalogue has it then,
    and one that seems to be too many is removed only if the catalogue still says so.
    """

    outbox: Outbox
    index: VectorIndex
    window: int = WINDOW
    _compared: int = field(default=-1, init=False)

    @property
    def doubt(self) -> str:
        """Why the index may lack something; empty if nothing speaks for it.

        Losses are counted, for an index may go and come back between two looks.
        """
        return "" if self._compared == self.index.losses else "the vector index is being compared with the catalogue"

    async def __call__(self, *, repair: bool = True) -> Drift:
        """Return what was missing and too many; without `repair` it is only counted.

        Raises:
            MemosError: the index does not answer; what was mended stays.
        """
        missing = extra = 0
        losses = self.index.losses
        for embedder, dimensions in await self.outbox.embedders():
            after: str | None = ""
            while after is not None:
                expected = await self.outbox.expected(embedder, after=after, limit=self.window)
                until = expected[-1].uid if len(expected) == self.window else None
                held = set(await self.index.contents(embedder, dimensions, after=after, until=until))
                lacking, strange = set(expected) - held, held - set(expected)
                missing += await self._put(embedder, lacking) if repair else len(lacking)
                if repair:
                    extra += await remove_outdated(self.outbox, self.index, embedder, strange)
                else:
                    extra += len(strange)
                after = until
        if repair:
            self._compared = losses
        return Drift(missing, extra)

    async def _put(self, embedder: str, ids: Set[PointId]) -> int:
        uids, made = sorted(id.uid for id in ids), 0
        for start in range(0, len(uids), _PUT):
            points: Sequence[Point] = await self.outbox.points(embedder, uids[start : start + _PUT])
            if points:
                await self.index.put(points)
                # What was deleted between the two, its own worker has removed already.
                await remove_outdated(self.outbox, self.index, embedder, {point.id for point in points})
            made += len(points)
        return made
