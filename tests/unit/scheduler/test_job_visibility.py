"""Who may know of a job, and steer it."""

from datetime import timedelta

import pytest

from memos_kernel.errors import PermissionDenied, ResourceNotFound
from memos_kernel.names import JobName, PrincipalName
from memos_kernel.permission import Action
from memos_kernel.requests import RequestKey
from memos_scheduler.domain.jobs import JobState, NewJob, Progress
from memos_scheduler.usecases.find_jobs import GetJob, ListJobs
from memos_scheduler.usecases.steer_job import CancelJob, RetryJob
from memos_scheduler.usecases.watch_job import WatchJob

NO_KEY = RequestKey()
TTL = timedelta(seconds=60)


@pytest.fixture
def enqueue(queue, new_id):
    async def enqueue(principal: str, *, tenant: str = "acme"):
        return await queue.enqueue(
            NewJob(
                name=JobName(tenant, new_id()),
                kind="count",
                principal=PrincipalName(tenant, principal),
                max_attempts=1,
            )
        )

    return enqueue


@pytest.fixture
def admin(make_grant):
    return make_grant("root", Action.JOB_READ, Action.TENANT_ADMIN)


async def test_a_principal_sees_its_own_jobs_only(queue, enqueue, make_grant):
    mine, theirs = await enqueue("alice"), await enqueue("bob")
    get, alice = GetJob(queue=queue), make_grant("alice")

    assert await get(mine.name, grant=alice) == mine
    with pytest.raises(ResourceNotFound):
        await get(theirs.name, grant=alice)
    jobs, following = await ListJobs(queue=queue)(grant=alice, states=frozenset(), before="", limit=10)
    assert (jobs, following) == ((mine,), "")


async def test_an_admin_sees_every_job_of_the_tenant_and_no_other(queue, enqueue, admin):
    ours, theirs = [await enqueue("alice"), await enqueue("system")], await enqueue("eve", tenant="umbrella")

    jobs, _ = await ListJobs(queue=queue)(grant=admin, states=frozenset(), before="", limit=10)

    assert {job.name for job in jobs} == {job.name for job in ours}
    with pytest.raises(ResourceNotFound):
        await GetJob(queue=queue)(theirs.name, grant=admin)


async def test_a_job_that_is_secret_looks_like_one_that_does_not_exist(queue, enqueue, make_grant):
    theirs = await enqueue("bob")
    missing = JobName("acme", "missing")

    messages = []
    for name in (theirs.name, missing):
        with pytest.raises(ResourceNotFound) as refused:
            await GetJob(queue=queue)(name, grant=make_grant("alice"))
        messages.append(refused.value.message.replace(str(name), "NAME"))
    assert messages[0] == messages[1]


async def test_pages_follow_each_other(queue, enqueue, make_grant):
    jobs = [await enqueue("alice") for _ in range(5)]
    seen, before = [], ""

    for _ in range(3):
        page, before = await ListJobs(queue=queue)(
            grant=make_grant("alice"), states=frozenset(), before=before, limit=2
        )
        seen.extend(page)

    assert seen == jobs[::-1]
    assert before == ""


async def test_nobody_steers_a_job_that_is_secret(queue, enqueue, make_grant):
    theirs = await enqueue("bob")
    find, alice = GetJob(queue=queue), make_grant("alice")

    with pytest.raises(ResourceNotFound):
        await CancelJob(queue=queue, find=find)(theirs.name, grant=alice, request=NO_KEY)
    with pytest.raises(ResourceNotFound):
        await RetryJob(queue=queue, find=find, wake=lambda: None)(theirs.name, grant=alice, request=NO_KEY)
    assert (await queue.get(theirs.name)).state is JobState.QUEUED


async def test_a_retry_wakes_the_worker(queue, enqueue, make_grant, clock):
    mine, woken = await enqueue("alice"), []
    held = await queue.lease(frozenset({"count"}), worker="w", ttl=TTL)
    await queue.fail(held, error="It broke.", retry_at=clock.now())

    job = await RetryJob(queue=queue, find=GetJob(queue=queue), wake=lambda: woken.append(1))(
        mine.name, grant=make_grant("alice"), request=NO_KEY
    )

    assert (job.state, woken) == (JobState.QUEUED, [1])


@pytest.fixture
def watch(queue, grants, clock) -> WatchJob:
    return WatchJob(find=GetJob(queue=queue), grants=grants, clock=clock, every=timedelta(milliseconds=1))


async def test_a_watcher_sees_each_change_until_the_end(queue, enqueue, watch, make_grant):
    mine = await enqueue("alice")
    stream = watch(mine.name, grant=make_grant("alice"))

    seen = [await anext(stream)]
    held = await queue.lease(frozenset({"count"}), worker="w", ttl=TTL)
    seen.append(await anext(stream))
    await queue.heartbeat(held, progress=0.5, ttl=TTL)
    seen.append(await anext(stream))
    await queue.succeed(held, progress=Progress())
    seen.extend([job async for job in stream])

    assert [(job.state.name, job.progress) for job in seen] == [
        ("QUEUED", 0.0),
        ("RUNNING", 0.0),
        ("RUNNING", 0.5),
        ("SUCCEEDED", 1.0),
    ]


async def test_an_ended_job_is_shown_once(queue, enqueue, watch, make_grant):
    mine = await enqueue("alice")
    await queue.cancel(mine.name, caller=mine.principal)

    assert [job.state async for job in watch(mine.name, grant=make_grant("alice"))] == [JobState.CANCELLED]


async def test_a_watch_ends_when_the_permission_does(enqueue, watch, make_grant, grants, clock):
    mine, grant = await enqueue("alice"), make_grant("alice")
    stream = watch(mine.name, grant=grant)
    assert (await anext(stream)).state is JobState.QUEUED

    grants.denied.add(grant.principal)
    clock.pass_time(seconds=61)

    with pytest.raises(PermissionDenied):
        await anext(stream)


async def test_a_watch_outlives_its_first_grant(queue, enqueue, watch, make_grant, grants, clock):
    mine, grant = await enqueue("alice"), make_grant("alice")
    stream = watch(mine.name, grant=grant)
    await anext(stream)

    clock.pass_time(seconds=61)
    await queue.cancel(mine.name, caller=mine.principal)

    assert [job.state async for job in stream] == [JobState.CANCELLED]
    assert [issued.actions for issued in grants.issued] == [grant.actions]
