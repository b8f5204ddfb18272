"""The outboxes in memory."""

from collections.abc import AsyncIterator, Sequence, Set
from datetime import datetime, timedelta

from memos_kernel.states import is_hot
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.memory.tables import Entry, Tables, current_vectors
from memos_storage.domain.values import AuditEvent, Claim, OutboxEntry, Point, PointId, Waiting


class MemoryOutbox:
    """Implements `ports.Outbox` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def waiting(self, *, known: Set[int]) -> Waiting:
        """Return what waits now, with the points of the entries that are not `known`."""
        tables = self._catalog.tables
        fresh = [entry for entry in tables.outbox.values() if entry.sequence not in known]
        points = [_point(tables, entry.uid, entry.embedder, entry.sequence) for entry in fresh]
        return Waiting(frozenset(tables.outbox), tuple(point for point in points if point is not None))

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
        entries = tuple(_claimed(tables, entry) for entry in taken)
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

    async def points(self, embedder: str, uids: Sequence[str]) -> list[Point]:
        """Return the vectors that these cubes have now, deleted and cold cubes left out."""
        held = [_point(self._catalog.tables, uid, embedder) for uid in uids]
        return [point for point in held if point is not None]

    async def indexed(self) -> AsyncIterator[Sequence[Point]]:
        """Return the vectors of everything that the index should hold by now."""
        tables = self._catalog.tables
        for embedder in tables.dimensions:
            settled = await self.expected(embedder, after="", limit=len(tables.cubes))
            yield await self.points(embedder, [id.uid for id in settled])

    async def expected(self, embedder: str, *, after: str, limit: int) -> list[PointId]:
        """Return what the index should hold by now of the cubes whose uid is greater than `after`, by uid."""
        tables = self._catalog.tables
        waiting = {entry.uid for entry in tables.outbox.values()}
        held = [
            PointId(uid, row.content_revision)
            for uid, row in sorted(tables.cubes.items())
            if uid > after and uid not in waiting and _is_live(tables, uid, embedder)
        ]
        return held[:limit]

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


def _is_live(tables: Tables, uid: str, embedder: str) -> bool:
    return embedder in current_vectors(tables, uid) and is_hot(tables.cubes[uid].cube)


def _point(tables: Tables, uid: str, embedder: str, sequence: int = 0) -> Point | None:
    if not _is_live(tables, uid, embedder):
        return None
    row, vector = tables.cubes[uid], current_vectors(tables, uid)[embedder]
    brought = next(old.cube for old in tables.history[uid] if old.cube.revision == row.content_revision)
    assert brought.update_time is not None
    return Point(uid, row.cube.vault, row.content_revision, vector, brought.update_time, sequence)


def _claimed(tables: Tables, entry: Entry) -> OutboxEntry:
    gone = PointId(entry.uid, entry.gone) if entry.gone is not None else None
    point = _point(tables, entry.uid, entry.embedder, entry.sequence)
    return OutboxEntry(entry.sequence, entry.uid, entry.embedder, entry.attempts, point, gone)
