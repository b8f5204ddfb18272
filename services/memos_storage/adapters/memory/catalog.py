"""The catalogue in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from memos_kernel.cube import MemCube, State, Usage
from memos_kernel.errors import DuplicateContent, ResourceExists
from memos_kernel.names import CubeName, VaultName
from memos_kernel.states import is_over
from memos_storage.adapters.memory.tables import Tables, copied, enqueue
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import (
    Answer,
    AuditEvent,
    DenseHit,
    Remembered,
    RequestOwner,
    Scope,
    StoredCube,
    Vector,
)
from memos_storage.ports import Transaction

T = TypeVar("T")


class MemoryCatalog:
    """Implements `ports.Catalog`; a command works on a copy, which takes the place of the tables if it succeeds."""

    def __init__(self) -> None:
        self.tables = Tables()

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Run a command in a transaction."""
        transaction = MemoryTransaction(copied(self.tables))
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
        """Return live cubes past their expire time that are neither expired nor frozen."""
        rows = [
            row
            for row in self._live()
            if scope.covers(row.cube.vault) and is_over(row.cube, now=at) and row.cube.state is not State.EXPIRED
        ]
        return sorted(rows, key=lambda row: (row.cube.expire_time, row.cube.uid))[:limit]

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


class MemoryTransaction:
    """Implements `ports.Transaction`."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables

    def live(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is not deleted."""
        return next((row for row in self._live() if row.cube.name == name), None)

    def deleted(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is deleted."""
        rows = (row for row in self.tables.cubes.values() if row.cube.delete_time is not None)
        return next((row for row in rows if row.cube.name == name), None)

    def vector(self, uid: str) -> Vector | None:
        """Return the vector of a cube's newest text, deleted or not."""
        held = self.tables.vectors.get(uid)
        return None if held is None else held[0]

    def holder(self, vault: VaultName, content_hash: str) -> StoredCube | None:
        """Return the live cube of the vault that has this content."""
        rows = (row for row in self._live() if row.cube.vault == vault)
        return next((row for row in rows if row.cube.content_hash == content_hash), None)

    def insert(self, cube: MemCube, *, vector: Vector | None) -> None:
        """Add a cube."""
        self._check_content(cube)
        if any(row.cube.name == cube.name for row in self.tables.cubes.values()):
            raise ResourceExists(f"{cube.name} is taken; choose another id.", name=str(cube.name))
        self.tables.cubes[cube.uid] = StoredCube(cube, cube.revision)
        self._put_vector(cube, vector)

    def replace(self, cube: MemCube, *, vector: Vector | None = None, content: bool = False) -> None:
        """Store a new revision."""
        if content:
            self._check_content(cube)
        before = self.tables.cubes[cube.uid]
        revision = cube.revision if content else before.content_revision
        self.tables.cubes[cube.uid] = StoredCube(replace(cube, usage=before.cube.usage), revision)
        if content:
            self._put_vector(cube, vector)
        if cube.delete_time is not None and cube.uid in self.tables.vectors:
            vector, revision = self.tables.vectors[cube.uid]
            enqueue(self.tables, cube.uid, vector.embedder, cube.update_time, gone=revision)

    def set_usage(self, uid: str, usage: Usage) -> None:
        """Store the usage."""
        row = self.tables.cubes[uid]
        self.tables.cubes[uid] = replace(row, cube=replace(row.cube, usage=usage))

    def dimensions(self, embedder: str) -> int | None:
        """Return the number of elements of an embedder's vectors."""
        return self.tables.dimensions.get(embedder)

    def pending(self) -> int:
        """Return how many entries the outbox has."""
        return len(self.tables.outbox)

    def audit(self, event: AuditEvent) -> None:
        """Record an event for governance."""
        self.tables.audit.append(event)

    def recall(self, owner: RequestOwner) -> Remembered | None:
        """Return what a request id was answered with."""
        entry = self.tables.answers.get(_identity(owner))
        return entry[0] if entry is not None else None

    def remember(self, owner: RequestOwner, answer: Answer, *, now: datetime) -> None:
        """Store what a request id is answered with."""
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
            before, gone = self.tables.vectors.get(cube.uid, (vector, None))
            self.tables.vectors[cube.uid] = (vector, cube.revision)
            if before.embedder != vector.embedder:
                enqueue(self.tables, cube.uid, before.embedder, cube.update_time, gone=gone)
                gone = None
            enqueue(self.tables, cube.uid, vector.embedder, cube.update_time, gone=gone)


def _identity(owner: RequestOwner) -> RequestOwner:
    return replace(owner, key=replace(owner.key, body_sha256=""))


def _position(row: StoredCube) -> tuple[datetime, str]:
    assert row.cube.create_time is not None
    return row.cube.create_time, row.cube.uid
