"""The job `vault_sweep`: carries out the policies of a tenant's vaults."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass

from memos_scheduler.domain.jobs import VAULT_SWEEP, Job, JobKind, Progress, fraction_after
from memos_scheduler.ports import SweptVaults, VaultSweeper


@dataclass(frozen=True, slots=True, kw_only=True)
class VaultSweepJob:
    """Asks lifecycle vault by vault, one batch after the other until nothing is left. Repeating it does no harm."""

    vaults: SweptVaults
    sweeper: VaultSweeper
    batch: int

    @property
    def kind(self) -> JobKind:
        """Kind of job that it runs."""
        return VAULT_SWEEP

    async def run(self, job: Job) -> AsyncGenerator[Progress, None]:
        """Yield the figures after each batch. How much is left is not known, so progress nears 1 by halves."""
        archived = deleted = skipped = batches = 0
        after: str | None = ""
        while after is not None:
            rules, after = await self.vaults.page(after)
            for rule in rules:
                more = True
                while more:
                    step = await self.sweeper.sweep(rule, limit=self.batch)
                    archived, deleted = archived + step.archived, deleted + step.deleted
                    skipped, batches, more = skipped + (0 if step.more else step.skipped), batches + 1, step.more
                    yield _progress(archived, deleted, skipped, fraction_after(batches))
        yield _progress(archived, deleted, skipped, 1.0)


def _progress(archived: int, deleted: int, skipped: int, fraction: float) -> Progress:
    return Progress(
        fraction=fraction,
        result={"archived": str(archived), "deleted": str(deleted), "skipped": str(skipped)},
        quiet=archived + deleted == 0,
    )
