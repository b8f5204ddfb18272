"""The jobs `purge`, which erases what a purge names, and `purge_sweep`, which erases what has been deleted long ago."""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from memos_kernel.errors import InvalidField
from memos_kernel.jobs import PURGE as PURGE_PARAMETER
from memos_kernel.names import PurgeName
from memos_scheduler.domain.jobs import PURGE, PURGE_SWEEP, Job, JobKind, Progress, fraction_after
from memos_scheduler.ports import Purger, PurgeStep


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPurge:
    """Asks storage for one step after the other until the receipt is signed. Repeating it does no harm."""

    purger: Purger

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return PURGE

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield how many cubes are erased; the rest of the way is the other tiers."""
        name = PurgeName.parse(job.parameters.get(PURGE_PARAMETER, ""), field="job.parameters")
        if name.tenant != job.name.tenant:
            raise InvalidField(f"{name} is of another tenant.", field="job.parameters")
        async for step in _steps(self.purger, name):
            part = 0.9 * (1 - step.remaining / max(1, step.cubes))
            yield Progress(fraction=1.0 if step.done else part, result={"erased": str(step.cubes - step.remaining)})


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeSweep:
    """Has storage plan one purge after the other, and runs each to its end, until nothing is due."""

    purger: Purger

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return PURGE_SWEEP

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield the figures after each step. How much is left is not known, so progress nears 1 by halves."""
        erased = steps = 0
        while (name := await self.purger.due()) is not None:
            async for step in _steps(self.purger, name):
                steps += 1
                erased += step.cubes if step.done else 0
                yield Progress(fraction=fraction_after(steps), result={"erased": str(erased)})
        yield Progress(fraction=1.0, result={"erased": str(erased)}, quiet=erased == 0)


async def _steps(purger: Purger, name: PurgeName) -> AsyncGenerator[PurgeStep, None]:
    """Have one step done after the other, and yield each, to the end of the purge."""
    while True:
        step = await purger.step(name)
        yield step
        if step.done:
            return
        await asyncio.sleep(step.wait_seconds)
