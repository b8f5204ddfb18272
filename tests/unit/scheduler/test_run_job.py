"""Runs of jobs: grants, heartbeats, failures, cancelling, going down."""

import asyncio
import logging
from datetime import timedelta

import pytest

from memos_kernel.errors import CubeNotFound, DependencyUnavailable, InvalidField, StateConflict
from memos_kernel.names import JobName, PrincipalName, VaultName
from memos_kernel.permission import Action
from memos_scheduler.adapters.memory import MemoryObserver
from memos_scheduler.domain.jobs import Backoff, JobKind, JobState, NewJob, Progress
from memos_scheduler.usecases.run_job import RunJob

COUNT = JobKind("count", frozenset({Action.CUBE_READ}))
TTL = timedelta(seconds=60)
SHORT = timedelta(milliseconds=15)


class Steps:
    """A handler whose steps are given as coroutine functions, each returning a Progress."""

    kind = COUNT

    def __init__(self, *steps) -> None:
        self.steps = steps

    async def run(self, job):
        for step in self.steps:
            yield await step()


@pytest.fixture
def observer() -> MemoryObserver:
    return MemoryObserver()


@pytest.fixture
def runner(queue, grants, clock, new_id, observer):
    """Returns what runs a job with the steps."""

    def run(*steps, ttl=TTL):
        return RunJob(
            queue=queue,
            grants=grants,
            handlers={"count": Steps(*steps)},
            clock=clock,
            new_id=new_id,
            backoff=Backoff(timedelta(seconds=2), timedelta(minutes=10)),
            chance=lambda: 0.0,
            ttl=ttl,
            observer=observer,
        )

    return run


@pytest.fixture
def enqueued(queue, new_id):
    """Puts a job into the queue."""

    async def enqueue(max_attempts):
        alice, vaults = PrincipalName("acme", "alice"), (VaultName("acme", "main"),)
        name = JobName("acme", new_id())
        await queue.enqueue(NewJob(name=name, kind="count", principal=alice, max_attempts=max_attempts, vaults=vaults))
        return name

    return enqueue


@pytest.fixture
def run_steps(queue, runner, enqueued):
    """Puts a job into the queue, leases it and runs it with the steps."""

    async def run(*steps, ttl=TTL, max_attempts=3):
        name = await enqueued(max_attempts)
        await runner(*steps, ttl=ttl)(await queue.lease(frozenset({"count"}), worker="w", ttl=ttl))
        return await queue.get(name)

    return run


def report(fraction: float, **figures: str):
    async def step():
        return Progress(fraction, figures)

    return step


async def test_a_job_that_came_to_its_end_succeeded_with_its_last_report(run_steps, observer):
    job = await run_steps(report(0.5, expired="1"), report(1.0, expired="2"))

    assert (job.state, job.result) == (JobState.SUCCEEDED, {"expired": "2"})
    assert observer.jobs == [job]


async def test_each_step_runs_under_a_fresh_grant_of_the_jobs_scope(run_steps, grants):
    used = []

    async def step():
        used.append(grants.in_use)
        return Progress()

    job = await run_steps(step, step)

    assert used == grants.issued[:2]
    assert used[0] is not used[1]
    assert {(grant.principal, grant.actions, grant.vaults) for grant in used} == {
        (job.principal, COUNT.actions, frozenset(job.vaults))
    }
    assert grants.in_use is None


async def test_a_failed_attempt_is_tried_again_after_a_wait(run_steps, clock):
    async def fail():
        raise StateConflict("It is in use.", state="RUNNING")

    job = await run_steps(report(0.5), fail)

    assert (job.state, job.attempts) == (JobState.QUEUED, 1)
    assert job.last_error == "STATE_CONFLICT: It is in use."
    assert job.due_time == clock.now() + timedelta(seconds=1)


@pytest.mark.parametrize("error", [CubeNotFound("It is gone."), InvalidField("It is too long.", field="name")])
async def test_what_no_attempt_can_mend_leaves_a_dead_letter_at_once(run_steps, error):
    async def fail():
        raise error

    job = await run_steps(fail)

    assert (job.state, job.attempts, job.last_error) == (JobState.DEAD, 1, f"{error.reason}: {error.message}")


