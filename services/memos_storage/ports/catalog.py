"""The catalogue: the record of everything."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from memos_kernel.cube import Kind, MemCube, Usage
from memos_kernel.names import CubeName, PurgeName, SnapshotName, VaultName
from memos_kernel.quotas import VaultQuota, VaultUsage
from memos_storage.domain.archives import History
from memos_storage.domain.purges import Doomed, Purge, Reach
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
from memos_storage.ports.blobs import BlobLedger
from memos_storage.ports.purges import PurgeLedger
from memos_storage.ports.supersession import LinkLedger

T = TypeVar("T")


class Transaction(Protocol):
    """The catalogue inside one transaction. What a method of it raises undoes the whole command."""

    def live(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is not deleted."""
        ...

    def deleted(self, name: CubeName) -> StoredCube | None:
        """Return a cube that is deleted."""
        ...

    def revision(self, uid: str, revision: int) -> StoredCube | None:
        """Return a cube as a revision stored it, deleted or not."""
        ...

    def vector(self, uid: str, content_revision: int) -> Vector | None:
        """Return the vector of the text that came with a revision; of several that of the current embedder."""
        ...

    def add_vector(self, tenant: str, id: PointId, vector: Vector, *, now: datetime) -> bool:
        """Store another embedder's vector of a text of a tenant, or the tokens that one lacks; False if none is new.

        If the cube has that text now and is not deleted, the vector index gets it.
        """
        ...

    def embedder(self) -> str:
        """Return the embedder that searches go by; empty as long as nothing has a vector."""
        ...

    def adopt_embedder(self, embedder: str) -> None:
        """Make another embedder the one that searches go by."""
        ...

    def at(self, uid: str, moment: datetime) -> StoredCube | None:
        """Return a cube in the revision that it had at a moment of record time, deleted or not."""
        ...

    def present(self, uid: str) -> StoredCube | None:
        """Return a cube, deleted or not, that is not being erased."""
        ...

    def holder(self, vault: VaultName, content_hash: str) -> StoredCube | None:
        """Return the live cube of the vault that has this content."""
        ...

    def claim(self, cubes: Sequence[MemCube]) -> None:
        """Take the places of new cubes at once, if nothing stands in their way; `insert` costs less then.

        Each of the cubes has to be inserted or released afterwards, those of equal content in the order given here.
        """
        ...

    def release(self, cube: MemCube) -> None:
        """Give up the place of a cube that was claimed; nothing happens if it has none."""
        ...

    def insert(self, cube: MemCube, *, vector: Vector | None) -> None:
        """Add a cube with its first revision, terms and outbox entry. It can be caught and gone on from:

        Raises:
            DuplicateContent: a live cube of the vault holds the same content.
            ResourceExists: the tenant has a cube of that name.
        """
        ...

    def replace(self, cube: MemCube, *, vector: Vector | None = None, content: bool = False) -> None:
        """Store a new revision.

        `content`: the text changed, or comes back after a deletion; `vector` is that of this text, if it has one. A
        cube that was cold and is no more counts as one whose text comes back, with its vectors.

        Raises:
            DuplicateContent: a live cube of the vault holds the same content.
        """
        ...

    def adopt(self, history: History, *, now: datetime) -> None:
        """Add a cube with all these revisions, or the revisions that follow those that it has.

        It is told of as a change of now. It can be caught and gone on from:

        Raises:
            DuplicateContent: a live cube of the vault holds the content of its newest revision.
            ResourceExists: the tenant has another cube of that name, or the installation one of that uid.
        """
        ...

    def set_usage(self, uid: str, usage: Usage) -> None:
        """Store the usage; makes no revision."""
        ...

    def usage(self, vault: VaultName) -> VaultUsage:
        """Return cubes and bytes of a vault, as far as this transaction knows."""
        ...

    def limit(self, vault: VaultName, quota: VaultQuota) -> None:
        """Keep the vault from growing beyond its limit with this transaction, which fails at its end if it does.

        Others may let it grow meanwhile, so only that end tells for certain.
        """
        ...

    def dimensions(self, embedder: str) -> int | None:
        """Return the number of elements of an embedder's vectors, or None if there are none yet."""
        ...

    def pending(self) -> int:
        """Return how many entries the outbox has."""
        ...

    def snapshot(self, name: SnapshotName) -> Snapshot | None:
        """Return a snapshot."""
        ...

    def add_snapshot(self, snapshot: Snapshot) -> None:
        """Store a snapshot.

        Raises:
            ResourceExists: the tenant has one of that name.
        """
        ...

    def remove_snapshot(self, name: SnapshotName) -> None:
        """Forget a snapshot."""
        ...

    @property
    def blobs(self) -> BlobLedger:
        """The blobs."""
        ...

    @property
    def purges(self) -> PurgeLedger:
        """The purges."""
        ...

    @property
    def links(self) -> LinkLedger:
        """What statements do to earlier ones."""
        ...

    def audit(self, event: AuditEvent) -> None:
        """Record an event for governance."""
        ...

    def recall(self, owner: RequestOwner) -> Remembered | None:
        """Return what a request id was answered with."""
        ...

    def remember(self, owner: RequestOwner, answer: Answer, *, now: datetime) -> None:
        """Store what a request id is answered with."""
        ...


