"""The jobs that erase cubes for good."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from memos_kernel.errors import InvalidField, MissingField
from memos_kernel.names import JobName, PrincipalName, PurgeName, VaultName
from memos_kernel.permission import Action
from memos_scheduler.domain.jobs import PURGE, PURGE_SWEEP, Job
from memos_scheduler.ports import PurgeStep
from memos_scheduler.usecases.run_purges import PurgeSweep, RunPurge

NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)
P1, P2 = PurgeName("acme", "p1"), PurgeName("acme", "p2")
JOB = Job(
    name=JobName("acme", "j1"),
    kind=PURGE.name,
    principal=PrincipalName("acme", "alice"),
    max_attempts=3,
    create_time=NOW,
    due_time=NOW,
    vaults=(VaultName("acme", "main"),),
    parameters={"purge": str(P1)},
)


class Steps:
    """A purger whose steps are given, for each purge that is due."""

    def __init__(self, **steps):
        self.steps = {PurgeName("acme", id): list(given) for id, given in steps.items()}
        self.waiting = list(self.steps)

    async def due(self):
        return self.waiting.pop(0) if self.waiting else None

    async def step(self, name):
        return self.steps[name].pop(0)


async def test_a_purge_goes_on_until_its_receipt_is_signed():
    steps = Steps(p1=[PurgeStep(4, 2, False), PurgeStep(4, 0, False, 0.001), PurgeStep(4, 0, True)])
    told = [step async for step in RunPurge(purger=steps).run(JOB)]
    assert [step.fraction for step in told] == pytest.approx([0.45, 0.9, 1.0])
    assert [step.result for step in told] == [{"erased": "2"}, {"erased": "4"}, {"erased": "4"}]


@pytest.mark.parametrize(
    ("parameters", "error"), [({}, MissingField), ({"purge": "tenants/globex/purges/p1"}, InvalidField)]
)
async def test_a_job_without_a_purge_of_its_tenant_is_refused(parameters, error):
    with pytest.raises(error):
        await anext(RunPurge(purger=Steps()).run(replace(JOB, parameters=parameters)))


async def test_a_sweep_runs_every_purge_that_is_due():
    steps = Steps(p1=[PurgeStep(2, 0, False), PurgeStep(2, 0, True)], p2=[PurgeStep(3, 0, True)])
    told = [step async for step in PurgeSweep(purger=steps).run(JOB)]
    fractions = [step.fraction for step in told]
    assert fractions == sorted(fractions)
    assert (told[-1].fraction, told[-1].result, told[-1].quiet) == (1.0, {"erased": "5"}, False)


async def test_a_sweep_with_nothing_to_do_is_quiet():
    (told,) = [step async for step in PurgeSweep(purger=Steps()).run(JOB)]
    assert told.quiet


def test_an_owner_may_purge_and_the_system_alone_sweeps():
    assert PURGE.actions == {Action.CUBE_PURGE}
    assert not PURGE.of_the_system
    assert PURGE_SWEEP.of_the_system
