"""The job that carries out the policies of a tenant's vaults."""

from datetime import timedelta

import pytest

from memos_kernel.names import PrincipalName, VaultName
from memos_scheduler.domain.jobs import VAULT_SWEEP
from memos_scheduler.ports import VaultRule, VaultStep
from memos_scheduler.usecases.vault_sweep import VaultSweepJob


class Vaults:
    """Pages of rules."""

    def __init__(self, *pages) -> None:
        self.pages = pages

    async def page(self, after):
        number = int(after or 0)
        last = str(number + 1) if number + 1 < len(self.pages) else None
        return [rule(name) for name in self.pages[number]], last


class Sweeper:
    """Cubes that are due, by vault: those to archive, those to delete, those that cannot be."""

    def __init__(self, **due) -> None:
        self.due = due
        self.calls: list[tuple[str, int]] = []

    async def sweep(self, rule, *, limit):
        archived, deleted, skipped = self.due.get(rule.vault.id, (0, 0, 0))
        self.calls.append((rule.vault.id, limit))
        now = min(archived, limit), min(deleted, limit)
        self.due[rule.vault.id] = (archived - now[0], deleted - now[1], skipped)
        return VaultStep(*now, skipped, more=bool(sum(self.due[rule.vault.id][:2])))


def rule(name):
    return VaultRule(vault=VaultName("acme", name), cold_after=timedelta(days=1), delete_after=None)


@pytest.fixture
def job(make_job):
    return make_job(VAULT_SWEEP, principal=PrincipalName("acme", "system"), max_attempts=1)


async def run(job, vaults, sweeper, batch=10):
    return [progress async for progress in VaultSweepJob(vaults=vaults, sweeper=sweeper, batch=batch).run(job)]


async def test_every_vault_is_swept_until_nothing_is_left(job):
    sweeper = Sweeper(a=(25, 3, 0), c=(0, 1, 2))
    told = await run(job, Vaults(["a", "b"], ["c"]), sweeper)
    assert told[-1].result == {"archived": "25", "deleted": "4", "skipped": "2"}
    assert (told[-1].fraction, told[-1].quiet) == (1.0, False)
    assert [name for name, _ in sweeper.calls] == ["a", "a", "a", "b", "c"]
    assert {limit for _, limit in sweeper.calls} == {10}
    assert [progress.fraction for progress in told] == sorted(progress.fraction for progress in told)


async def test_a_tenant_without_such_vaults_has_nothing_to_tell(job):
    (told,) = await run(job, Vaults([]), Sweeper())
    assert told.quiet
    assert told.result == {"archived": "0", "deleted": "0", "skipped": "0"}


async def test_it_runs_as_the_system():
    assert VaultSweepJob(vaults=Vaults([]), sweeper=Sweeper(), batch=1).kind.of_the_system
