"""The job `restore_vault`: takes a vault back to a moment."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime

from memos_kernel.errors import InvalidField
from memos_kernel.jobs import AS_OF
from memos_scheduler.domain.jobs import RESTORE_VAULT, Job, JobKind, Progress, fraction_after
from memos_scheduler.ports import RestoreGoal, Restorer


@dataclass(frozen=True, slots=True, kw_only=True)
class RestoreVault:
    """Asks storage for one page after the other. Repeating it does no harm."""

    restorer: Restorer
    batch: int

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return RESTORE_VAULT

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield the figures after each page. How much is left is not known, so progress nears 1 by halves."""
        goal = _goal(job)
        changed = skipped = pages = 0
        works = (self.restorer.remove, self.restorer.bring_back)
        for work in works:
            after, going = "", True
            while going:
                step = await work(goal, after=after, limit=self.batch)
                after, going = step.last, bool(step.last)
                changed, skipped, pages = changed + step.changed, skipped + step.skipped, pages + 1
                done = work is works[-1] and not going
                yield Progress(
                    fraction=1.0 if done else fraction_after(pages),
                    result={"changed": str(changed), "skipped": str(skipped)},
                )


def _goal(job: Job) -> RestoreGoal:
    if len(job.vaults) != 1:
        raise InvalidField(f"The job names {len(job.vaults)} vaults; give one.", field="job.vaults")
    given = job.parameters.get(AS_OF, "")
    try:
        as_of = datetime.fromisoformat(given)
    except ValueError:
        as_of = None
    if as_of is None or as_of.tzinfo is None:
        raise InvalidField(f"The parameter as_of is {given[:64]!r}; write it as RFC 3339.", field="job.parameters")
    return RestoreGoal(vault=job.vaults[0], as_of=as_of, begun=job.create_time)
