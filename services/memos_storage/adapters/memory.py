"""Twins of the ports in memory, for tests and for embedding; they pass the same contract suites as the real ones."""

import asyncio
import copy
import math
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TypeVar

import numpy as np
from memos_kernel.cube import MemCube, State, TraceRef, Usage
from memos_kernel.errors import DependencyUnavailable, DuplicateContent, ResourceExists
from memos_kernel.names import CubeName, VaultName

from memos_storage.adapters.terms import frequencies, terms
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import (
    Answer,
    AuditEvent,
    Claim,
    DenseHit,
    Drift,
    OutboxEntry,
    Point,
    Remembered,
    RequestOwner,
    Scope,
    Scored,
    StoredCube,
    Vector,
)
from memos_storage.ports import Transaction

T = TypeVar("T")

K1, B = 1.2, 0.75


@dataclass(slots=True)
class _Entry:
    sequence: int
    uid: str
    embedder: str
    due: datetime
    attempts: int = 0
    token: int = 0
    until: datetime | None = None


@dataclass(slots=True)
class _Tables:
    cubes: dict[str, StoredCube] = field(default_factory=dict)  # by uid, deleted ones too
    vectors: dict[str, tuple[Vector, int]] = field(default_factory=dict)
    outbox: dict[int, _Entry] = field(default_factory=dict)
    audit: list[AuditEvent] = field(default_factory=list)
    answers: dict[RequestOwner, tuple[Remembered, datetime]] = field(default_factory=dict)
    dimensions: dict[str, int] = field(default_factory=dict)
    meta: dict[str, bytes] = field(default_factory=dict)
    last_sequence: int = 0
    fence: int = 0


class MemoryCatalog:
    """Implements `ports.Catalog`; a command works on a copy, which takes the place of the tables if it succeeds."""

    def __init__(self) -> None:
        self.tables = _Tables()

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Run a command in a transaction."""
        transaction = _MemoryTransaction(_copied(self.tables))
        result = command(transaction)
        self.tables = transaction.tables
        return result

    async def get(self, names: Sequence[CubeName], scope: Scope) -> dict[CubeName, StoredCube]:
        """Return the live cubes of the scope among the names."""
        wanted = set(names)
        return {row.cube.name: row for row in self._live() if row.cube.name in wanted and scope.covers(row.cube.vault)}

    async def page(
        self, vault: VaultName, filter: CubeFilter, *, after: tuple[datetime, str] | None, limit: int, now: datetime
    ) -> list[StoredCube]:
        """Return live cubes, newest first."""
        rows = [row for row in self._live() if row.cube.vault == vault and filter.matches(row.cube, now=now)]
        rows = [row for row in rows if after is None or _position(row) < after]
        return sorted(rows, key=_position, reverse=True)[:limit]

    async def due(self, scope: Scope, *, at: datetime, limit: int) -> list[StoredCube]:
        """Return live cubes past their expire time that are not expired, those that are not frozen first."""
        rows = [
            row
            for row in self._live()
            if scope.covers(row.cube.vault)
            and row.cube.expire_time is not None
            and row.cube.expire_time <= at
            and row.cube.state is not State.EXPIRED
        ]
        return sorted(rows, key=lambda row: (row.cube.frozen, row.cube.expire_time, row.cube.uid))[:limit]

    async def eligible(self, uids: Sequence[str], scope: Scope, filter: CubeFilter, *, now: datetime) -> dict[str, int]:
        """Return uid -> content revision of those that are live cubes of the scope and fulfil the filter."""
        found = await self.resolve(uids, scope, filter, now=now)
        return {uid: row.content_revision for uid, row in found.items()}

    async def resolve(
        self, uids: Sequence[str], scope: Scope, filter: CubeFilter, *, now: datetime
    ) -> dict[str, StoredCube]:
        """Return the same cubes as `eligible`, whole."""
        wanted = set(uids)
        return {row.cube.uid: row for row in self._matching(scope, filter, now) if row.cube.uid in wanted}

    async def nearest(
        self, query: Vector, scope: Scope, filter: CubeFilter, *, bound: int, limit: int, now: datetime
    ) -> list[DenseHit] | None:
        """Return the nearest of all cubes that fulfil the filter, exactly; None if more than `bound` do."""
        rows = {row.cube.uid: row for row in self._matching(scope, filter, now)}
        scores = await self.cosines(query, list(rows))
        if len(scores) > bound:
            return None
        hits = [DenseHit(uid, rows[uid].content_revision, score) for uid, score in scores.items()]
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))[:limit]

    async def cosines(self, query: Vector, uids: Sequence[str]) -> dict[str, float]:
        """Return the cosine of the query with each cube that has a vector of its embedder."""
        held = {uid: self.tables.vectors[uid][0] for uid in uids if uid in self.tables.vectors}
        return {
            uid: float(vector.values @ query.values)
            for uid, vector in held.items()
            if vector.embedder == query.embedder
        }

    async def meta(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return a value of the installation, made on first use."""
        return self.tables.meta.setdefault(name, make())

    def _live(self) -> list[StoredCube]:
        return [row for row in self.tables.cubes.values() if row.cube.delete_time is None]

    def _matching(self, scope: Scope, filter: CubeFilter, now: datetime) -> list[StoredCube]:
        return [row for row in self._live() if scope.covers(row.cube.vault) and filter.matches(row.cube, now=now)]


