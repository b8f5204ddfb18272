"""The job that takes a vault back to a moment."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from memos_kernel.errors import InvalidField
from memos_kernel.jobs import AS_OF
from memos_kernel.names import JobName, PrincipalName, VaultName
from memos_kernel.permission import Action
from memos_scheduler.domain.jobs import RESTORE_VAULT, Job
from memos_scheduler.ports import RestoreGoal, RestoreStep
from memos_scheduler.usecases.restore_vault import RestoreVault

MAIN = VaultName("acme", "main")
BEGUN = datetime(2026, 3, 2, 12, tzinfo=UTC)
AS_OF_TIME = datetime(2026, 3, 1, 8, 30, tzinfo=UTC)
JOB = Job(
    name=JobName("acme", "j1"),
    kind=RESTORE_VAULT.name,
    principal=PrincipalName("acme", "alice"),
    max_attempts=3,
    create_time=BEGUN,
    due_time=BEGUN,
    vaults=(MAIN,),
    parameters={AS_OF: "2026-03-01T08:30:00Z"},
)


class Pages:
    """A restorer whose pages are given."""

    def __init__(self, *, removed, brought):
        self.pages = {"remove": list(removed), "bring_back": list(brought)}
        self.asked = []

    async def remove(self, goal, *, after, limit):
        return self._next("remove", goal, after, limit)

    async def bring_back(self, goal, *, after, limit):
        return self._next("bring_back", goal, after, limit)

    def _next(self, work, goal, after, limit):
        assert goal == RestoreGoal(vault=MAIN, as_of=AS_OF_TIME, begun=BEGUN)
        self.asked.append((work, after, limit))
        return self.pages[work].pop(0)


async def test_everything_is_removed_before_anything_is_brought_back_page_by_page():
    pages = Pages(
        removed=[RestoreStep(3, 1, "u3"), RestoreStep(2, 0, "")],
        brought=[RestoreStep(4, 0, "u4"), RestoreStep(0, 2, "")],
    )
    steps = [step async for step in RestoreVault(restorer=pages, batch=7).run(JOB)]
    works = [("remove", "", 7), ("remove", "u3", 7), ("bring_back", "", 7), ("bring_back", "u4", 7)]
    assert pages.asked == works
    assert [step.result for step in steps] == [
        {"changed": "3", "skipped": "1"},
        {"changed": "5", "skipped": "1"},
        {"changed": "9", "skipped": "1"},
        {"changed": "9", "skipped": "3"},
    ]
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert fractions[-2] < 1.0


@pytest.mark.parametrize(
    "job",
    [
        replace(JOB, vaults=()),
        replace(JOB, vaults=(MAIN, VaultName("acme", "notes"))),
        replace(JOB, parameters={}),
        replace(JOB, parameters={AS_OF: "yesterday"}),
        replace(JOB, parameters={AS_OF: "2026-03-01T08:30:00"}),
    ],
)
async def test_a_job_without_one_vault_and_a_moment_is_refused(job):
    with pytest.raises(InvalidField):
        await anext(RestoreVault(restorer=Pages(removed=[], brought=[]), batch=7).run(job))


def test_whoever_may_write_may_go_back():
    assert RESTORE_VAULT.actions == {Action.CUBE_WRITE}
    assert not RESTORE_VAULT.of_the_system
