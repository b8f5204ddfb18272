"""What the scheduler's use cases need from outside.

Calls to other services carry the grant of the running call, or the one that `Grants.use` was given.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from memos_kernel.cube import Activation, BlobRef, Kind, MemCube, Parametric
from memos_kernel.embedding import Embedding
from memos_kernel.names import CubeName, JobName, PrincipalName, PurgeName, TenantName, VaultName
from memos_kernel.permission import Action, Grant
from memos_kernel.requests import RequestKey
from memos_scheduler.domain.jobs import Job, JobKind, JobState, Lease, NewJob, Progress
from memos_scheduler.domain.plan import Candidate, EngineFacts, Preference, Retrieval

NO_KEY = RequestKey()


@dataclass(frozen=True, slots=True)
class QueryVector:
    """What an embedder made of a text, and which one it was."""

    embedding: Embedding
    embedder: str


class Engine(Protocol):
    """The models."""

    async def describe(self) -> EngineFacts:
        """Return what is known of the generating model."""
        ...

    async def embed_query(self, text: str) -> QueryVector:
        """Return what the embedder makes of a text that others are looked for with."""
        ...

    async def embed(self, text: str) -> QueryVector:
        """Return what the embedder makes of a text to be stored."""
        ...

    async def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...]:
        """Return the tokens of each text as the generating model reads it."""
        ...


@dataclass(frozen=True, slots=True)
class BareText:
    """A text without a vector of an embedder: the uid of its cube, and the revision that brought it."""

    uid: str
    revision: int
    text: str


class TextEmbedder(Protocol):
    """An embedder by its id."""

    async def target(self) -> str:
        """Return the id of the one that all texts are to have vectors of.

        Raises:
            Capacity: it is away.
        """
        ...

    async def embed(self, texts: Sequence[str], *, embedder: str) -> Sequence[Embedding]:
        """Return one embedding a text.

        Raises:
            Capacity: it is away, or another one answers.
        """
        ...


class VectorStore(Protocol):
    """Vectors of the texts of the grant's tenant."""

    async def current(self) -> str:
        """Return the id of the embedder that searches go by; empty as long as nothing has a vector."""
        ...

    async def bare(self, embedder: str, *, past: bool, after: str, limit: int) -> tuple[list[BareText], str]:
        """Return texts without a vector of an embedder, and where to go on; empty at the end.

        `past`: those that cubes had before as well.
        """
        ...

    async def put(self, embedder: str, vectors: Sequence[tuple[BareText, Embedding]]) -> int:
        """Store vectors; return how many are new."""
        ...

    async def adopt(self, embedder: str) -> bool:
        """Let searches go by an embedder; False if a text of the installation has no vector of it yet."""
        ...


class Retriever(Protocol):
    """Search over the cubes of the grant."""

    async def search(
        self,
        query: str,
        *,
        vector: QueryVector | None,
        vaults: Sequence[VaultName],
        conditions: bytes,
        top_k: int,
        time_zone: str = "",
    ) -> Retrieval:
        """Return the best cubes with their texts.

        Args:
            query: text of the query, for the lexical leg.
            vector: for the dense leg; None leaves it out, and the retrieval is degraded.
            vaults: empty means those of the grant.
            conditions: a serialized CubeFilter of the contract, which the planner passes on unread.
            top_k: most cubes.
            time_zone: in which the query's times are meant.
        """
        ...


class Memories(Protocol):
    """Cubes of the grant, one by one."""

    async def read(self, names: Sequence[CubeName]) -> tuple[MemCube, ...]:
        """Return cubes with their payload, in order.

        Raises:
            CubeNotFound: one is not there for the caller.
        """
        ...

    async def derived(self, names: Sequence[CubeName], kind: Kind) -> tuple[MemCube, ...]:
        """Return cubes of a kind that were made from some of these, newest first."""
        ...

    async def upload(self, vault: VaultName, blob: BlobRef, chunks: AsyncIterable[bytes]) -> BlobRef:
        """Store the bytes of a blob, for a cube of the vault to take; return the blob with its name.

        Raises:
            VaultNotFound, QuotaExceeded, LimitExceeded, Capacity.
        """
        ...

    async def create(self, cube: MemCube, *, vector: QueryVector | None = None) -> MemCube:
        """Store a cube, a text with its vector; where its vault has the content already, return the cube that has it.

        Raises:
            StateConflict: a cube that it is derived from has changed meanwhile.
            QuotaExceeded, InvalidField.
        """
        ...


