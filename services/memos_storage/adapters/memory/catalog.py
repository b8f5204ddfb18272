"""The catalogue in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeVar

from memos_kernel.changes import ChangeKind, change_of
from memos_kernel.cube import Kind, MemCube, State, Usage
from memos_kernel.errors import DuplicateContent, ResourceExists
from memos_kernel.names import CubeName, PurgeName, SnapshotName, VaultName
from memos_kernel.quotas import VaultQuota, VaultUsage
from memos_kernel.states import COLD, COOLING, INJECTABLE, is_hot, is_over
from memos_storage.adapters.memory.blob_ledger import MemoryBlobs
from memos_storage.adapters.memory.changes import change
from memos_storage.adapters.memory.link_ledger import MemoryLinkLedger
from memos_storage.adapters.memory.purges import MemoryPurges
from memos_storage.adapters.memory.tables import Tables, copied, current_vectors, enqueue, usage_of, vectors_of
from memos_storage.domain.archives import History
from memos_storage.domain.filters import newest_first
from memos_storage.domain.purges import Doomed, Purge, Reach
from memos_storage.domain.quotas import check_quota
from memos_storage.domain.selection import Selection
from memos_storage.domain.snapshots import Snapshot
from memos_storage.domain.values import (
    Answer,
    AuditEvent,
    DenseHit,
    PastCube,
    PointId,
    Remembered,
    RequestOwner,
    Scope,
    StoredCube,
    ToldCube,
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
        transaction.finish(self.tables)
        self.tables = transaction.tables
        return result

    async def get(self, names: Sequence[CubeName], scope: Scope) -> dict[CubeName, StoredCube]:
        """Return the live cubes of the scope among the names."""
        wanted = set(names)
        return {row.cube.name: row for row in self._live() if row.cube.name in wanted and scope.covers(row.cube.vault)}

    async def derived(self, names: Sequence[CubeName], kind: Kind, scope: Scope, *, limit: int) -> list[StoredCube]:
        """Return cubes in use of the scope and kind that were made from some of these, newest first."""
        wanted = set(names)
        found = [
            row
            for row in self._live()
            if row.cube.kind is kind
            and row.cube.state in INJECTABLE
            and scope.covers(row.cube.vault)
            and any(ref.name in wanted for ref in row.cube.derived_from)
        ]
        return sorted(found, key=lambda row: newest_first(row.cube), reverse=True)[:limit]

    async def get_as_of(
        self, names: Sequence[CubeName], scope: Scope, *, as_of: datetime, now: datetime
    ) -> dict[CubeName, StoredCube]:
        """Return the cubes of the scope among the names as they were at a moment, those that were live then."""
        rows = [row for uid in self.tables.cubes if (row := self._then(uid, as_of, now)) is not None]
        return {row.cube.name: row for row in rows if row.cube.name in set(names) and scope.covers(row.cube.vault)}

    async def page(self, selection: Selection, *, after: tuple[datetime, str] | None, limit: int) -> list[StoredCube]:
        """Return live cubes, newest first."""
        rows = [row for row in self._selected(selection) if after is None or newest_first(row.cube) < after]
        return sorted(rows, key=lambda row: newest_first(row.cube), reverse=True)[:limit]

    async def history(
        self, name: CubeName, scope: Scope, *, before: int | None, limit: int, now: datetime
    ) -> list[StoredCube]:
        """Return revisions of a cube, newest first."""
        found = [
            row
            for uid, newest in self.tables.cubes.items()
            if newest.cube.name == name and scope.covers(newest.cube.vault) and not _is_past_purge(newest, now)
            for row in reversed(self.tables.history[uid])
            if before is None or row.cube.revision < before
        ]
        return found[:limit]

    async def altered(
        self, vault: VaultName, *, since: datetime, created_until: datetime, after: str, limit: int, now: datetime
    ) -> list[tuple[str, CubeName]]:
        """Return uid and name of cubes, deleted or not, that have changed since a moment, by uid from above `after`."""
        found = [
            (uid, row.cube.name)
            for uid, row in sorted(self.tables.cubes.items())
            if uid > after and row.cube.vault == vault and _recorded(row) > since
            if row.cube.create_time is not None and row.cube.create_time <= created_until
            if not _is_past_purge(row, now)
        ]
        return found[:limit]

    async def due(self, scope: Scope, *, at: datetime, limit: int) -> list[StoredCube]:
        """Return live cubes past their expire time that are neither expired nor frozen."""
        rows = [
            row
            for row in self._live()
            if scope.covers(row.cube.vault) and is_over(row.cube, now=at) and row.cube.state is not State.EXPIRED
        ]
        return sorted(rows, key=lambda row: (row.cube.expire_time, row.cube.uid))[:limit]

    async def aged(
        self, vault: VaultName, *, made_before: datetime | None, idle_since: datetime | None, limit: int
    ) -> list[StoredCube]:
        """Return live cubes that are not frozen, the oldest first."""
        rows = [row for row in self._live() if row.cube.vault == vault and not row.cube.frozen]
        if made_before is not None:
            rows = [row for row in rows if row.cube.create_time is not None and row.cube.create_time < made_before]
            return sorted(rows, key=lambda row: (row.cube.create_time, row.cube.uid))[:limit]
        if idle_since is None:
            return []
        rows = [row for row in rows if row.cube.state in COOLING and _recorded(row) < idle_since]
        rows = [row for row in rows if (row.cube.usage.last_used_time or _recorded(row)) < idle_since]
        return sorted(rows, key=lambda row: (_recorded(row), row.cube.uid))[:limit]

    async def usage(self, vault: VaultName) -> VaultUsage:
        """Return all that is counted of a vault."""
        return usage_of(self.tables, vault)

    async def eligible(self, uids: Sequence[str], selection: Selection) -> dict[str, int]:
        """Return uid -> content revision of those that are selected; of the past, those that have not changed since."""
        found = await self.resolve(uids, selection)
        return {uid: row.content_revision for uid, row in found.items() if self._is_newest(row)}

    async def resolve(self, uids: Sequence[str], selection: Selection) -> dict[str, StoredCube]:
        """Return those that are selected, whole; of the past, those that have changed since as well."""
        wanted = set(uids)
        return {row.cube.uid: row for row in self._selected(selection) if row.cube.uid in wanted}

    async def told(self, uids: Sequence[str], selection: Selection, embedder: str) -> list[ToldCube]:
        """Return those that `resolve` returns of the present, with the codes of the tokens of their texts."""
        found = await self.resolve(uids, selection)
        vectors = {uid: current_vectors(self.tables, uid).get(embedder) for uid in found}
        return [
            ToldCube(row.cube, (vector.tokens if (vector := vectors[uid]) is not None else None) or b"")
            for uid, row in found.items()
        ]

    async def nearest(self, query: Vector, selection: Selection, *, bound: int, limit: int) -> list[DenseHit] | None:
        """Return the nearest of the `eligible` cubes, exactly; None if more than `bound` are."""
        rows = {row.cube.uid: row for row in self._selected(selection) if self._is_newest(row)}
        scores = await self.cosines(query, list(rows))
        if len(scores) > bound:
            return None
        hits = [DenseHit(uid, rows[uid].content_revision, score) for uid, score in scores.items()]
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))[:limit]

    async def changed(self, selection: Selection, *, embedder: str | None, bound: int) -> list[PastCube] | None:
        """Return what is selected of the past and has changed since; None if more than `bound` of the scope have."""
        assert selection.as_of is not None
        then = [self._then(uid, selection.as_of, selection.now) for uid in self.tables.cubes]
        old = [row for row in then if row is not None and not self._is_newest(row)]
        old = [row for row in old if selection.scope.covers(row.cube.vault)]
        if len(old) > bound:
            return None
        return [PastCube(row, self._vector_of(row, embedder)) for row in old if selection.matches(row.cube)]

    async def cosines(self, query: Vector, uids: Sequence[str]) -> dict[str, float]:
        """Return the cosine of the query with each cube that has a vector of its embedder."""
        held = {uid: current_vectors(self.tables, uid).get(query.embedder) for uid in uids}
        return {uid: float(vector.values @ query.values) for uid, vector in held.items() if vector is not None}

    async def embedder(self) -> str:
        """Return the embedder that searches go by; empty as long as nothing has a vector."""
        return self.tables.embedder

    async def snapshot(self, name: SnapshotName, scope: Scope) -> Snapshot | None:
        """Return a snapshot of a vault of the scope."""
        found = self.tables.snapshots.get(name)
        return found if found is not None and scope.covers(found.vault) else None

    async def snapshots(self, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int) -> list[Snapshot]:
        """Return the snapshots of a vault, the latest moment first."""
        found = [one for one in self.tables.snapshots.values() if one.vault == vault]
        found = [one for one in found if after is None or (one.as_of, one.name.id) < after]
        return sorted(found, key=lambda one: (one.as_of, one.name.id), reverse=True)[:limit]

    async def purge(self, name: PurgeName, scope: Scope) -> Purge | None:
        """Return a purge of a vault of the scope."""
        found = self.tables.purges.get(name)
        return found if found is not None and scope.covers(found.vault) else None

    async def purges(self, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int) -> list[Purge]:
        """Return the purges of a vault, the newest first."""
        found = [one for one in self.tables.purges.values() if one.vault == vault]
        found = [one for one in found if after is None or (one.create_time, one.name.id) < after]
        return sorted(found, key=lambda one: (one.create_time, one.name.id), reverse=True)[:limit]

    async def purged(self, name: PurgeName) -> tuple[list[Doomed], dict[str, list[PointId]]]:
        """Return the cubes of a purge, and by embedder the points that an index may have held of them."""
        points: dict[str, list[PointId]] = {}
        for embedder, id in self.tables.purge_points.get(name, ()):
            points.setdefault(embedder, []).append(id)
        items = self.tables.purge_cubes.get(name, {}).values()
        return sorted(items, key=lambda item: item.name.id), points

    async def scrub(self) -> Reach | None:
        """Free the database's files of what was deleted: there are none."""
        return Reach("database files", "There are none.")

    async def meta(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return a value of the installation, made on first use."""
        return self.tables.meta.setdefault(name, make())

    def _live(self) -> list[StoredCube]:
        return [row for row in self.tables.cubes.values() if row.cube.delete_time is None]

    def _selected(self, selection: Selection) -> list[StoredCube]:
        if selection.as_of is None:
            return [row for row in self._live() if selection.matches(row.cube)]
        then = [self._then(uid, selection.as_of, selection.now) for uid in self.tables.cubes]
        return [row for row in then if row is not None and selection.matches(row.cube)]

    def _then(self, uid: str, as_of: datetime, now: datetime) -> StoredCube | None:
        """Return a cube as it was, with its present use; None if it was not there or is past its purge time."""
        newest = self.tables.cubes[uid]
        rows = [row for row in self.tables.history[uid] if _recorded(row) <= as_of]
        if not rows or rows[-1].cube.delete_time is not None or _is_past_purge(newest, now):
            return None
        return replace(rows[-1], cube=replace(rows[-1].cube, usage=newest.cube.usage))

    def _is_newest(self, row: StoredCube) -> bool:
        return self.tables.cubes[row.cube.uid].cube.revision == row.cube.revision

    def _vector_of(self, row: StoredCube, embedder: str | None) -> Vector | None:
        return self.tables.vectors.get((row.cube.uid, row.content_revision), {}).get(embedder or "")


class MemoryTransaction:
    """Implements `ports.Transaction`."""

    def __init__(self, tables: Tables) -> None:
        self.tables = tables
        self.blobs = MemoryBlobs(tables)
        self.purges = MemoryPurges(tables)
        self.links = MemoryLinkLedger(tables)
        self._quotas: dict[VaultName, VaultQuota] = {}

    def live(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is not deleted."""
        return next((row for row in self._live() if row.cube.name == name), None)

    def deleted(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is deleted."""
        doomed = {uid for items in self.tables.purge_cubes.values() for uid in items}
        rows = (row for uid, row in self.tables.cubes.items() if row.cube.delete_time is not None and uid not in doomed)
        return next((row for row in rows if row.cube.name == name), None)

    def revision(self, uid: str, revision: int) -> StoredCube | None:
        """Return a cube as a revision stored it, deleted or not."""
        return next((row for row in self.tables.history.get(uid, ()) if row.cube.revision == revision), None)

    def at(self, uid: str, moment: datetime) -> StoredCube | None:
        """Return a cube in the revision that it had at a moment of record time, deleted or not."""
        then = [row for row in self.tables.history.get(uid, ()) if _recorded(row) <= moment]
        return then[-1] if then else None

    def vector(self, uid: str, content_revision: int) -> Vector | None:
        """Return the vector of the text that came with a revision, deleted or not."""
        return next(iter(vectors_of(self.tables, uid, content_revision)), None)

    def add_vector(self, tenant: str, id: PointId, vector: Vector, *, now: datetime) -> bool:
        """Store another embedder's vector of a text, or the tokens that it lacks; False if there is nothing to add."""
        newest = self.present(id.uid)
        if newest is None or newest.cube.name.tenant != tenant:
            return False
        known = self.tables.vectors.get(id, {}).get(vector.embedder)
        if known is not None:
            fresh = known.tokens is None and vector.tokens is not None
            if fresh:
                self.tables.vectors[id][vector.embedder] = replace(known, tokens=vector.tokens)
            return fresh
        brought = [
            row for row in self.tables.history[id.uid] if row.cube.revision == row.content_revision == id.revision
        ]
        if not brought:
            return False
        self._keep_vector(brought[0].cube, vector)
        if is_hot(newest.cube) and newest.content_revision == id.revision:
            enqueue(self.tables, id.uid, vector.embedder, now)
        return True

    def embedder(self) -> str:
        """Return the embedder that searches go by; empty as long as nothing has a vector."""
        return self.tables.embedder

    def adopt_embedder(self, embedder: str) -> None:
        """Make another embedder the one that searches go by."""
        self.tables.embedder = embedder

    def present(self, uid: str) -> StoredCube | None:
        """Return a cube, deleted or not, that is not being erased."""
        doomed = {doomed for items in self.tables.purge_cubes.values() for doomed in items}
        return None if uid in doomed else self.tables.cubes.get(uid)

    def holder(self, vault: VaultName, content_hash: str) -> StoredCube | None:
        """Return the live cube of the vault that has this content."""
        rows = (row for row in self._live() if row.cube.vault == vault)
        return next((row for row in rows if row.cube.content_hash == content_hash), None)

    def claim(self, cubes: Sequence[MemCube]) -> None:
        """Do nothing: here, to insert cubes one by one costs no more."""

    def release(self, cube: MemCube) -> None:
        """Do nothing."""

    def insert(self, cube: MemCube, *, vector: Vector | None) -> None:
        """Add a cube."""
        self._check_content(cube)
        self._check_name(cube)
        self._store(StoredCube(cube, cube.revision))
        if vector is not None:
            self._keep_vector(cube, vector)
            if is_hot(cube):
                enqueue(self.tables, cube.uid, vector.embedder, cube.update_time)
        self.tables.changes.append(change(ChangeKind.CREATED, cube))

    def replace(self, cube: MemCube, *, vector: Vector | None = None, content: bool = False) -> None:
        """Store a new revision."""
        if content:
            self._check_content(cube)
        before = self.tables.cubes[cube.uid]
        kept = [] if vector is None else [vector]
        if not content and is_hot(cube) and before.cube.state in COLD:
            kept, content = list(current_vectors(self.tables, cube.uid).values()), True
        gone = current_vectors(self.tables, cube.uid) if content or not is_hot(cube) else {}
        revision = cube.revision if content else before.content_revision
        self._store(StoredCube(replace(cube, usage=before.cube.usage), revision))
        for one in kept:
            self._keep_vector(cube, one)
        fresh = {one.embedder for one in kept} if is_hot(cube) else set()
        for embedder in sorted(gone.keys() | fresh):
            leaves = before.content_revision if embedder in gone else None
            enqueue(self.tables, cube.uid, embedder, cube.update_time, gone=leaves)
        kind = change_of(cube, was_deleted=before.cube.delete_time is not None)
        self.tables.changes.append(change(kind, cube))

    def adopt(self, history: History, *, now: datetime) -> None:
        """Add a cube with all these revisions, or the revisions that follow those that it has."""
        newest, before = history[-1], self.tables.cubes.get(history[-1].cube.uid)
        cube = newest.cube
        if cube.delete_time is None:
            self._check_content(cube)
        if before is None:
            self._check_name(cube)
        usage = cube.usage if before is None else before.cube.usage
        gone = current_vectors(self.tables, cube.uid)
        for item in history:
            self._store(StoredCube(replace(item.cube, usage=usage), item.content_revision))
            for vector in item.vectors:
                self._keep_vector(item.cube, vector)
        text = 0 if before is None else before.content_revision
        moved = newest.content_revision != text
        fresh = current_vectors(self.tables, cube.uid) if moved and is_hot(cube) else {}
        leaves = gone if moved or not is_hot(cube) else {}
        for embedder in sorted(fresh.keys() | leaves.keys()):
            enqueue(self.tables, cube.uid, embedder, now, gone=text if embedder in leaves else None)
        kind = (
            ChangeKind.CREATED if before is None else change_of(cube, was_deleted=before.cube.delete_time is not None)
        )
        self.tables.changes.append(replace(change(kind, cube), time=now))

    def set_usage(self, uid: str, usage: Usage) -> None:
        """Store the usage."""
        row = self.tables.cubes[uid]
        self.tables.cubes[uid] = replace(row, cube=replace(row.cube, usage=usage))

    def usage(self, vault: VaultName) -> VaultUsage:
        """Return cubes and bytes of a vault, as far as this transaction knows."""
        return usage_of(self.tables, vault)

    def limit(self, vault: VaultName, quota: VaultQuota) -> None:
        """Keep the vault from growing beyond its limit with this transaction."""
        self._quotas[vault] = quota

    def finish(self, tables: Tables) -> None:
        """Compare with the tables of before."""
        for vault, quota in self._quotas.items():
            before, after = usage_of(tables, vault), usage_of(self.tables, vault)
            check_quota(vault, before, quota, cubes=after.cubes - before.cubes, size=after.bytes - before.bytes)

    def dimensions(self, embedder: str) -> int | None:
        """Return the number of elements of an embedder's vectors."""
        return self.tables.dimensions.get(embedder)

    def pending(self) -> int:
        """Return how many entries the outbox has."""
        return len(self.tables.outbox)

    def snapshot(self, name: SnapshotName) -> Snapshot | None:
        """Return a snapshot."""
        return self.tables.snapshots.get(name)

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot."""
        if snapshot.name in self.tables.snapshots:
            raise ResourceExists(f"{snapshot.name} is taken; choose another id.", name=str(snapshot.name))
        self.tables.snapshots[snapshot.name] = snapshot

    def remove_snapshot(self, name: SnapshotName) -> None:
        """Forget a snapshot."""
        self.tables.snapshots.pop(name, None)

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

    def _check_name(self, cube: MemCube) -> None:
        if any(row.cube.name == cube.name for row in self.tables.cubes.values()):
            raise ResourceExists(f"{cube.name} is taken; choose another id.", name=str(cube.name))

    def _check_content(self, cube: MemCube) -> None:
        holder = self.holder(cube.vault, cube.content_hash)
        if holder is not None and holder.cube.uid != cube.uid:
            raise DuplicateContent(
                f"{holder.cube.name} holds the same content; use that one.", existing=str(holder.cube.name)
            )

    def _store(self, row: StoredCube) -> None:
        self.tables.cubes[row.cube.uid] = row
        self.tables.history[row.cube.uid] = (*self.tables.history.get(row.cube.uid, ()), row)

    def _keep_vector(self, cube: MemCube, vector: Vector) -> None:
        self.tables.dimensions.setdefault(vector.embedder, vector.values.size)
        self.tables.embedder = self.tables.embedder or vector.embedder
        held = self.tables.vectors.get((cube.uid, cube.revision), {})
        self.tables.vectors[cube.uid, cube.revision] = {**held, vector.embedder: vector}


def _identity(owner: RequestOwner) -> RequestOwner:
    return replace(owner, key=replace(owner.key, body_sha256=""))


def _recorded(row: StoredCube) -> datetime:
    assert row.cube.update_time is not None
    return row.cube.update_time


def _is_past_purge(newest: StoredCube, now: datetime) -> bool:
    return newest.cube.purge_time is not None and newest.cube.purge_time <= now
