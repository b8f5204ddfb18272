"""Ports in memory, for tests; the queue keeps every rule of the durable one but outlives nothing."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from memos_kernel import limits
from memos_kernel.errors import Capacity, Overloaded, PermissionDenied, RequestIdReused, ResourceNotFound
from memos_kernel.ids import Clock
from memos_kernel.names import JobName, PrincipalName, TenantName, VaultName
from memos_kernel.permission import Action, Grant
from memos_kernel.requests import RequestKey
from memos_scheduler.domain import jobs
from memos_scheduler.domain.jobs import Job, JobState, Lease, NewJob, Progress, Record
from memos_scheduler.domain.plan import Candidate, EngineFacts, Retrieval
from memos_scheduler.ports import NO_KEY, QueryVector, SweepStep


class MemoryJobQueue:
    """The queue in a dict."""

    def __init__(self, *, clock: Clock, queued_limit: int = 10_000) -> None:
        self._clock = clock
        self._queued_limit = queued_limit
        self._records: dict[JobName, Record] = {}
        self._answered: dict[tuple[PrincipalName, str, str], tuple[str, JobName, datetime]] = {}

    async def enqueue(self, new: NewJob, *, request: RequestKey = NO_KEY) -> Job:
        """See the port."""
        known = self._known(new.principal, request)
        if known is not None:
            return known
        active = [
            record.job
            for name, record in self._records.items()
            if name.parent == new.name.parent and new.unique_key and record.unique_key == new.unique_key
        ]
        if active:
            return active[0]
        waiting = [
            name
            for name, record in self._records.items()
            if name.parent == new.name.parent and record.job.state is JobState.QUEUED
        ]
        if len(waiting) >= self._queued_limit:
            raise Overloaded("Too many jobs wait; try again later.", retry_after=10.0, queue="jobs")
        self._records[new.name] = jobs.new_record(new, now=self._clock.now())
        return self._answer(new.principal, request, new.name)

    async def get(self, name: JobName) -> Job:
        """See the port."""
        return self._record(name).job

    async def page(
        self,
        tenant: TenantName,
        *,
        principal: PrincipalName | None,
        states: frozenset[JobState],
        before: str,
        limit: int,
    ) -> tuple[Job, ...]:
        """See the port."""
        fitting = [
            record.job
            for name, record in self._records.items()
            if name.parent == tenant
            and (principal is None or record.job.principal == principal)
            and (not states or record.job.state in states)
            and (not before or name.id < before)
        ]
        return tuple(sorted(fitting, key=lambda job: job.name.id, reverse=True)[:limit])

    async def cancel(self, name: JobName, *, caller: PrincipalName, request: RequestKey = NO_KEY) -> Job:
        """See the port."""
        return self._steer(jobs.cancel, name, caller, request)

    async def retry(self, name: JobName, *, caller: PrincipalName, request: RequestKey = NO_KEY) -> Job:
        """See the port."""
        return self._steer(jobs.retry, name, caller, request)

    async def lease(self, kinds: frozenset[str], *, worker: str, ttl: timedelta) -> Lease | None:
        """See the port."""
        now = self._clock.now()
        due = [record for record in self._records.values() if record.job.kind in kinds and record.due(now=now)]
        for record in sorted(due, key=lambda record: record.job.due_time):
            taken = jobs.claim(record, worker=worker, until=now + ttl, now=now)
            self._records[record.job.name] = taken
            if taken.job.state is JobState.RUNNING:
                return Lease(taken.job, taken.fence)
        return None

    async def heartbeat(self, lease: Lease, *, progress: float, ttl: timedelta) -> bool:
        """See the port."""
        until = self._clock.now() + ttl
        return self._write(
            lease, lambda it: jobs.beat(it, fence=lease.fence, progress=progress, until=until)
        ).cancel_requested

    async def succeed(self, lease: Lease, *, progress: Progress) -> Job:
        """See the port."""
        now = self._clock.now()
        return self._write(lease, lambda it: jobs.succeed(it, fence=lease.fence, progress=progress, now=now)).job

    async def fail(self, lease: Lease, *, error: str, retry_at: datetime) -> Job:
        """See the port."""
        now = self._clock.now()
        return self._write(
            lease, lambda it: jobs.fail(it, fence=lease.fence, error=error, retry_at=retry_at, now=now)
        ).job

    async def stop(self, lease: Lease, *, progress: Progress) -> Job:
        """See the port."""
        now = self._clock.now()
        return self._write(lease, lambda it: jobs.stop(it, fence=lease.fence, progress=progress, now=now)).job

    async def release(self, lease: Lease) -> Job:
        """See the port."""
        now = self._clock.now()
        return self._write(lease, lambda it: jobs.release(it, fence=lease.fence, now=now)).job

    async def prune(self, *, quiet_before: datetime, ended_before: datetime) -> int:
        """See the port."""
        old = [name for name, record in self._records.items() if _forgettable(record, quiet_before, ended_before)]
        for name in old:
            del self._records[name]
        keys = [key for key, (_, _, time) in self._answered.items() if time < ended_before]
        for key in keys:
            del self._answered[key]
        return len(old)

    def _record(self, name: JobName) -> Record:
        try:
            return self._records[name]
        except KeyError:
            raise ResourceNotFound(f"{name} does not exist.", name=str(name)) from None

    def _write(self, lease: Lease, change: Callable[[Record], Record]) -> Record:
        record = self._records.get(lease.job.name)
        if record is None:
            raise jobs.LeaseLost(f"{lease.job.name} is gone.")
        self._records[lease.job.name] = written = change(record)
        return written

    def _steer(self, rule: Callable[..., Record], name: JobName, caller: PrincipalName, request: RequestKey) -> Job:
        known = self._known(caller, request)
        if known is not None:
            return known
        self._records[name] = rule(self._record(name), now=self._clock.now())
        return self._answer(caller, request, name)

    def _known(self, caller: PrincipalName, request: RequestKey) -> Job | None:
        found = self._answered.get((caller, request.method, request.request_id)) if request else None
        if found is None:
            return None
        body, name, _ = found
        if body != request.body_sha256:
            raise RequestIdReused("The request id was used with another body.", request_id=request.request_id)
        return self._record(name).job

    def _answer(self, caller: PrincipalName, request: RequestKey, name: JobName) -> Job:
        if request:
            self._answered[caller, request.method, request.request_id] = (request.body_sha256, name, self._clock.now())
        return self._records[name].job


def _forgettable(record: Record, quiet_before: datetime, ended_before: datetime) -> bool:
    job = record.job
    if job.state not in (JobState.SUCCEEDED, JobState.CANCELLED) or job.end_time is None:
        return False
    return job.end_time < ended_before or (record.quiet and job.end_time < quiet_before)


TWIN_FACTS = EngineFacts(model="twin", context_length=1_000, memories_read_well=8)


@dataclass(slots=True, kw_only=True)
class MemoryEngine:
    """An engine that counts words as tokens. `away` makes the named methods fail with that error."""

    facts: EngineFacts = TWIN_FACTS
    away: Mapping[str, Capacity] = field(default_factory=dict)
    described: int = 0

    async def describe(self) -> EngineFacts:
        """See the port."""
        self._answer("describe")
        self.described += 1
        return self.facts

    async def embed(self, text: str) -> QueryVector:
        """See the port."""
        self._answer("embed")
        return QueryVector((float(len(text)),), "twin")

    async def count_tokens(self, texts: Sequence[str]) -> tuple[int, ...]:
        """See the port."""
        self._answer("count_tokens")
        return tuple(len(text.split()) for text in texts)

    def _answer(self, method: str) -> None:
        if method in self.away:
            raise self.away[method]


@dataclass(slots=True)
class MemoryRetriever:
    """Returns prepared candidates, and is degraded without a vector, as storage is."""

    candidates: tuple[Candidate, ...] = ()
    asked: list[tuple[str, tuple[VaultName, ...], bytes, int]] = field(default_factory=list)

    async def search(
        self,
        query: str,
        *,
        vector: QueryVector | None,
        vaults: Sequence[VaultName],
        conditions: bytes,
        top_k: int,
    ) -> Retrieval:
        """See the port."""
        self.asked.append((query, tuple(vaults), conditions, top_k))
        return Retrieval(self.candidates[:top_k], degraded=vector is None)


@dataclass(slots=True, kw_only=True)
class MemoryGrants:
    """Grants every action in every vault to everybody but those in `denied`."""

    clock: Clock
    denied: set[PrincipalName] = field(default_factory=set)
    issued: list[Grant] = field(default_factory=list)
    in_use: Grant | None = None

    async def issue(
        self, principal: PrincipalName, *, actions: frozenset[Action], vaults: Sequence[VaultName] = ()
    ) -> Grant:
        """See the port."""
        if principal in self.denied:
            raise PermissionDenied("The principal may not do this.", resource=str(principal))
        grant = Grant(
            id=f"grant-{len(self.issued)}",
            principal=principal,
            issued_to="scheduler",
            vaults=frozenset(vaults),
            all_vaults=not vaults,
            actions=actions,
            policy_epoch=1,
            expire_time=self.clock.now() + limits.GRANT_LIFETIME,
        )
        self.issued.append(grant)
        return grant

    @contextmanager
    def use(self, grant: Grant) -> Iterator[None]:
        """See the port."""
        before, self.in_use = self.in_use, grant
        try:
            yield
        finally:
            self.in_use = before


@dataclass(slots=True)
class MemoryTenants:
    """A fixed list of tenants."""

    tenants: tuple[TenantName, ...] = ()

    async def names(self) -> tuple[TenantName, ...]:
        """See the port."""
        return self.tenants


@dataclass(slots=True)
class MemorySweeper:
    """Expires a number of due cubes."""

    due: int = 0

    async def sweep(self, *, limit: int) -> SweepStep:
        """See the port."""
        expired = min(self.due, limit)
        self.due -= expired
        return SweepStep(expired=expired, skipped=0, more=self.due > 0)


@dataclass(slots=True)
class MemoryObserver:
    """Remembers how attempts ended."""

    jobs: list[Job] = field(default_factory=list)

    def attempt(self, job: Job) -> AbstractContextManager[object]:
        """See the port."""
        return nullcontext()

    def settled(self, job: Job) -> None:
        """See the port."""
        self.jobs.append(job)
