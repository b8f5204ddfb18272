"""What every JobQueue keeps to, whatever it is built on."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from memos_kernel.errors import Overloaded, RequestIdReused, ResourceNotFound, StateConflict
from memos_kernel.ids import uuid7
from memos_kernel.names import JobName, PrincipalName, TenantName, VaultName
from memos_kernel.requests import RequestKey
from memos_runtime.sql.engine import open_engine, sqlite_url
from memos_runtime.workers import Worker
from memos_scheduler.adapters.memory_queue import MemoryJobQueue
from memos_scheduler.adapters.sql.migrations import migrate
from memos_scheduler.adapters.sql.queue import SqlJobQueue
from memos_scheduler.domain.jobs import JobState, LeaseLost, NewJob, Progress
from postgres import new_database

START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
TTL = timedelta(seconds=60)
KINDS = frozenset({"sweep"})
ACME = TenantName("acme")
ALICE = PrincipalName("acme", "alice")
KEY = RequestKey("r-1", "/memos.v1.JobService/Enqueue", "0f")
QUEUED_LIMIT = 8


class SetClock:
    def __init__(self) -> None:
        self.time = START

    def now(self) -> datetime:
        return self.time

    def pass_time(self, **amount: float) -> None:
        self.time += timedelta(**amount)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
async def queue(request, clock, tmp_path):
    if request.param == "memory":
        yield MemoryJobQueue(clock=clock, queued_limit=QUEUED_LIMIT)
        return
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "jobs.db")
    else:
        url = await asyncio.to_thread(new_database, "scheduler")
    engine, worker = open_engine(url), Worker("test.queue")
    await worker.run(migrate, url)
    yield SqlJobQueue(engine, worker, clock=clock, queued_limit=QUEUED_LIMIT)
    await worker.close()
    engine.dispose()


def new(principal: PrincipalName = ALICE, **fields) -> NewJob:
    fields.setdefault("max_attempts", 3)
    fields.setdefault("kind", "sweep")
    return NewJob(name=JobName(principal.tenant, uuid7()), principal=principal, **fields)


async def lease(queue, *, worker: str = "w1"):
    return await queue.lease(KINDS, worker=worker, ttl=TTL)


async def page(queue, *, tenant=ACME, principal=None, states=frozenset(), before="", limit=50):
    return await queue.page(tenant, principal=principal, states=states, before=before, limit=limit)


async def dead_letter(queue, principal=ALICE):
    job = await queue.enqueue(new(principal, max_attempts=1))
    await queue.fail(await lease(queue), error="It broke.", retry_at=START)
    return job.name


async def test_a_job_comes_back_as_it_was_put_in(queue):
    asked = new(vaults=(VaultName("acme", "main"),), parameters={"limit": "5"})

    job = await queue.enqueue(asked)

    assert await queue.get(asked.name) == job
    assert (job.name, job.kind, job.principal, job.vaults) == (asked.name, "sweep", ALICE, asked.vaults)
    assert (job.parameters, job.state, job.attempts, job.max_attempts) == ({"limit": "5"}, JobState.QUEUED, 0, 3)
    assert job.create_time == job.due_time == START


async def test_it_is_known_how_many_wait_run_and_have_failed_for_good(queue):
    assert await queue.count() == {JobState.QUEUED: 0, JobState.RUNNING: 0, JobState.DEAD: 0}
    for tenant in ("acme", "other", "third", "fourth"):
        await queue.enqueue(new(PrincipalName(tenant, "alice")))
    done, dead, _ = [await lease(queue) for _ in range(3)]
    await queue.succeed(done, progress=Progress(1.0))
    await queue.fail(dead, error="It broke.", retry_at=None)
    assert await queue.count() == {JobState.QUEUED: 1, JobState.RUNNING: 1, JobState.DEAD: 1}


async def test_an_unknown_job_is_not_found(queue):
    name = JobName("acme", "nothing")
    for call in (queue.get(name), queue.cancel(name, caller=ALICE), queue.retry(name, caller=ALICE)):
        with pytest.raises(ResourceNotFound):
            await call


async def test_the_same_request_makes_one_job(queue):
    first = await queue.enqueue(new(), request=KEY)
    again = await queue.enqueue(new(), request=KEY)

    assert again == first
    assert len(await page(queue)) == 1


async def test_a_request_id_with_another_body_is_refused(queue):
    await queue.enqueue(new(), request=KEY)

    with pytest.raises(RequestIdReused):
        await queue.enqueue(new(), request=RequestKey(KEY.request_id, KEY.method, "ff"))


async def test_request_ids_of_two_principals_do_not_meet(queue):
    mine = await queue.enqueue(new(), request=KEY)
    theirs = await queue.enqueue(new(PrincipalName("acme", "bob")), request=KEY)

    assert mine.name != theirs.name


async def test_a_unique_key_holds_while_its_job_is_active(queue):
    first = await queue.enqueue(new(unique_key="sweep"))
    assert (await queue.enqueue(new(unique_key="sweep"))).name == first.name

    held = await lease(queue)
    assert (await queue.enqueue(new(unique_key="sweep"))).name == first.name

    await queue.succeed(held, progress=Progress())
    assert (await queue.enqueue(new(unique_key="sweep"))).name != first.name


async def test_a_unique_key_holds_in_one_tenant_only(queue):
    first = await queue.enqueue(new(unique_key="sweep"))
    other = await queue.enqueue(new(PrincipalName("umbrella", "u"), unique_key="sweep"))

    assert first.name != other.name


async def test_too_many_waiting_jobs_are_refused_with_the_time_to_come_back(queue):
    for _ in range(QUEUED_LIMIT):
        await queue.enqueue(new())

    with pytest.raises(Overloaded) as refused:
        await queue.enqueue(new())
    assert refused.value.retry_after
    assert await queue.enqueue(new(PrincipalName("umbrella", "u")))


async def test_a_leased_job_runs_and_no_other_worker_gets_it(queue):
    job = await queue.enqueue(new())

    held = await lease(queue)

    assert (held.job.name, held.job.state, held.job.attempts) == (job.name, JobState.RUNNING, 1)
    assert held.job.start_time == START
    assert await lease(queue, worker="w2") is None


async def test_workers_at_the_same_time_share_the_jobs(queue):
    names = {(await queue.enqueue(new())).name for _ in range(5)}

    held = await asyncio.gather(*(lease(queue, worker=f"w{index}") for index in range(7)))

    taken = [one.job.name for one in held if one is not None]
    assert len(taken) == 5
    assert set(taken) == names


async def test_a_job_is_not_leased_before_it_is_due(queue, clock):
    await queue.enqueue(new(due_time=START + timedelta(minutes=5)))

    assert await lease(queue) is None
    clock.pass_time(minutes=5)
    assert await lease(queue) is not None


async def test_the_job_that_was_due_first_is_leased_first(queue, clock):
    second = await queue.enqueue(new(due_time=START + timedelta(seconds=2)))
    first = await queue.enqueue(new(due_time=START + timedelta(seconds=1)))
    clock.pass_time(seconds=5)

    assert [(await lease(queue)).job.name for _ in range(2)] == [first.name, second.name]


async def test_a_worker_gets_only_the_kinds_that_it_knows(queue):
    await queue.enqueue(new(kind="unheard-of"))

    assert await lease(queue) is None


async def test_success_keeps_the_result(queue, clock):
    job = await queue.enqueue(new())
    held = await lease(queue)
    clock.pass_time(seconds=3)

    await queue.succeed(held, progress=Progress(0.5, {"expired": "7"}))

    done = await queue.get(job.name)
    assert (done.state, done.progress, done.result) == (JobState.SUCCEEDED, 1.0, {"expired": "7"})
    assert done.end_time == START + timedelta(seconds=3)


async def test_a_heartbeat_keeps_the_lease_and_shows_progress(queue, clock):
    job = await queue.enqueue(new())
    held = await lease(queue)

    for _ in range(3):
        clock.pass_time(seconds=40)
        assert await queue.heartbeat(held, progress=0.25, ttl=TTL) is False

    assert await lease(queue, worker="w2") is None
    assert (await queue.get(job.name)).progress == 0.25


async def test_a_stalled_worker_is_replaced_and_its_result_refused(queue, clock):
    job = await queue.enqueue(new())
    stalled = await lease(queue, worker="w1")
    clock.pass_time(seconds=61)

    heir = await lease(queue, worker="w2")

    assert (heir.job.name, heir.job.attempts) == (job.name, 2)
    assert "w1" in heir.job.last_error
    for late in (
        queue.succeed(stalled, progress=Progress(1.0, {"expired": "99"})),
        queue.fail(stalled, error="Late.", retry_at=START),
        queue.heartbeat(stalled, progress=0.5, ttl=TTL),
        queue.stop(stalled, progress=Progress()),
        queue.release(stalled),
    ):
        with pytest.raises(LeaseLost):
            await late
    assert (await queue.get(job.name)).state is JobState.RUNNING
    assert (await queue.succeed(heir, progress=Progress(1.0, {"expired": "1"}))).result == {"expired": "1"}


async def test_a_slow_worker_may_finish_while_nobody_took_over(queue, clock):
    await queue.enqueue(new())
    held = await lease(queue)
    clock.pass_time(seconds=61)

    assert (await queue.succeed(held, progress=Progress())).state is JobState.SUCCEEDED


async def test_an_ended_job_is_not_ended_twice(queue):
    await queue.enqueue(new())
    held = await lease(queue)
    await queue.succeed(held, progress=Progress())

    with pytest.raises(LeaseLost):
        await queue.fail(held, error="Late.", retry_at=START)


async def test_a_failed_attempt_is_retried_at_its_time_with_its_error_kept(queue, clock):
    job = await queue.enqueue(new())

    failed = await queue.fail(await lease(queue), error="It broke.", retry_at=START + timedelta(seconds=4))

    assert (failed.state, failed.last_error, failed.attempts) == (JobState.QUEUED, "It broke.", 1)
    assert await lease(queue) is None
    clock.pass_time(seconds=4)
    assert (await lease(queue)).job.name == job.name


async def test_what_no_other_attempt_can_mend_is_a_dead_letter_at_once(queue):
    job = await queue.enqueue(new(max_attempts=5))

    await queue.fail(await lease(queue), error="It is not good enough.", retry_at=None)

    dead = await queue.get(job.name)
    assert (dead.state, dead.attempts, dead.last_error) == (JobState.DEAD, 1, "It is not good enough.")
    assert await lease(queue) is None


async def test_after_the_last_attempt_a_job_is_a_dead_letter_with_its_last_error(queue, clock):
    job = await queue.enqueue(new(max_attempts=2))
    for error in ("It broke.", "It broke again."):
        await queue.fail(await lease(queue), error=error, retry_at=clock.now())

    dead = await queue.get(job.name)
    assert (dead.state, dead.attempts, dead.last_error) == (JobState.DEAD, 2, "It broke again.")
    assert dead.end_time == START
    assert await lease(queue) is None


async def test_a_job_whose_workers_always_vanish_becomes_a_dead_letter(queue, clock):
    job = await queue.enqueue(new(max_attempts=2))
    for _ in range(2):
        assert await lease(queue)
        clock.pass_time(seconds=61)

    assert await lease(queue) is None
    dead = await queue.get(job.name)
    assert dead.state is JobState.DEAD
    assert "stopped answering" in dead.last_error


async def test_a_dead_letter_comes_back_with_all_its_attempts(queue):
    name = await dead_letter(queue)

    back = await queue.retry(name, caller=ALICE)

    assert (back.state, back.attempts, back.end_time, back.last_error) == (JobState.QUEUED, 0, None, "It broke.")
    assert (await lease(queue)).job.name == name


async def test_a_job_that_was_cancelled_comes_back_and_can_be_cancelled_again(queue):
    job = await queue.enqueue(new())
    held = await lease(queue)
    await queue.cancel(job.name, caller=ALICE)
    await queue.stop(held, progress=Progress(0.5, {"expired": "3"}))

    back = await queue.retry(job.name, caller=ALICE)

    assert (back.state, back.attempts, back.progress, back.end_time) == (JobState.QUEUED, 0, 0.0, None)
    held = await lease(queue)
    assert (held.job.name, await queue.heartbeat(held, progress=0.1, ttl=TTL)) == (job.name, False)
    await queue.cancel(job.name, caller=ALICE)
    assert await queue.heartbeat(held, progress=0.2, ttl=TTL) is True


async def test_what_has_not_ended_is_not_retried(queue):
    job = await queue.enqueue(new())

    with pytest.raises(StateConflict) as refused:
        await queue.retry(job.name, caller=ALICE)
    assert refused.value.metadata["state"] == "QUEUED"


async def test_a_repeated_retry_is_answered_as_the_first(queue):
    name = await dead_letter(queue)

    first = await queue.retry(name, caller=ALICE, request=KEY)
    again = await queue.retry(name, caller=ALICE, request=KEY)

    assert again == first


async def test_a_waiting_job_is_cancelled_at_once(queue):
    job = await queue.enqueue(new())

    cancelled = await queue.cancel(job.name, caller=ALICE)

    assert (cancelled.state, cancelled.end_time) == (JobState.CANCELLED, START)
    assert await lease(queue) is None


async def test_a_running_job_learns_that_it_is_cancelled_and_stops(queue):
    job = await queue.enqueue(new())
    held = await lease(queue)

    assert (await queue.cancel(job.name, caller=ALICE)).state is JobState.RUNNING
    assert await queue.heartbeat(held, progress=0.5, ttl=TTL) is True
    stopped = await queue.stop(held, progress=Progress(0.5, {"expired": "3"}))

    assert (stopped.state, stopped.result) == (JobState.CANCELLED, {"expired": "3"})


async def test_a_cancelled_job_is_not_tried_again_after_a_failure(queue):
    job = await queue.enqueue(new())
    held = await lease(queue)
    await queue.cancel(job.name, caller=ALICE)

    assert (await queue.fail(held, error="It broke.", retry_at=START)).state is JobState.CANCELLED


async def test_a_cancelled_job_is_not_taken_over(queue, clock):
    job = await queue.enqueue(new())
    await lease(queue)
    await queue.cancel(job.name, caller=ALICE)
    clock.pass_time(seconds=61)

    assert await lease(queue, worker="w2") is None
    assert (await queue.get(job.name)).state is JobState.CANCELLED


async def test_an_ended_job_cannot_be_cancelled(queue):
    job = await queue.enqueue(new())
    await queue.succeed(await lease(queue), progress=Progress())

    with pytest.raises(StateConflict) as refused:
        await queue.cancel(job.name, caller=ALICE)
    assert dict(refused.value.metadata) == {"name": str(job.name), "state": "SUCCEEDED"}


async def test_a_repeated_cancel_is_answered_as_the_first(queue):
    job = await queue.enqueue(new())

    first = await queue.cancel(job.name, caller=ALICE, request=KEY)

    assert await queue.cancel(job.name, caller=ALICE, request=KEY) == first


async def test_a_job_given_back_is_due_at_once_and_lost_no_attempt(queue):
    await queue.enqueue(new())

    back = await queue.release(await lease(queue))

    assert (back.state, back.attempts) == (JobState.QUEUED, 0)
    assert await lease(queue, worker="w2") is not None


async def test_pages_list_the_newest_first_without_gaps(queue):
    expected = sorted([(await queue.enqueue(new())).name.id for _ in range(5)], reverse=True)

    first = await page(queue, limit=2)
    rest = await page(queue, before=first[-1].name.id)

    assert [job.name.id for job in (*first, *rest)] == expected


async def test_pages_show_the_tenant_principal_and_states_asked_for(queue):
    mine = await queue.enqueue(new())
    theirs = await queue.enqueue(new(PrincipalName("acme", "bob")))
    await queue.enqueue(new(PrincipalName("umbrella", "u")))
    await queue.cancel(theirs.name, caller=ALICE)

    assert {job.name for job in await page(queue)} == {mine.name, theirs.name}
    assert {job.name for job in await page(queue, principal=ALICE)} == {mine.name}
    assert {job.name for job in await page(queue, states=frozenset({JobState.CANCELLED}))} == {theirs.name}


async def test_pruning_forgets_what_ended_long_ago_and_soon_what_has_nothing_to_tell(queue, clock):
    async def ended(progress: Progress) -> JobName:
        job = await queue.enqueue(new())
        await queue.succeed(await lease(queue), progress=progress)
        return job.name

    dead, replaced = await dead_letter(queue), await dead_letter(queue, PrincipalName("acme", "system"))
    old = await ended(Progress())
    clock.pass_time(days=40)
    quiet, telling = await ended(Progress(quiet=True)), await ended(Progress())
    clock.pass_time(hours=1)
    fresh, waiting = await ended(Progress(quiet=True)), (await queue.enqueue(new())).name

    gone = await queue.prune(
        quiet_before=clock.now() - timedelta(minutes=10), ended_before=clock.now() - timedelta(days=30)
    )

    assert gone == 3
    assert {job.name for job in await page(queue)} == {dead, telling, fresh, waiting}
    for name in (old, quiet, replaced):
        with pytest.raises(ResourceNotFound):
            await queue.get(name)
