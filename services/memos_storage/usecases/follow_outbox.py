"""Bring the vector index up to the catalogue, in order, with retries, also after either was away."""

from collections.abc import Sequence, Set
from dataclasses import dataclass
from datetime import timedelta

from memos_kernel.errors import MemosError
from memos_kernel.ids import Clock
from memos_storage.domain.values import Claim, OutboxEntry, Point, PointId
from memos_storage.ports import Outbox, Spans, VectorIndex

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOutbox:
    """One round of the outbox worker."""

    outbox: Outbox
    index: VectorIndex
    clock: Clock
    spans: Spans
    batch_rows: int
    lease_seconds: float

    async def __call__(self) -> int:
        """Send the oldest batch to the index; returns how many entries were settled.

        The entries leave the outbox only after the index has said that it holds them durably; until then searches
        find them as pending rows.

        Raises:
            MemosError: the index failed; the entries are taken again after a pause that doubles.
        """
        claim = await self.outbox.claim(limit=self.batch_rows, lease_seconds=self.lease_seconds, now=self.clock.now())
        if not claim.entries:
            return 0
        with self.spans.span("storage.index") as span:
            span.set_attribute("memos.cube.count", len(claim.entries))
            try:
                await self._apply(claim.entries)
            except MemosError:
                await self.outbox.postpone(claim, until=self.clock.now() + _backoff(claim))
                raise
            if not await self.outbox.settle(claim):
                # Another worker took these over while this one stalled, and this one may just have put back what is
                # gone since.
                await self._remove_outdated(_points(claim.entries))
                return 0
        return len(claim.entries)

    async def _apply(self, entries: Sequence[OutboxEntry]) -> None:
        points = _points(entries)
        if points:
            await self.index.put(points)
        gone: dict[str, list[PointId]] = {}
        for entry in entries:
            if entry.gone is not None:
                gone.setdefault(entry.embedder, []).append(entry.gone)
        for embedder, ids in gone.items():
            await self.index.remove(embedder, ids)

    async def _remove_outdated(self, points: Sequence[Point]) -> None:
        for embedder in {point.vector.embedder for point in points}:
            ids = {point.id for point in points if point.vector.embedder == embedder}
            await remove_outdated(self.outbox, self.index, embedder, ids)


async def remove_outdated(outbox: Outbox, index: VectorIndex, embedder: str, ids: Set[PointId]) -> int:
    """Take those points out of the index that the catalogue has no more; returns how many.

    An id that is out of date never comes back, so what a writer does meanwhile cannot make this wrong.

    Raises:
        MemosError: the index does not answer.
    """
    current = {point.id for point in await outbox.points(embedder, sorted({id.uid for id in ids}))}
    outdated = sorted(ids - current)
    if outdated:
        await index.remove(embedder, outdated)
    return len(outdated)


def _points(entries: Sequence[OutboxEntry]) -> list[Point]:
    """Return what the entries put, each once."""
    return list({(entry.embedder, entry.point.id): entry.point for entry in entries if entry.point}.values())


def _backoff(claim: Claim) -> timedelta:
    attempts = max(entry.attempts for entry in claim.entries)
    return timedelta(seconds=min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(attempts, 10)))
