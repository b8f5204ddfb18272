"""JobQueue in memory, for tests: it keeps every rule of the durable one but outlives nothing."""

from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

from memos_kernel.errors import Overloaded, RequestIdReused, ResourceNotFound
from memos_kernel.ids import Clock
from memos_kernel.names import JobName, PrincipalName, TenantName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID
from memos_kernel.requests import RequestKey
from memos_scheduler.domain import records
from memos_scheduler.domain.jobs import COUNTED, Job, JobState, Lease, LeaseLost, NewJob, Progress
from memos_scheduler.domain.records import Record
from memos_scheduler.ports import NO_KEY


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
        self._records[new.name] = records.new_record(new, now=self._clock.now())
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
        return self._steer(records.cancel, name, caller, request)

    async def retry(self, name: JobName, *, caller: PrincipalName, request: RequestKey = NO_KEY) -> Job:
        """See the port."""
        return self._steer(records.retry, name, caller, request)

    async def count(self) -> Mapping[JobState, int]:
        """See the port."""
        found = Counter(record.job.state for record in self._records.values())
        return {state: found[state] for state in COUNTED}

    async def lease(self, kinds: frozenset[str], *, worker: str, ttl: timedelta) -> Lease | None:
        """See the port."""
        now = self._clock.now()
        due = [record for record in self._records.values() if record.job.kind in kinds and record.due(now=now)]
        for record in sorted(due, key=lambda record: record.job.due_time):
            taken = records.claim(record, worker=worker, until=now + ttl, now=now)
            self._records[record.job.name] = taken
            if taken.job.state is JobState.RUNNING:
                return Lease(taken.job, taken.fence)
        return None

    async def heartbeat(self, lease: Lease, *, progress: float, ttl: timedelta) -> bool:
        """See the port."""
        return self._settle(lease, records.beat, progress=progress, until=self._clock.now() + ttl).cancel_requested

    async def succeed(self, lease: Lease, *, progress: Progress) -> Job:
        """See the port."""
        return self._settle(lease, records.succeed, progress=progress, now=self._clock.now()).job

    async def fail(self, lease: Lease, *, error: str, retry_at: datetime | None, counts: bool = True) -> Job:
        """See the port."""
        now = self._clock.now()
        return self._settle(lease, records.fail, error=error, retry_at=retry_at, counts=counts, now=now).job

    async def stop(self, lease: Lease, *, progress: Progress) -> Job:
        """See the port."""
        return self._settle(lease, records.stop, progress=progress, now=self._clock.now()).job

    async def release(self, lease: Lease) -> Job:
        """See the port."""
        return self._settle(lease, records.release, now=self._clock.now()).job

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

    def _settle(self, lease: Lease, rule: Callable[..., Record], **facts: object) -> Record:
        record = self._records.get(lease.job.name)
        if record is None:
            raise LeaseLost(f"{lease.job.name} is gone.")
        self._records[lease.job.name] = settled = rule(record, fence=lease.fence, **facts)
        return settled

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
    if job.end_time is None:
        return False
    if job.state is JobState.DEAD:
        return job.principal.id == SYSTEM_PRINCIPAL_ID and job.end_time < quiet_before
    return job.end_time < ended_before or (record.quiet and job.end_time < quiet_before)
