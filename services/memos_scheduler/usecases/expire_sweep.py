"""The job `expire_sweep`: expires the cubes of a tenant that are past their time, and what triggers sweeps."""

from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import timedelta

from memos_kernel.ids import Clock, IdFactory
from memos_kernel.names import JobName, PrincipalName
from memos_kernel.permission import SYSTEM_PRINCIPAL_ID
from memos_scheduler.domain.jobs import EXPIRE_SWEEP, Job, JobKind, NewJob, Progress, fraction_after
from memos_scheduler.ports import JobQueue, Sweeper, Tenants


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpireSweep:
    """Asks lifecycle for one batch after the other until nothing is left. Repeating it does no harm."""

    sweeper: Sweeper
    batch: int

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return EXPIRE_SWEEP

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield the figures after each batch. How much is left is not known, so progress nears 1 by halves."""
        expired = skipped = batches = 0
        more = True
        while more:
            step = await self.sweeper.sweep(limit=self.batch)
            expired, skipped, batches, more = expired + step.expired, step.skipped, batches + 1, step.more
            yield Progress(
                fraction=fraction_after(batches) if more else 1.0,
                result={"expired": str(expired), "skipped": str(skipped)},
                quiet=expired == 0,
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class TriggerSweeps:
    """Puts one sweep of a kind a tenant into the queue, unless one waits or runs, and forgets old jobs."""

    kind: JobKind
    tenants: Tenants
    queue: JobQueue
    clock: Clock
    new_id: IdFactory
    attempts: int
    keep_quiet: timedelta
    keep_ended: timedelta
    wake: Callable[[], None]

    async def __call__(self) -> None:
        """Do it for every tenant."""
        for tenant in await self.tenants.names():
            await self.queue.enqueue(
                NewJob(
                    name=JobName(tenant.tenant, self.new_id()),
                    kind=self.kind.name,
                    principal=PrincipalName(tenant.tenant, SYSTEM_PRINCIPAL_ID),
                    max_attempts=self.attempts,
                    unique_key=self.kind.name,
                )
            )
        self.wake()
        now = self.clock.now()
        await self.queue.prune(quiet_before=now - self.keep_quiet, ended_before=now - self.keep_ended)
