"""Bring the vector index up to the catalogue, in order, with retries, also after either was away."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from memos_kernel.errors import MemosError
from memos_kernel.ids import Clock
from memos_storage.domain.values import Claim, OutboxEntry, Point
from memos_storage.ports import Outbox, Spans, VectorIndex
from memos_storage.usecases.pending_rows import PendingRows

BACKOFF_FIRST = 0.5
BACKOFF_MOST = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FollowOutbox:
    """One round of the outbox worker."""

    outbox: Outbox
    index: VectorIndex
    pending: PendingRows
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
                # Another worker took these over while this one stalled, and this one may just have put back an older
                # vector: what the catalogue says now is sent once more.
                await self.outbox.requeue({entry.uid for entry in claim.entries}, now=self.clock.now())
                return 0
        await self.pending.drop({entry.sequence for entry in claim.entries})
        return len(claim.entries)

    async def reconcile(self) -> int:
        """Compare the index with the catalogue and enqueue what differs; returns how many entries were made.

        Raises:
            MemosError: the index does not answer.
        """
        made = 0
        for embedder, dimensions in await self.outbox.embedders():
            expected = await self.outbox.expected(embedder)
            drift = await self.index.verify(embedder, dimensions, expected)
            if drift.missing:
                made += await self.outbox.requeue(drift.missing, now=self.clock.now())
            if drift.extra:
                await self.index.remove(embedder, sorted(drift.extra))
        return made

    async def _apply(self, entries: Sequence[OutboxEntry]) -> None:
        newest = {(entry.embedder, entry.uid): entry for entry in entries}
        gone: dict[str, list[str]] = {}
        points: list[Point] = []
        for entry in newest.values():
            if entry.point is None:
                gone.setdefault(entry.embedder, []).append(entry.uid)
            else:
                points.append(entry.point)
        for embedder, uids in gone.items():
            await self.index.remove(embedder, uids)
        if points:
            await self.index.put(points)


def _backoff(claim: Claim) -> timedelta:
    attempts = max(entry.attempts for entry in claim.entries)
    return timedelta(seconds=min(BACKOFF_MOST, BACKOFF_FIRST * 2.0 ** min(attempts, 10)))
