"""What the use cases need, as protocols. Every adapter of a port passes the same suite in tests/contract."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol, TypeVar

from memos_kernel.changes import Change
from memos_kernel.cube import BlobRef, MemCube, TraceRef, Usage
from memos_kernel.names import CubeName, PurgeName, SnapshotName, VaultName
from memos_storage.domain.feed import Place
from memos_storage.domain.purges import Doomed, Purge, Reach, Receipt
from memos_storage.domain.selection import Selection
from memos_storage.domain.snapshots import Snapshot
from memos_storage.domain.values import (
    Answer,
    AuditEvent,
    Claim,
    DenseHit,
    PastCube,
    Point,
    PointId,
    Remembered,
    RequestOwner,
    Scope,
    Scored,
    StoredCube,
    Vector,
    Waiting,
)

T = TypeVar("T")


class PurgeLedger(Protocol):
    """The purges inside a transaction. Cubes of a purge that goes on are selected for no other."""

    def hold(self, vault: VaultName) -> None:
        """Wait for those who store something in the vault, and keep others from it until the transaction ends."""
        ...

    def named(self, vault: VaultName, names: Sequence[CubeName]) -> list[MemCube]:
        """Return the cubes of a vault among the names, deleted or not."""
        ...

    def selected(self, selection: Selection, *, limit: int) -> list[MemCube]:
        """Return cubes that the filter matches, deleted or not, whatever their states say."""
        ...

    def due(self, tenant: str, *, now: datetime, limit: int) -> list[MemCube]:
        """Return deleted cubes of one vault whose purge time has come."""
        ...

    def derived(self, names: Sequence[CubeName]) -> list[MemCube]:
        """Return the cubes of the tenant that were made directly from these, deleted or not."""
        ...

    def told(self, uids: Sequence[str]) -> Iterator[MemCube]:
        """Return every revision of these cubes."""
        ...

    def add(self, purge: Purge, uids: Sequence[str]) -> None:
        """Store a purge, and take its cubes out of every read of now and of the past.

        Raises:
            StateConflict: one has been frozen meanwhile.
        """
        ...

    def bury(self, name: PurgeName, tombstones: Set[bytes]) -> None:
        """Keep these from being stored until the purge is lifted."""
        ...

    def find(self, name: PurgeName) -> Purge | None:
        """Return a purge."""
        ...

    def unfinished(self, tenant: str, *, before: datetime) -> Purge | None:
        """Return the oldest purge that was asked for before a moment and is not done."""
        ...

    def erase(self, name: PurgeName, *, limit: int, now: datetime) -> list[Doomed]:
        """Erase cubes from every table, and return them; those that a worker of the outbox holds stay for later."""
        ...

    def remaining(self, name: PurgeName) -> int:
        """Return how many cubes are still to be erased."""
        ...

    def set_erased(self, name: PurgeName) -> None:
        """Take note that the catalogue has none of the cubes any more."""
        ...

    def finish(self, name: PurgeName, receipt: Receipt, *, now: datetime) -> None:
        """Store the receipt, and forget what it was needed for; if it is done already, nothing."""
        ...

    def lift(self, name: PurgeName, *, now: datetime) -> None:
        """Forget the tombstones of a purge."""
        ...

    def stopped(self, vault: VaultName, tombstones: Set[bytes]) -> PurgeName | None:
        """Return a purge that keeps one of these from being stored in the vault; true until the transaction ends."""
        ...


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
        """Return the vector of the text that came with a revision, deleted or not."""
        ...

    def at(self, uid: str, moment: datetime) -> StoredCube | None:
        """Return a cube in the revision that it had at a moment of record time, deleted or not."""
        ...

    def holder(self, vault: VaultName, content_hash: str) -> StoredCube | None:
        """Return the live cube of the vault that has this content."""
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

        `content`: the text changed, or comes back after a deletion; `vector` is that of this text, if it has one.

        Raises:
            DuplicateContent: a live cube of the vault holds the same content.
        """
        ...

    def set_usage(self, uid: str, usage: Usage) -> None:
        """Store the usage; makes no revision."""
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
    def purges(self) -> PurgeLedger:
        """The purges."""
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
        """
        ...

    async def get(self, names: Sequence[CubeName], scope: Scope) -> dict[CubeName, StoredCube]:
        """Return the live cubes of the scope among the names."""
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

    async def eligible(self, uids: Sequence[str], selection: Selection) -> dict[str, int]:
        """Return uid -> content revision of those that are selected; of the past, those that have not changed since."""
        ...

    async def resolve(self, uids: Sequence[str], selection: Selection) -> dict[str, StoredCube]:
        """Return those that are selected, whole; of the past, those that have changed since as well."""
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


class ChangeFeed(Protocol):
    """What happened in a vault, in the order in which it became visible."""

    async def latest(self, vault: VaultName) -> Place:
        """Return the place of the newest change; all that is not told by then comes behind it."""
        ...

    async def after(self, vault: VaultName, place: Place, *, limit: int, now: datetime) -> list[tuple[Place, Change]]:
        """Return the changes behind a place, in order, with their cubes as far as they can be read."""
        ...

    async def forget(self, *, before: datetime) -> int:
        """Remove changes that were recorded before a moment; returns how many."""
        ...


class Commit(Protocol):
    """A commit that may come."""

    async def wait(self, seconds: float) -> float:
        """Wait for it at most so long, and return the seconds that have passed."""
        ...


class Commits(Protocol):
    """Tells of commits of this process, so that nobody has to look all the time."""

    def noticing(self) -> AbstractContextManager[Commit]:
        """Return what notices every commit from here on."""
        ...


class LexicalIndex(Protocol):
    """Terms of the texts, written in the catalogue's transaction. Statistics are per vault."""

    async def search(self, query: str, selection: Selection, *, limit: int) -> list[Scored]:
        """Return the `eligible` cubes that share terms with the query, best first; scores from 0 to 1."""
        ...

    async def score(self, query: str, cubes: Sequence[MemCube]) -> list[Scored]:
        """Return those of these cubes that share terms with the query, scored as if their texts were in the index."""
        ...