class _MemoryTransaction:
    """Implements `ports.Transaction`."""

    def __init__(self, tables: _Tables) -> None:
        self.tables = tables

    def live(self, name: CubeName) -> StoredCube | None:
        return next((row for row in self._live() if row.cube.name == name), None)

    def holder(self, vault: VaultName, content_hash: str) -> StoredCube | None:
        rows = (row for row in self._live() if row.cube.vault == vault)
        return next((row for row in rows if row.cube.content_hash == content_hash), None)

    def insert(self, cube: MemCube, *, vector: Vector | None) -> None:
        self._check_content(cube)
        if any(row.cube.name == cube.name for row in self.tables.cubes.values()):
            raise ResourceExists(f"{cube.name} is taken; choose another id.", name=str(cube.name))
        self.tables.cubes[cube.uid] = StoredCube(cube, cube.revision)
        self._put_vector(cube, vector)

    def replace(self, cube: MemCube, *, vector: Vector | None = None, content: bool = False) -> None:
        if content:
            self._check_content(cube)
        before = self.tables.cubes[cube.uid]
        revision = cube.revision if content else before.content_revision
        self.tables.cubes[cube.uid] = StoredCube(replace(cube, usage=before.cube.usage), revision)
        if content:
            self._put_vector(cube, vector)
        if cube.delete_time is not None and cube.uid in self.tables.vectors:
            _enqueue(self.tables, cube.uid, cube.update_time)

    def set_usage(self, uid: str, usage: Usage) -> None:
        row = self.tables.cubes[uid]
        self.tables.cubes[uid] = replace(row, cube=replace(row.cube, usage=usage))

    def dimensions(self, embedder: str) -> int | None:
        return self.tables.dimensions.get(embedder)

    def pending(self) -> int:
        return len(self.tables.outbox)

    def audit(self, event: AuditEvent) -> None:
        self.tables.audit.append(event)

    def recall(self, owner: RequestOwner) -> Remembered | None:
        entry = self.tables.answers.get(_identity(owner))
        return entry[0] if entry is not None else None

    def remember(self, owner: RequestOwner, answer: Answer, *, now: datetime) -> None:
        self.tables.answers[_identity(owner)] = (Remembered(owner.key.body_sha256, answer), now)

    def _live(self) -> list[StoredCube]:
        return [row for row in self.tables.cubes.values() if row.cube.delete_time is None]

    def _check_content(self, cube: MemCube) -> None:
        holder = self.holder(cube.vault, cube.content_hash)
        if holder is not None and holder.cube.uid != cube.uid:
            raise DuplicateContent(
                f"{holder.cube.name} holds the same content; use that one.", existing=str(holder.cube.name)
            )

    def _put_vector(self, cube: MemCube, vector: Vector | None) -> None:
        if vector is not None:
            self.tables.dimensions.setdefault(vector.embedder, vector.values.size)
            self.tables.vectors[cube.uid] = (vector, cube.revision)
            _enqueue(self.tables, cube.uid, cube.update_time)