class Catalog(Protocol):
    """The record of everything. What `write` returned survives a power loss and is seen by every later read."""

    async def write(self, command: Callable[[Transaction], T]) -> T:
        """Run a command in a transaction and return its result once it is durable.

        The command runs in a thread; it may be run with other commands in one transaction, but its failure undoes
        only itself.

        Raises:
            Overloaded: too many commands wait.
            StoreFull: the disk is full; nothing was stored.
            QuotaExceeded: a vault would hold more than it may; nothing was stored.
        """
        ...

    async def get(self, names: Sequence[CubeName], scope: Scope) -> dict[CubeName, StoredCube]:
        """Return the live cubes of the scope among the names."""
        ...

    async def derived(self, names: Sequence[CubeName], kind: Kind, scope: Scope, *, limit: int) -> list[StoredCube]:
        """Return cubes in use of the scope and kind that were made from some of these, newest first."""
        ...

    async def get_as_of(
        self, names: Sequence[CubeName], scope: Scope, *, as_of: datetime, now: datetime
    ) -> dict[CubeName, StoredCube]:
        """Return the cubes of the scope among the names as they were at a moment, those that were live then.

        What was deleted since stays readable until its purge time.
        """
        ...

    async def page(self, selection: Selection, *, after: tuple[datetime, str] | None, limit: int) -> list[StoredCube]:
        """Return live cubes, newest first; `after` is (create time, uid) of the last one of the page before."""
        ...

    async def history(
        self, name: CubeName, scope: Scope, *, before: int | None, limit: int, now: datetime
    ) -> list[StoredCube]:
        """Return revisions of a cube, newest first, below `before`; a deleted one has them until its purge time."""
        ...

    async def altered(
        self, vault: VaultName, *, since: datetime, created_until: datetime, after: str, limit: int, now: datetime
    ) -> list[tuple[str, CubeName]]:
        """Return uid and name of cubes, deleted or not, that have changed since a moment, by uid from above `after`.

        Those past their purge time, and those created later than `created_until`, are left out.
        """
        ...

    async def due(self, scope: Scope, *, at: datetime, limit: int) -> list[StoredCube]:
        """Return live cubes past their expire time that are neither expired nor frozen."""
        ...

    async def aged(
        self, vault: VaultName, *, made_before: datetime | None, idle_since: datetime | None, limit: int
    ) -> list[StoredCube]:
        """Return live cubes that are not frozen, the oldest first.

        `made_before`: those that were made before. `idle_since`: those that are in use, and were neither changed nor
        used since.
        """
        ...

    async def usage(self, vault: VaultName) -> VaultUsage:
        """Return all that is counted of a vault."""
        ...

    async def eligible(self, uids: Sequence[str], selection: Selection) -> dict[str, int]:
        """Return uid -> content revision of those that are selected; of the past, those that have not changed since."""
        ...

    async def resolve(self, uids: Sequence[str], selection: Selection) -> dict[str, StoredCube]:
        """Return those that are selected, whole; of the past, those that have changed since as well."""
        ...

    async def told(self, uids: Sequence[str], selection: Selection, embedder: str) -> list[ToldCube]:
        """Return those that `resolve` returns of the present, with the codes of the tokens of their texts."""
        ...

    async def nearest(self, query: Vector, selection: Selection, *, bound: int, limit: int) -> list[DenseHit] | None:
        """Return the nearest of the `eligible` cubes, exactly; None if more than `bound` are."""
        ...

    async def changed(self, selection: Selection, *, embedder: str | None, bound: int) -> list[PastCube] | None:
        """Return what is selected of the past and has changed since; None if more than `bound` of the scope have."""
        ...

    async def cosines(self, query: Vector, uids: Sequence[str]) -> dict[str, float]:
        """Return the cosine of the query with each cube that has a vector of its embedder."""
        ...

    async def embedder(self) -> str:
        """Return the embedder that searches go by; empty as long as nothing has a vector."""
        ...

    async def snapshot(self, name: SnapshotName, scope: Scope) -> Snapshot | None:
        """Return a snapshot of a vault of the scope."""
        ...

    async def snapshots(self, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int) -> list[Snapshot]:
        """Return the snapshots of a vault, the latest moment first; `after` is (as of, id) of the last one before."""
        ...

    async def purge(self, name: PurgeName, scope: Scope) -> Purge | None:
        """Return a purge of a vault of the scope."""
        ...

    async def purges(self, vault: VaultName, *, after: tuple[datetime, str] | None, limit: int) -> list[Purge]:
        """Return the purges of a vault, the newest first; `after` is (create time, id) of the last one before."""
        ...

    async def purged(self, name: PurgeName) -> tuple[list[Doomed], dict[str, list[PointId]]]:
        """Return the cubes of a purge, and by embedder the points that an index may have held of them."""
        ...

    async def scrub(self) -> Reach | None:
        """Free the database's files of what was deleted; None if a reader of an old moment is in the way."""
        ...

    async def meta(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return a value of the installation, made on first use."""
        ...