async def test_while_a_part_is_away_a_job_keeps_its_attempts_for_a_day(queue, runner, enqueued, clock):
    async def away():
        raise DependencyUnavailable("Storage is away.", dependency="storage")

    async def attempt(hours):
        clock.pass_time(seconds=hours * 3600)
        await runner(away)(await queue.lease(frozenset({"count"}), worker="w", ttl=TTL))
        return await queue.get(name)

    name = await enqueued(2)
    waits = []
    for hours in (0, 0.01, 1, 22):
        job = await attempt(hours)
        assert (job.state, job.attempts) == (JobState.QUEUED, 0)
        waits.append((job.due_time - clock.now()).total_seconds())
    assert waits == sorted(waits)
    assert waits[-1] <= 60
    assert [(await attempt(24)).state for _ in range(2)] == [JobState.QUEUED, JobState.DEAD]


async def test_the_last_failed_attempt_leaves_a_dead_letter(run_steps):
    async def fail():
        raise StateConflict("It is in use.", state="RUNNING")

    job = await run_steps(fail, max_attempts=1)

    assert (job.state, job.last_error) == (JobState.DEAD, "STATE_CONFLICT: It is in use.")


@pytest.mark.parametrize(("max_attempts", "level", "state"), [(3, "WARNING", "QUEUED"), (1, "ERROR", "DEAD")])
async def test_the_log_tells_of_each_failed_attempt(max_attempts, level, state, run_steps, caplog):
    async def fail():
        raise StateConflict("It is in use.", state="RUNNING")

    job = await run_steps(fail, max_attempts=max_attempts)

    [line] = caplog.records
    assert line.levelname == level
    assert line.getMessage() == (
        f"attempt 1 of {max_attempts} at job {job.name} (count) failed and left it {state}: "
        "STATE_CONFLICT: It is in use."
    )


async def test_the_text_of_an_unknown_failure_goes_to_the_log_only(run_steps, caplog):
    async def fail():
        raise RuntimeError("Nora lives in Lisbon.")

    with caplog.at_level(logging.ERROR):
        job = await run_steps(fail, max_attempts=1)

    assert "Nora" not in job.last_error
    error_id = job.last_error.split("error id ")[1].split()[0]
    assert error_id in caplog.text


async def test_a_job_whose_principal_lost_its_permission_fails(run_steps, grants):
    grants.denied.add(PrincipalName("acme", "alice"))

    job = await run_steps(report(1.0), max_attempts=1)

    assert (job.state, job.last_error) == (JobState.DEAD, "PERMISSION_DENIED: The principal may not do this.")


async def test_a_cancelled_job_stops_after_its_step_and_keeps_its_figures(run_steps, queue):
    ran = []

    async def cancel_me():
        [name] = queue._records
        await queue.cancel(name, caller=PrincipalName("acme", "alice"))
        return Progress(0.5, {"expired": "3"})

    async def never():
        ran.append(True)
        return Progress(1.0)

    job = await run_steps(cancel_me, never)

    assert (job.state, job.result, ran) == (JobState.CANCELLED, {"expired": "3"}, [])


async def test_a_heartbeat_keeps_the_lease_of_a_long_step(run_steps, queue, clock):
    async def long_step():
        for _ in range(5):
            clock.time += SHORT / 2
            await asyncio.sleep((SHORT / 2).total_seconds())
        assert await queue.lease(frozenset({"count"}), worker="w2", ttl=SHORT) is None
        return Progress(1.0)

    job = await run_steps(long_step, ttl=SHORT)

    assert job.state is JobState.SUCCEEDED


async def test_a_worker_that_lost_its_lease_stops_and_records_nothing(run_steps, queue, clock, observer):
    stopped = []

    async def stall():
        clock.pass_time(seconds=61)
        assert await queue.lease(frozenset({"count"}), worker="w2", ttl=TTL)
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            stopped.append(True)
            raise
        return Progress(1.0)

    job = await run_steps(stall, ttl=SHORT)

    assert stopped
    assert (job.state, job.attempts) == (JobState.RUNNING, 2)
    assert observer.jobs == []


async def test_a_worker_that_goes_down_gives_its_job_back(run_steps, queue):
    started = asyncio.Event()

    async def endless():
        started.set()
        await asyncio.sleep(60)
        return Progress(1.0)

    running = asyncio.create_task(run_steps(endless))
    await started.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running

    [record] = queue._records.values()
    assert (record.job.state, record.job.attempts) == (JobState.QUEUED, 0)


@pytest.mark.parametrize(("attempts", "seconds"), [(1, 2), (2, 4), (5, 32), (12, 600), (100, 600)])
def test_waits_double_up_to_a_bound_and_are_spread(attempts, seconds):
    backoff = Backoff(timedelta(seconds=2), timedelta(seconds=600))

    assert backoff.delay(attempts, chance=0.0) == timedelta(seconds=seconds / 2)
    assert backoff.delay(attempts, chance=1.0) == timedelta(seconds=seconds)