class CacheBuilder(Protocol):
    """Makes KV caches."""

    def build(self, sources: Sequence[MemCube], *, vault: VaultName) -> AsyncGenerator[Activation | bytes, None]:
        """Yield the payload of a cube derived from these, whose blob has no name yet, and then the bytes of the blob.

        Raises:
            ContextExceeded, FormUnsupported, StateConflict, Capacity.
        """
        ...


@dataclass(frozen=True, slots=True)
class Trained:
    """An adapter that has passed its exam.

    Attributes:
        payload: its blob has no name yet.
        learned: which of the memories it knows, by index.
        report: what there is to say of it.
    """

    payload: Parametric
    learned: Sequence[int]
    report: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Recovered:
    """A memory that was written down again, and how sure that is, from 0 to 1."""

    text: str
    confidence: float


class TextRecoverer(Protocol):
    """Reads caches, and asks adapters."""

    async def recover(self, cube: MemCube) -> tuple[Recovered, ...]:
        """Return what a cache or adapter holds.

        Raises:
            StateConflict, IncompatiblePayload, DataCorrupted, FormUnsupported, Capacity.
        """
        ...


class AdapterTrainer(Protocol):
    """Makes LoRA adapters."""

    def train(self, sources: Sequence[MemCube], *, vault: VaultName) -> AsyncGenerator[float | Trained | bytes, None]:
        """Yield the share of the training that is done, then the adapter, and then the bytes of its blob.

        Raises:
            AdapterRejected: it did not pass its exam.
            FormUnsupported, StateConflict, Capacity.
        """
        ...


class SelectionPolicy(Protocol):
    """In which order candidates are tried for the prompt."""

    def order(self, candidates: Sequence[Candidate], *, now: datetime) -> list[Preference]:
        """Return every candidate, the most wanted first."""
        ...


class Grants(Protocol):
    """Authority for work that no caller waits for."""

    async def issue(
        self, principal: PrincipalName, *, actions: frozenset[Action], vaults: Sequence[VaultName] = ()
    ) -> Grant:
        """Return a fresh grant; no vaults means all those where the principal may take the actions.

        Raises:
            VaultNotFound, PermissionDenied: the principal may not (any more).
        """
        ...

    def use(self, grant: Grant) -> AbstractContextManager[None]:
        """Let the calls made inside carry the grant."""
        ...


class Tenants(Protocol):
    """The tenants of the installation."""

    async def names(self) -> tuple[TenantName, ...]:
        """Return all of them."""
        ...


@dataclass(frozen=True, slots=True)
class SweepStep:
    """What one call to lifecycle expired; `more` says whether another call would find work."""

    expired: int
    skipped: int
    more: bool


class Sweeper(Protocol):
    """Expires cubes that are past their time."""

    async def sweep(self, *, limit: int) -> SweepStep:
        """Expire at most `limit` cubes."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultRule:
    """What the policy of a vault says about the age of its cubes; None is never."""

    vault: VaultName
    cold_after: timedelta | None
    delete_after: timedelta | None


class SweptVaults(Protocol):
    """The vaults of the grant's tenant whose policy says something about the age of cubes."""

    async def page(self, after: str) -> tuple[list[VaultRule], str | None]:
        """Return some of them, from behind a place ("" at the start), and where to go on; None at the end."""
        ...


@dataclass(frozen=True, slots=True)
class VaultStep:
    """What one call to lifecycle did; `more` says whether another call would find work."""

    archived: int
    deleted: int
    skipped: int
    more: bool


class VaultSweeper(Protocol):
    """Carries out what a policy says about the age of cubes."""

    async def sweep(self, rule: VaultRule, *, limit: int) -> VaultStep:
        """Archive and delete at most `limit` cubes each."""
        ...


@dataclass(frozen=True, slots=True)
class RestoreStep:
    """What one call to storage changed, and left as it is; `last` is where to go on, empty at the end."""

    changed: int
    skipped: int
    last: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreGoal:
    """A vault, the moment that it goes back to, and when that began: cubes created later are not touched."""

    vault: VaultName
    as_of: datetime
    begun: datetime


class Restorer(Protocol):
    """Takes the cubes of a vault back to a moment."""

    async def remove(self, goal: RestoreGoal, *, after: str, limit: int) -> RestoreStep:
        """Delete at most `limit` cubes that were not there at the moment."""
        ...

    async def bring_back(self, goal: RestoreGoal, *, after: str, limit: int) -> RestoreStep:
        """Take back at most `limit` cubes that were there; after nothing is left to remove."""
        ...


@dataclass(frozen=True, slots=True)
class PurgeStep:
    """How many cubes a purge has, how many are still to be erased, whether it is done, and seconds to wait if not."""

    cubes: int
    remaining: int
    done: bool
    wait_seconds: float = 0.0


