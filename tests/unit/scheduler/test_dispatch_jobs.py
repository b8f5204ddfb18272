"""The worker loop and the sweeps that it runs."""

import asyncio
from datetime import timedelta

import pytest

from memos_kernel.errors import DependencyUnavailable
from memos_kernel.names import JobName, PrincipalName, TenantName
from memos_scheduler.adapters.memory import MemoryObserver, MemorySweeper, MemoryTenants
from memos_scheduler.domain.jobs import EXPIRE_SWEEP, Backoff, JobState, NewJob
from memos_scheduler.usecases.dispatch_jobs import DispatchJobs
from memos_scheduler.usecases.expire_sweep import ExpireSweep, TriggerSweeps
from memos_scheduler.usecases.repeat import repeat
from memos_scheduler.usecases.run_job import RunJob

SOON = timedelta(milliseconds=5)
LONG = timedelta(seconds=60)
ACME = TenantName("acme")


@pytest.fixture
def make_dispatch(queue, grants, clock, new_id):
    def make(sweeper, *, at_once=2, poll=SOON):
        return DispatchJobs(
            queue=queue,
            run_job=RunJob(
                queue=queue,
                grants=grants,
                handlers={"expire_sweep": ExpireSweep(sweeper=sweeper, batch=10)},
                clock=clock,
                new_id=new_id,
                backoff=Backoff(LONG, LONG),
                chance=lambda: 0.0,
                ttl=LONG,
                observer=MemoryObserver(),
            ),
            worker="w",
            at_once=at_once,
            poll=poll,
            ttl=LONG,
        )

    return make


async def test_a_job_that_is_leased_while_the_worker_stops_is_given_back(make_dispatch, queue, clock, new_id):
    asked, may_go = asyncio.Event(), asyncio.Event()
    lease = queue.lease

    async def slow_lease(*args, **options):
        asked.set()
        await may_go.wait()
        return await lease(*args, **options)

    name = JobName("acme", new_id())
    await queue.enqueue(
        NewJob(name=name, kind="expire_sweep", principal=PrincipalName("acme", "system"), max_attempts=1)
    )
    queue.lease = slow_lease
    worker = asyncio.create_task(make_dispatch(MemorySweeper())())
    await asked.wait()
    worker.cancel()
    may_go.set()
    with pytest.raises(asyncio.CancelledError):
        await worker
    assert (await queue.get(name)).state is JobState.QUEUED


async def test_a_queue_that_fails_while_the_worker_stops_does_not_keep_it_running(make_dispatch, queue):
    asked, may_go = asyncio.Event(), asyncio.Event()

    async def failing_lease(*args, **options):
        asked.set()
        await may_go.wait()
        raise DependencyUnavailable("the queue is away")

    queue.lease = failing_lease
    worker = asyncio.create_task(make_dispatch(MemorySweeper())())
    await asked.wait()
    worker.cancel()
    await asyncio.sleep(0)
    may_go.set()
    ended, _ = await asyncio.wait({worker}, timeout=1)
    worker.cancel()
    assert ended
    assert worker.cancelled()


@pytest.fixture
def trigger(queue, clock, new_id):
    return TriggerSweeps(
        kind=EXPIRE_SWEEP,
        tenants=MemoryTenants((ACME, TenantName("umbrella"))),
        queue=queue,
        clock=clock,
        new_id=new_id,
        attempts=5,
        keep_quiet=timedelta(minutes=10),
        keep_ended=timedelta(days=30),
        wake=lambda: None,
    )


async def jobs_of(queue, tenant=ACME):
    return await queue.page(tenant, principal=None, states=frozenset(), before="", limit=50)


async def ended(queue, *, number=1):
    """Wait until that many jobs of the tenant have succeeded."""
    while True:
        done = [job for job in await jobs_of(queue) if job.state is JobState.SUCCEEDED]
        if len(done) >= number:
            return done
        await asyncio.sleep(0.001)


class Running:
    """Runs a coroutine function in the background of a block."""

    def __init__(self, work) -> None:
        self.work = work

    async def __aenter__(self):
        self.task = asyncio.create_task(self.work())
        return self.task

    async def __aexit__(self, *_):
        self.task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await self.task