class MemoryLexicalIndex:
    """Implements `ports.LexicalIndex` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def search(self, query: str, scope: Scope, filter: CubeFilter, *, limit: int, now: datetime) -> list[Scored]:
        """Return the cubes that share terms with the query, best first."""
        wanted = list(dict.fromkeys(terms(query)))
        by_vault: dict[VaultName, list[MemCube]] = {}
        for row in self._catalog.tables.cubes.values():
            if row.cube.delete_time is None and scope.covers(row.cube.vault):
                by_vault.setdefault(row.cube.vault, []).append(row.cube)
        scored = [item for cubes in by_vault.values() for item in _bm25(cubes, wanted)]
        matching = {cube.uid for cubes in by_vault.values() for cube in cubes if filter.matches(cube, now=now)}
        kept = [item for item in scored if item.uid in matching]
        return sorted(kept, key=lambda item: (-item.score, item.uid))[:limit]


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
        taken: list[_Entry] = []
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
            _enqueue(self._catalog.tables, uid, now)
        return len(known)

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

    def _held(self, claim: Claim) -> list[_Entry]:
        outbox = self._catalog.tables.outbox
        found = [outbox.get(entry.sequence) for entry in claim.entries]
        return [entry for entry in found if entry is not None and entry.token == claim.token]


class MemoryVectorIndex:
    """Implements `ports.VectorIndex`. `away` makes it refuse every call."""

    def __init__(self) -> None:
        self.away = False
        self._points: dict[tuple[str, str], Point] = {}

    @property
    def healthy(self) -> bool:
        """Whether it answers now."""
        return not self.away

    @property
    def reason(self) -> str:
        """Why it is not healthy."""
        return "the vector index is away" if self.away else ""

    async def put(self, points: Sequence[Point]) -> None:
        """Add or replace."""
        self._check()
        self._points.update({(point.vector.embedder, point.uid): point for point in points})

    async def remove(self, embedder: str, uids: Sequence[str]) -> None:
        """Remove; unknown uids are left out."""
        self._check()
        for uid in uids:
            self._points.pop((embedder, uid), None)

    async def verify(self, embedder: str, dimensions: int, expected: Mapping[str, int]) -> Drift:
        """Compare with uid -> content revision of the catalogue."""
        self._check()
        held = {
            uid: point.revision
            for (name, uid), point in self._points.items()
            if name == embedder and point.vector.values.size == dimensions
        }
        missing = frozenset(uid for uid, revision in expected.items() if held.get(uid) != revision)
        return Drift(missing, frozenset(held.keys() - expected.keys()))

    async def rebuild(self, embedder: str, dimensions: int, batches: AsyncIterator[Sequence[Point]]) -> None:
        """Throw everything of an embedder away and make it again."""
        self._check()
        self._points = {
            key: point
            for key, point in self._points.items()
            if key[0] != embedder or point.vector.values.size != dimensions
        }
        async for points in batches:
            await self.put(points)

    async def search(self, query: Vector, scope: Scope, *, limit: int) -> list[DenseHit]:
        """Return the nearest cubes of the scope, best first, by cosine."""
        self._check()
        await asyncio.sleep(0)
        hits = [
            DenseHit(uid, point.revision, float(np.dot(point.vector.values, query.values)))
            for (embedder, uid), point in self._points.items()
            if embedder == query.embedder and point.vector.values.size == query.values.size
            if scope.covers(point.vault)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))[:limit]

    def _check(self) -> None:
        if self.away:
            raise DependencyUnavailable("The vector index does not answer.", dependency="milvus")


@dataclass(slots=True)
class MemorySpan:
    """Implements `ports.Span` by remembering."""

    name: str
    attributes: dict[str, str | bool | int | float] = field(default_factory=dict)
    links: list[TraceRef] = field(default_factory=list)

    def set_attribute(self, key: str, value: str | bool | int | float) -> None:
        """Remember an attribute."""
        self.attributes[key] = value

    def add_link(self, origin: TraceRef) -> None:
        """Remember a link."""
        self.links.append(origin)


class MemorySpans:
    """Implements `ports.Spans` by remembering."""

    def __init__(self) -> None:
        self.made: list[MemorySpan] = []

    def span(self, name: str) -> AbstractContextManager[MemorySpan]:
        """Return a span."""
        self.made.append(MemorySpan(name))
        return nullcontext(self.made[-1])


def _copied(tables: _Tables) -> _Tables:
    fresh = copy.copy(tables)
    for name in ("cubes", "vectors", "audit", "answers", "dimensions"):
        setattr(fresh, name, copy.copy(getattr(tables, name)))
    fresh.outbox = {sequence: copy.copy(entry) for sequence, entry in tables.outbox.items()}
    return fresh


def _enqueue(tables: _Tables, uid: str, now: datetime | None) -> None:
    assert now is not None
    tables.last_sequence += 1
    entry = _Entry(tables.last_sequence, uid, tables.vectors[uid][0].embedder, due=now)
    tables.outbox[entry.sequence] = entry


def _point(tables: _Tables, entry: _Entry) -> Point | None:
    cube, (vector, revision) = tables.cubes[entry.uid].cube, tables.vectors[entry.uid]
    if cube.delete_time is not None:
        return None
    return Point(entry.uid, cube.vault, revision, vector, entry.sequence)


def _identity(owner: RequestOwner) -> RequestOwner:
    return replace(owner, key=replace(owner.key, body_sha256=""))


def _position(row: StoredCube) -> tuple[datetime, str]:
    assert row.cube.create_time is not None
    return row.cube.create_time, row.cube.uid


def _bm25(cubes: Sequence[MemCube], wanted: Sequence[str]) -> list[Scored]:
    counted = {cube.uid: found for cube in cubes if (found := frequencies(cube))}
    if not counted:
        return []
    mean = sum(found.total() for found in counted.values()) / len(counted)
    holders = Counter(term for found in counted.values() for term in found)
    idf = {term: math.log(1 + (len(counted) - holders[term] + 0.5) / (holders[term] + 0.5)) for term in wanted}
    best = sum(idf.values())
    scored: list[Scored] = []
    for uid, found in counted.items():
        norm = K1 * (1 - B + B * found.total() / mean)
        score = sum(idf[term] * found[term] / (found[term] + norm) for term in wanted if term in found)
        if score:
            scored.append(Scored(uid, score / best))
    return scored