class Outbox(Protocol):
    """Changes that the vector index has to follow, oldest first."""

    async def waiting(self, *, known: Set[int]) -> Waiting:
        """Return what waits now, with the points of the entries that are not `known`, all of one moment."""
        ...

    async def size(self) -> int:
        """Return how many entries wait."""
        ...

    async def claim(self, *, limit: int, lease_seconds: float, now: datetime) -> Claim:
        """Lease the oldest entries. None of a cube is leased while an older one of it is held by somebody else."""
        ...

    async def settle(self, claim: Claim) -> bool:
        """Remove the entries of a claim; False if another worker has taken one over, and then nothing is removed."""
        ...

    async def postpone(self, claim: Claim, *, until: datetime) -> None:
        """Give the entries back after a failure, to be taken again from `until` on."""
        ...

    async def points(self, embedder: str, uids: Sequence[str]) -> list[Point]:
        """Return the vectors that these cubes have now, deleted cubes left out."""
        ...

    def indexed(self) -> AsyncIterator[Sequence[Point]]:
        """Return the vectors of everything that the index should hold by now, in batches."""
        ...

    async def expected(self, embedder: str, *, after: str, limit: int) -> list[PointId]:
        """Return what the index should hold by now of the cubes whose uid is greater than `after`, by uid."""
        ...

    async def embedders(self) -> list[tuple[str, int]]:
        """Return the embedders that have vectors, with their dimensions."""
        ...


class DerivedTier(Protocol):
    """A copy of something in the catalogue, which can be thrown away and made again."""

    @property
    def healthy(self) -> bool:
        """Whether it answers now."""
        ...

    async def put(self, points: Sequence[Point]) -> None:
        """Add points; one that is there stays as it is. What it returned from is durable and found.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def remove(self, embedder: str, ids: Sequence[PointId]) -> None:
        """Remove; unknown ids are left out.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def contents(self, embedder: str, dimensions: int, *, after: str, until: str | None) -> list[PointId]:
        """Return what it holds of the cubes with `after` < uid <= `until`, in any order; None is no end.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def held(self, embedder: str, dimensions: int, ids: Sequence[PointId]) -> list[PointId]:
        """Return those that it holds.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def scrub(self, embedder: str, dimensions: int, *, now: datetime) -> Reach:
        """Free its files of what was removed, as far as that can be done.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...


class VectorIndex(DerivedTier, Protocol):
    """Dense vectors; one collection an embedder."""

    @property
    def reason(self) -> str:
        """Why it is not healthy; empty if it is."""
        ...

    @property
    def losses(self) -> int:
        """How often it did not answer so far; after each it may hold something else."""
        ...

    async def search(self, query: Vector, scope: Scope, *, limit: int, until: datetime | None = None) -> list[DenseHit]:
        """Return the nearest cubes of the scope, best first, by cosine; only points recorded `until` then.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...


class BlobStore(Protocol):
    """Bytes of activation and parametric payloads, apart for each vault."""

    async def put(self, vault: VaultName, data: AsyncIterator[bytes], *, media_type: str) -> BlobRef:
        """Store bytes; they survive a power loss when this returns. Equal bytes of a vault are stored once.

        Raises:
            StoreFull: the disk is full; nothing was stored.
        """
        ...

    def get(self, vault: VaultName, blob: BlobRef) -> AsyncIterator[bytes]:
        """Return the bytes in chunks.

        Raises:
            ResourceNotFound: the vault has no such blob.
            DataCorrupted: size or hash differ; raised at the latest after the last chunk.
        """
        ...

    async def remove(self, vault: VaultName, blob: BlobRef) -> bool:
        """Remove a blob; False if there was none."""
        ...

    async def names(self, vault: VaultName) -> list[str]:
        """Return the names of the vault's blobs."""
        ...


class Signer(Protocol):
    """The key of the installation that receipts are signed with."""

    @property
    def public_key(self) -> bytes:
        """The Ed25519 public key, 32 bytes."""
        ...

    def sign(self, statement: bytes) -> bytes:
        """Return the Ed25519 signature."""
        ...


class AuditSink(Protocol):
    """Where audit events end up."""

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Record events, each once however often it is sent.

        Raises:
            MemosError: not recorded.
        """
        ...


class AuditOutbox(Protocol):
    """Audit events that governance has not confirmed."""

    async def unsent(self, *, limit: int) -> list[AuditEvent]:
        """Return the oldest."""
        ...

    async def sent(self, events: Sequence[AuditEvent]) -> None:
        """Forget events that are recorded."""
        ...

    async def forget_requests(self, *, before: datetime) -> int:
        """Remove request ids older than their retention; returns how many."""
        ...


class Span(Protocol):
    """A timed piece of work."""

    def set_attribute(self, key: str, value: str | bool | int | float) -> None:
        """Set an attribute; never content."""
        ...

    def add_link(self, origin: TraceRef) -> None:
        """Link to the span that something came from."""
        ...


class Spans(Protocol):
    """Makes spans."""

    def span(self, name: str) -> AbstractContextManager[Span]:
        """Return a span that starts now."""
        ...
