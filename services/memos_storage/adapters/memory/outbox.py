"""The outboxes in memory."""

from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta

from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.memory.tables import Entry, Tables, enqueue
from memos_storage.domain.values import AuditEvent, Claim, OutboxEntry, Point


class MemoryOutbox:
    """Implements `ports.Outbox` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def pending(self, *, after: int) -> tuple[int, list[Point]]:
        """Return the newest sequence number, and the points to put that came after `after`."""
        tables = self._catalog.tables
        points = [_point(tables, entry) for entry in tables.outbox.values() if entry.sequence > after]
        return max(tables.outbox, default=0), [point for point in points if point is not None]

    async def size(self) -> int:
        """Return how many entries wait."""
        return len(self._catalog.tables.outbox)

    async def claim(self, *, limit: int, lease_seconds: float, now: datetime) -> Claim:
        """Lease the oldest entries."""
        tables = self._catalog.tables
        blocked: set[str] = set()
        taken: list[Entry] = []
        for entry in tables.outbox.values():
            busy = entry.due > now or (entry.until is not None and entry.until > now)
            if busy:
                blocked.add(entry.uid)
            elif entry.uid not in blocked and len(taken) < limit:
                taken.append(entry)
        if not taken:
            return Claim(0, ())
        tables.fence += 1
        entries = tuple(
            OutboxEntry(entry.sequence, entry.uid, entry.embedder, entry.attempts, _point(tables, entry))
            for entry in taken
        )
        for entry in taken:
            entry.token, entry.until = tables.fence, now + timedelta(seconds=lease_seconds)
            entry.attempts += 1
        return Claim(tables.fence, entries)

    async def settle(self, claim: Claim) -> bool:
        """Remove the entries of a claim; False if another worker has taken one over."""
        held = self._held(claim)
        if len(held) != len(claim.entries):
            return False
        for entry in held:
            del self._catalog.tables.outbox[entry.sequence]
        return True

    async def postpone(self, claim: Claim, *, until: datetime) -> None:
        """Give the entries back after a failure, to be taken again from `until` on."""
        for entry in self._held(claim):
            entry.token, entry.until, entry.due = 0, None, until

    async def requeue(self, uids: Iterable[str], *, now: datetime) -> int:
        """Enqueue what the catalogue says of these cubes now."""
        known = [uid for uid in uids if uid in self._catalog.tables.vectors]
        for uid in known:
            enqueue(self._catalog.tables, uid, now)
        return len(known)

    async def indexed(self) -> AsyncIterator[Sequence[Point]]:
        """Return the vectors of everything that the index should hold by now."""
        tables = self._catalog.tables
        for embedder in tables.dimensions:
            for uid in await self.expected(embedder):
                vector, revision = tables.vectors[uid]
                yield [Point(uid, tables.cubes[uid].cube.vault, revision, vector)]

    async def expected(self, embedder: str) -> dict[str, int]:
        """Return uid -> content revision of everything that the index should hold by now."""
        tables = self._catalog.tables
        waiting = {entry.uid for entry in tables.outbox.values()}
        return {
            uid: revision
            for uid, (vector, revision) in tables.vectors.items()
            if vector.embedder == embedder and uid not in waiting and tables.cubes[uid].cube.delete_time is None
        }

    async def embedders(self) -> list[tuple[str, int]]:
        """Return the embedders that have vectors, with their dimensions."""
        return sorted(self._catalog.tables.dimensions.items())

    def _held(self, claim: Claim) -> list[Entry]:
        outbox = self._catalog.tables.outbox
        found = [outbox.get(entry.sequence) for entry in claim.entries]
        return [entry for entry in found if entry is not None and entry.token == claim.token]


class MemoryAuditOutbox:
    """Implements `ports.AuditOutbox` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def unsent(self, *, limit: int) -> list[AuditEvent]:
        """Return the oldest."""
        return self._catalog.tables.audit[:limit]

    async def sent(self, events: Sequence[AuditEvent]) -> None:
        """Forget events that are recorded."""
        tables = self._catalog.tables
        tables.audit = [event for event in tables.audit if event not in events]

    async def forget_requests(self, *, before: datetime) -> int:
        """Remove request ids older than their retention; returns how many."""
        answers = self._catalog.tables.answers
        old = [owner for owner, (_, time) in answers.items() if time < before]
        for owner in old:
            del answers[owner]
        return len(old)


def _point(tables: Tables, entry: Entry) -> Point | None:
    cube, (vector, revision) = tables.cubes[entry.uid].cube, tables.vectors[entry.uid]
    if cube.delete_time is not None:
        return None
    return Point(entry.uid, cube.vault, revision, vector, entry.sequence)
