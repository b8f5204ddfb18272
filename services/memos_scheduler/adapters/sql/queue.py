"""JobQueue on SQL."""

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import TypeVar

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError, SQLAlchemyError

from memos_kernel.errors import Overloaded, RequestIdReused, ResourceNotFound
from memos_kernel.ids import Clock
from memos_kernel.names import JobName, PrincipalName, TenantName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID
from memos_kernel.requests import RequestKey
from memos_runtime.sql.faults import fault_of
from memos_runtime.workers import Worker
from memos_scheduler.adapters.sql.rows import record_of, row_of
from memos_scheduler.adapters.sql.schema import jobs as table
from memos_scheduler.adapters.sql.schema import requests
from memos_scheduler.domain import records
from memos_scheduler.domain.jobs import COUNTED, Job, JobState, Lease, LeaseLost, NewJob, Progress
from memos_scheduler.domain.records import Record
from memos_scheduler.ports import NO_KEY

T = TypeVar("T")

_LOG = logging.getLogger(__name__)

STORE = "queue"
"""What people call the database."""

OVERLOAD_RETRY_SECONDS = 10.0
_FORGETTABLE = (JobState.SUCCEEDED, JobState.CANCELLED)


class SqlJobQueue:
    """The queue in a database. Each method is one transaction in a thread of the worker.

    Rules are in `domain.records`; here rows are locked, read, passed through a rule and written back. On
    SQLite a transaction is the only writer from its start; on PostgreSQL rows are locked, and workers skip
    what another one holds.
    """

    def __init__(self, engine: sa.Engine, worker: Worker, *, clock: Clock, queued_limit: int) -> None:
        """Take an engine whose schema is the newest; `queued_limit` bounds the waiting jobs of one tenant."""
        self._engine = engine
        self._worker = worker
        self._clock = clock
        self._queued_limit = queued_limit

    async def enqueue(self, new: NewJob, *, request: RequestKey = NO_KEY) -> Job:
        """See the port."""

        def work(connection: sa.Connection) -> Job:
            known = _answered(connection, new.principal, request) or _active(connection, new)
            if known is not None:
                return known
            self._check_room(connection, new.name.parent)
            record = records.new_record(new, now=self._clock.now())
            connection.execute(table.insert().values(row_of(record)))
            self._remember(connection, new.principal, request, new.name)
            return record.job

        return await self._transact(work)

    async def get(self, name: JobName) -> Job:
        """See the port."""
        return (await self._transact(lambda connection: _read(connection, name))).job

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
        query = table.select().where(table.c.tenant == tenant.tenant).order_by(table.c.id.desc()).limit(limit)
        if principal is not None:
            query = query.where(table.c.principal == principal.id)
        if states:
            query = query.where(table.c.state.in_(_numbers(states)))
        if before:
            query = query.where(table.c.id < before)

        def work(connection: sa.Connection) -> tuple[Job, ...]:
            return tuple(record_of(row).job for row in connection.execute(query).mappings())

        return await self._transact(work)

    async def count(self) -> Mapping[JobState, int]:
        """See the port."""
        query = sa.select(table.c.state, sa.func.count()).where(table.c.state.in_(_numbers(COUNTED)))

        def work(connection: sa.Connection) -> Mapping[JobState, int]:
            found = {JobState(state): count for state, count in connection.execute(query.group_by(table.c.state))}
            return {state: found.get(state, 0) for state in COUNTED}

        return await self._transact(work)

    async def cancel(self, name: JobName, *, caller: PrincipalName, request: RequestKey = NO_KEY) -> Job:
        """See the port."""
        return await self._steer(records.cancel, name, caller, request)

    async def retry(self, name: JobName, *, caller: PrincipalName, request: RequestKey = NO_KEY) -> Job:
        """See the port."""
        return await self._steer(records.retry, name, caller, request)

    async def lease(self, kinds: frozenset[str], *, worker: str, ttl: timedelta) -> Lease | None:
        """See the port."""

        def work(connection: sa.Connection) -> tuple[Lease | None, list[Job]]:
            now = self._clock.now()
            query = _due(kinds, now=now)
            ended: list[Job] = []
            while (row := connection.execute(query).mappings().first()) is not None:
                taken = records.claim(record_of(row), worker=worker, until=now + ttl, now=now)
                _write(connection, taken)
                if taken.job.state is JobState.RUNNING:
                    return Lease(taken.job, taken.fence), ended
                ended.append(taken.job)
            return None, ended

        lease, ended = await self._transact(work)
        for job in ended:
            if job.state is JobState.DEAD:
                _LOG.error("job %s (%s) is dead: %s", job.name, job.kind, job.last_error)
        return lease

    async def heartbeat(self, lease: Lease, *, progress: float, ttl: timedelta) -> bool:
        """See the port."""
        until = self._clock.now() + ttl
        return (await self._settle(lease, records.beat, progress=progress, until=until)).cancel_requested

    async def succeed(self, lease: Lease, *, progress: Progress) -> Job:
        """See the port."""
        return (await self._settle(lease, records.succeed, progress=progress, now=self._clock.now())).job

    async def fail(self, lease: Lease, *, error: str, retry_at: datetime | None, counts: bool = True) -> Job:
        """See the port."""
        now = self._clock.now()
        told = await self._settle(lease, records.fail, error=error, retry_at=retry_at, counts=counts, now=now)
        return told.job

    async def stop(self, lease: Lease, *, progress: Progress) -> Job:
        """See the port."""
        return (await self._settle(lease, records.stop, progress=progress, now=self._clock.now())).job

    async def release(self, lease: Lease) -> Job:
        """See the port."""
        return (await self._settle(lease, records.release, now=self._clock.now())).job

    async def prune(self, *, quiet_before: datetime, ended_before: datetime) -> int:
        """See the port."""
        ended, quiet = table.c.end_time < ended_before, table.c.end_time < quiet_before
        done = sa.and_(
            table.c.state.in_(_numbers(_FORGETTABLE)), sa.or_(ended, sa.and_(table.c.quiet == sa.true(), quiet))
        )
        replaced = sa.and_(table.c.state == JobState.DEAD, table.c.principal == SYSTEM_PRINCIPAL_ID, quiet)

        def work(connection: sa.Connection) -> int:
            connection.execute(requests.delete().where(requests.c.create_time < ended_before))
            gone = connection.execute(table.delete().where(sa.or_(done, replaced)))
            return gone.rowcount

        return await self._transact(work)

    async def _settle(self, lease: Lease, rule: Callable[..., Record], **facts: object) -> Record:
        def work(connection: sa.Connection) -> Record:
            try:
                record = _read(connection, lease.job.name, lock=True)
            except ResourceNotFound as error:
                raise LeaseLost(f"{lease.job.name} is gone.") from error
            return _write(connection, rule(record, fence=lease.fence, **facts))

        return await self._transact(work)

    async def _steer(
        self, rule: Callable[..., Record], name: JobName, caller: PrincipalName, request: RequestKey
    ) -> Job:
        def work(connection: sa.Connection) -> Job:
            record = _read(connection, name, lock=True)
            known = _answered(connection, caller, request)
            if known is not None:
                return known
            self._remember(connection, caller, request, name)
            return _write(connection, rule(record, now=self._clock.now())).job

        return await self._transact(work)

    async def _transact(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            return await self._worker.run(self._transact_here, work)
        except IntegrityError:  # another replica was first with the request or the unique key; now it is found
            return await self._worker.run(self._transact_here, work)

    def _transact_here(self, work: Callable[[sa.Connection], T]) -> T:
        try:
            with self._engine.begin() as connection:
                return work(connection)
        except IntegrityError:
            raise
        except SQLAlchemyError as error:
            raise fault_of(error, store=STORE) from error

    def _check_room(self, connection: sa.Connection, tenant: TenantName) -> None:
        waiting = sa.select(sa.func.count()).where(
            table.c.tenant == tenant.tenant, table.c.state == int(JobState.QUEUED)
        )
        if connection.execute(waiting).scalar_one() >= self._queued_limit:
            raise Overloaded(
                f"{self._queued_limit} jobs wait already; try again later.",
                retry_after=OVERLOAD_RETRY_SECONDS,
                queue="jobs",
            )

    def _remember(self, connection: sa.Connection, caller: PrincipalName, request: RequestKey, job: JobName) -> None:
        if request:
            connection.execute(
                requests.insert().values(
                    tenant=caller.tenant,
                    principal=caller.id,
                    method=request.method,
                    request_id=request.request_id,
                    body_sha256=request.body_sha256,
                    job=job.id,
                    create_time=self._clock.now(),
                )
            )


def _answered(connection: sa.Connection, caller: PrincipalName, request: RequestKey) -> Job | None:
    """Return the job that a request was answered with before, as it is now."""
    if not request:
        return None
    known = connection.execute(
        requests.select().where(
            requests.c.tenant == caller.tenant,
            requests.c.principal == caller.id,
            requests.c.method == request.method,
            requests.c.request_id == request.request_id,
        )
    ).one_or_none()
    if known is None:
        return None
    if known.body_sha256 != request.body_sha256:
        raise RequestIdReused("The request id was used with another body.", request_id=request.request_id)
    return _read(connection, JobName(caller.tenant, known.job)).job


def _active(connection: sa.Connection, new: NewJob) -> Job | None:
    """Return the job that holds the unique key."""
    if not new.unique_key:
        return None
    holds = sa.and_(table.c.tenant == new.name.tenant, table.c.unique_key == new.unique_key)
    row = connection.execute(table.select().where(holds)).mappings().one_or_none()
    return record_of(row).job if row is not None else None


def _due(kinds: Iterable[str], *, now: datetime) -> sa.Select[tuple[object, ...]]:
    waiting = sa.and_(table.c.state == int(JobState.QUEUED), table.c.due_time <= now)
    abandoned = sa.and_(table.c.state == int(JobState.RUNNING), table.c.lease_expire <= now)
    return (
        table.select()
        .where(table.c.kind.in_(sorted(kinds)), sa.or_(waiting, abandoned))
        .order_by(table.c.due_time)
        .limit(1)
        .with_for_update(skip_locked=True)
    )


def _read(connection: sa.Connection, name: JobName, *, lock: bool = False) -> Record:
    query = table.select().where(table.c.tenant == name.tenant, table.c.id == name.id)
    row = connection.execute(query.with_for_update() if lock else query).mappings().one_or_none()
    if row is None:
        raise ResourceNotFound(f"{name} does not exist.", name=str(name))
    return record_of(row)


def _write(connection: sa.Connection, record: Record) -> Record:
    name = record.job.name
    connection.execute(
        table.update().where(table.c.tenant == name.tenant, table.c.id == name.id).values(row_of(record))
    )
    return record


def _numbers(states: Iterable[JobState]) -> list[int]:
    return [int(state) for state in states]