class Purger(Protocol):
    """Erases cubes for good."""

    async def due(self) -> PurgeName | None:
        """Plan a purge of what has been deleted long ago, or find one that nobody goes on with; None if none is due."""
        ...

    async def step(self, name: PurgeName) -> PurgeStep:
        """Do the next step of a purge."""
        ...


class Handler(Protocol):
    """Does the work of one kind of job."""

    @property
    def kind(self) -> JobKind:
        """The kind of job that it can run."""
        ...

    def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Do the work in short steps, and report after each.

        Each step runs under a fresh grant; between steps the job may be stopped. The last report is the
        result. A step may be repeated after a crash, so it must do no harm when it is. An error fails the
        attempt.
        """
        ...


class JobObserver(Protocol):
    """Tells operators about jobs."""

    def attempt(self, job: Job) -> AbstractContextManager[object]:
        """Return what surrounds one attempt."""
        ...

    def settled(self, job: Job) -> None:
        """Note where an attempt left the job."""
        ...


class JobQueue(Protocol):
    """The durable queue. What it acknowledges survives a power loss; every method is one transaction."""

    async def enqueue(self, new: NewJob, *, request: RequestKey = NO_KEY) -> Job:
        """Put a job into the queue.

        A known request key, or a unique key in use, is answered with that job as it is now.

        Raises:
            Overloaded: too many jobs of the tenant wait.
            RequestIdReused: the key was used with another body.
        """
        ...

    async def get(self, name: JobName) -> Job:
        """Return a job.

        Raises:
            ResourceNotFound: there is none.
        """
        ...

    async def page(
        self,
        tenant: TenantName,
        *,
        principal: PrincipalName | None,
        states: frozenset[JobState],
        before: str,
        limit: int,
    ) -> tuple[Job, ...]:
        """Return jobs of the tenant, newest first: of the principal (None: of all), in the states (none: in any).

        Args:
            before: id of the last job of the page before; empty starts with the newest.
            limit: most jobs.
        """
        ...

    async def cancel(self, name: JobName, *, caller: PrincipalName, request: RequestKey = NO_KEY) -> Job:
        """Cancel a waiting job at once; mark a running one for its handler to see.

        Raises:
            ResourceNotFound: there is none.
            StateConflict: it has ended.
            RequestIdReused: the caller used the key with another body.
        """
        ...

    async def retry(self, name: JobName, *, caller: PrincipalName, request: RequestKey = NO_KEY) -> Job:
        """Put a dead letter, or a job that was cancelled, back.

        Raises:
            ResourceNotFound: there is none.
            StateConflict: it is neither.
            RequestIdReused: the caller used the key with another body.
        """
        ...

    async def count(self) -> Mapping[JobState, int]:
        """Return how many jobs of all tenants are in each state of `COUNTED`."""
        ...

    async def lease(self, kinds: frozenset[str], *, worker: str, ttl: timedelta) -> Lease | None:
        """Take the job that has been due the longest, for some time; None if nothing is due.

        A running job whose lease has ended is due too. No two workers get the same lease.
        """
        ...

    async def heartbeat(self, lease: Lease, *, progress: float, ttl: timedelta) -> bool:
        """Keep the lease for some more time; return whether somebody asked to stop the job.

        Raises:
            LeaseLost: another worker has the job, or it has ended.
        """
        ...

    async def succeed(self, lease: Lease, *, progress: Progress) -> Job:
        """Record that the work is done.

        Raises:
            LeaseLost: another worker has the job, or it has ended.
        """
        ...

    async def fail(self, lease: Lease, *, error: str, retry_at: datetime | None, counts: bool = True) -> Job:
        """Record a failed attempt: retried at that time, or a dead letter after the last attempt that counts.

        Without a time it is a dead letter at once.

        Raises:
            LeaseLost: another worker has the job, or it has ended.
        """
        ...

    async def stop(self, lease: Lease, *, progress: Progress) -> Job:
        """Record that the handler stopped because the job was cancelled.

        Raises:
            LeaseLost: another worker has the job, or it has ended.
        """
        ...

    async def release(self, lease: Lease) -> Job:
        """Give the job back; the attempt does not count.

        Raises:
            LeaseLost: another worker has the job, or it has ended.
        """
        ...

    async def prune(self, *, quiet_before: datetime, ended_before: datetime) -> int:
        """Forget ended jobs; return how many.

        Dead letters stay until somebody retries them, but for the system's own, which a timer puts in again.

        Args:
            quiet_before: those that ended before it with nothing to tell, and the system's dead letters.
            ended_before: those that ended before it, and request keys that old.
        """
        ...