async def test_a_sweep_goes_on_until_nothing_is_due(make_dispatch, trigger, queue, grants):
    await trigger()

    async with asyncio.timeout(5), Running(make_dispatch(MemorySweeper(due=25))):
        [sweep] = await ended(queue)

    assert sweep.result == {"expired": "25", "skipped": "0"}
    assert str(sweep.principal) == "tenants/acme/principals/system"
    assert {str(grant.principal) for grant in grants.issued} >= {"tenants/acme/principals/system"}


async def test_each_tenant_has_one_active_sweep(trigger, queue):
    await trigger()
    await trigger()

    assert len(await jobs_of(queue)) == 1
    assert len(await jobs_of(queue, TenantName("umbrella"))) == 1


async def test_sweeps_with_nothing_to_tell_are_forgotten_soon(make_dispatch, trigger, queue, clock):
    await trigger()
    async with asyncio.timeout(5), Running(make_dispatch(MemorySweeper(due=0))):
        [quiet] = await ended(queue)
    clock.pass_time(minutes=11)

    await trigger()

    assert quiet.name not in {job.name for job in await jobs_of(queue)}


async def test_a_sweep_that_expired_something_is_kept(make_dispatch, trigger, queue, clock):
    await trigger()
    async with asyncio.timeout(5), Running(make_dispatch(MemorySweeper(due=3))):
        [telling] = await ended(queue)
    clock.pass_time(minutes=11)

    await trigger()

    assert telling.name in {job.name for job in await jobs_of(queue)}


async def test_no_more_jobs_run_at_once_than_allowed(make_dispatch, queue, new_id):
    running, most = 0, 0

    class Slow(MemorySweeper):
        async def sweep(self, *, limit):
            nonlocal running, most
            running, most = running + 1, max(most, running + 1)
            await asyncio.sleep(0.005)
            running -= 1
            return await super().sweep(limit=limit)

    for _ in range(6):
        await queue.enqueue(
            NewJob(
                name=JobName("acme", new_id()),
                kind="expire_sweep",
                principal=PrincipalName("acme", "system"),
                max_attempts=1,
            )
        )
    async with asyncio.timeout(5), Running(make_dispatch(Slow(), at_once=2)):
        await ended(queue, number=6)

    assert most == 2


async def test_a_woken_worker_does_not_wait_for_its_next_look(make_dispatch, trigger, queue):
    dispatch = make_dispatch(MemorySweeper(due=1), poll=LONG)

    async with asyncio.timeout(5), Running(dispatch):
        await asyncio.sleep(0.01)
        await trigger()
        dispatch.wake()
        assert await ended(queue)


async def test_a_worker_outlives_a_queue_that_does_not_answer(make_dispatch, trigger, queue, monkeypatch):
    answers, lease = iter([DependencyUnavailable("The database does not answer.")]), queue.lease

    async def shaky(*args, **options):
        for error in answers:
            raise error
        return await lease(*args, **options)

    monkeypatch.setattr(queue, "lease", shaky)
    await trigger()

    async with asyncio.timeout(5), Running(make_dispatch(MemorySweeper(due=1))):
        assert await ended(queue)


async def test_a_worker_that_goes_down_gives_its_jobs_back(make_dispatch, trigger, queue):
    class Endless(MemorySweeper):
        async def sweep(self, *, limit):
            started.set()
            await asyncio.sleep(60)
            raise AssertionError("was not stopped")

    started = asyncio.Event()
    await trigger()
    async with asyncio.timeout(5), Running(make_dispatch(Endless())):
        await started.wait()

    [job] = await jobs_of(queue)
    assert (job.state, job.attempts) == (JobState.QUEUED, 0)


@pytest.mark.parametrize(
    ("failure", "said", "traced"),
    [
        (DependencyUnavailable("Not yet."), "count has to wait: Not yet. Next try in ", False),
        (LookupError("never"), "count failed; next try in ", True),
    ],
    ids=["for a moment", "unexpected"],
)
async def test_periodic_work_outlives_its_failures_and_shows_where_those_come_from_that_nobody_expects(
    caplog, failure, said, traced
):
    done, enough = [], asyncio.Event()

    async def work():
        done.append(True)
        if len(done) == 3:
            enough.set()
        raise failure

    async with asyncio.timeout(5), Running(lambda: repeat(work, every=timedelta(milliseconds=1), name="count")):
        await enough.wait()
    assert {record.message.startswith(said) for record in caplog.records} == {True}
    assert {bool(record.exc_info) for record in caplog.records} == {traced}
