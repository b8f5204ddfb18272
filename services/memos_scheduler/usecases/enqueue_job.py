"""Puts a job into the queue."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from memos_kernel import limits
from memos_kernel.checks import check_count
from memos_kernel.errors import InvalidField, LimitExceeded, PermissionDenied, VaultNotFound
from memos_kernel.ids import IdFactory
from memos_kernel.names import JobName, VaultName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID, Grant
from memos_kernel.requests import RequestKey
from memos_kernel.text import check_labels
from memos_scheduler.domain.jobs import Job, JobKind, NewJob
from memos_scheduler.ports import JobQueue

MAX_ATTEMPTS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOrder:
    """What a caller asks for; 0 attempts means the default."""

    kind: str
    vaults: tuple[VaultName, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    max_attempts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EnqueueJob:
    """Checks an order against the caller's grant, and stores principal and scope of it, never the grant."""

    queue: JobQueue
    kinds: Mapping[str, JobKind]
    default_attempts: int
    new_id: IdFactory
    wake: Callable[[], None]

    async def __call__(
        self, order: JobOrder, *, due_time: datetime | None = None, grant: Grant, request: RequestKey
    ) -> Job:
        """Return the job, which is not run before `due_time`.

        Raises:
            InvalidField: unknown kind, or a bad parameter.
            LimitExceeded: too many attempts, vaults or parameters.
            PermissionDenied: only the system runs jobs of this kind.
            VaultNotFound: the grant does not cover a vault.
            Overloaded, RequestIdReused: see `JobQueue.enqueue`.
        """
        self._check(order, grant)
        job = await self.queue.enqueue(
            NewJob(
                name=JobName(grant.tenant.tenant, self.new_id()),
                kind=order.kind,
                principal=grant.principal,
                max_attempts=order.max_attempts or self.default_attempts,
                vaults=order.vaults,
                parameters=order.parameters,
                due_time=due_time,
            ),
            request=request,
        )
        self.wake()
        return job

    def _check(self, order: JobOrder, grant: Grant) -> None:
        kind = self.kinds.get(order.kind)
        if kind is None:
            known = ", ".join(sorted(self.kinds))
            raise InvalidField(f"job.kind is {order.kind[:64]!r}; known kinds are {known}.", field="job.kind")
        if kind.of_the_system and grant.principal.id != SYSTEM_PRINCIPAL_ID:
            raise PermissionDenied(f"Only the system runs {kind.name} jobs.", resource=kind.name)
        if not 0 <= order.max_attempts <= MAX_ATTEMPTS:
            raise LimitExceeded(
                f"job.max_attempts is {order.max_attempts}; give 1 to {MAX_ATTEMPTS}, or 0 for the default.",
                field="job.max_attempts",
                limit=str(MAX_ATTEMPTS),
                unit="attempts",
            )
        check_count(order.vaults, limits.SEARCH_VAULTS, field="job.vaults")
        for vault in order.vaults:
            if not grant.covers(vault):
                raise VaultNotFound(f"{vault} does not exist.", name=str(vault))
        check_labels(dict(order.parameters), field="job.parameters", limit=limits.JOB_PARAMETER_BYTES)
