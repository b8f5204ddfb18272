"""Jobs as other services order and steer them: a real server over the real queue, with no other service in reach."""

import asyncio
from datetime import timedelta

import pytest

from memos_api.internal.v1 import grant_pb2
from memos_api.internal.v1 import scheduler_service_pb2 as pb
from memos_api.v1 import chat_service_pb2, job_pb2, job_service_pb2
from memos_kernel.errors import (
    DependencyUnavailable,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
    PageTokenMismatch,
    PeerForbidden,
    PermissionDenied,
    RequestIdReused,
    ResourceNotFound,
    StateConflict,
    VaultNotFound,
)
from memos_kernel.permission import Action, Grant
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.context import use_grant
from memos_runtime.service import ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_scheduler.config import SchedulerConfig
from memos_scheduler.usecases import run_job
from memos_scheduler.wiring import build
from memos_wire.methods import GOVERNANCE, LIFECYCLE, SCHEDULER
from memos_wire.times import to_timestamp
from scheduler_server import CLOCK, JOBS, READ, TOKEN, VERIFIER, grant, scheduling


@pytest.fixture
async def scheduler(tmp_path):
    telemetry = Telemetry(SCHEDULER)
    nobody = ChannelPool({})
    context = ServiceContext(
        name=SCHEDULER,
        state_dir=tmp_path,
        channels=Channels(service=SCHEDULER, pool=nobody, telemetry=telemetry, peer_token=TOKEN),
        clock=CLOCK,
        telemetry=telemetry,
        verifier=VERIFIER,
    )
    service = build(SchedulerConfig(poll_seconds=0.02, watch_seconds=0.02, backoff_seconds=30), context)
    async with scheduling(service, telemetry) as stub:
        assert service.ready()
        yield stub
    assert not service.ready()


def sweep_order(*, request_id: str = "", body: str = "0f", due_in: timedelta = timedelta(hours=1), **fields):
    key = grant_pb2.RequestKey(request_id=request_id, method="/memos.v1.JobService/X", body_sha256=body)
    return pb.EnqueueJobRequest(
        job=job_pb2.Job(kind="expire_sweep", **fields), due_time=to_timestamp(CLOCK.now() + due_in), request_key=key
    )


def system() -> Grant:
    return grant(*JOBS, principal="system")


async def get(stub, name: str) -> job_pb2.Job:
    request = pb.GetJobRequest(request=job_service_pb2.GetJobRequest(name=name))
    return (await stub.GetJob(request)).response.job


async def page(stub, **fields) -> job_service_pb2.ListJobsResponse:
    return (await stub.ListJobs(pb.ListJobsRequest(request=job_service_pb2.ListJobsRequest(**fields)))).response


async def cancel(stub, name: str) -> job_pb2.Job:
    request = pb.CancelJobRequest(request=job_service_pb2.CancelJobRequest(name=name))
    return (await stub.CancelJob(request)).response.job


async def test_a_job_is_stored_listed_and_cancelled(scheduler):
    stub = scheduler()
    with use_grant(system()):
        made = (await stub.EnqueueJob(sweep_order(parameters={"why": "test"}, max_attempts=3))).job
        assert await get(stub, made.name) == made
        assert list((await page(stub)).jobs) == [made]
        cancelled = await cancel(stub, made.name)

    assert (made.state, made.principal) == (job_pb2.JOB_STATE_QUEUED, "tenants/acme/principals/system")
    assert (dict(made.parameters), made.max_attempts) == ({"why": "test"}, 3)
    assert made.due_time.seconds > made.create_time.seconds
    assert cancelled.state == job_pb2.JOB_STATE_CANCELLED
    assert cancelled.HasField("end_time")


async def test_a_repeated_order_makes_one_job_and_another_body_is_refused(scheduler):
    stub = scheduler()
    with use_grant(system()):
        first = (await stub.EnqueueJob(sweep_order(request_id="r-1"))).job
        again = (await stub.EnqueueJob(sweep_order(request_id="r-1"))).job
        with pytest.raises(RequestIdReused):
            await stub.EnqueueJob(sweep_order(request_id="r-1", body="ff"))

    assert first == again


async def test_a_job_that_fails_is_watched_through_to_its_dead_letter_and_comes_back(scheduler, monkeypatch):
    """Governance is not there, so no run gets a grant; and here nobody has the patience to wait for it."""
    monkeypatch.setattr(run_job, "PATIENCE", timedelta())
    stub = scheduler()
    watch = job_service_pb2.WatchJobRequest
    with use_grant(system()):
        made = (await stub.EnqueueJob(sweep_order(due_in=timedelta(0), max_attempts=1))).job
        async with asyncio.timeout(10):
            request = pb.WatchJobRequest(request=watch(name=made.name))
            seen = [answer.response.job async for answer in stub.WatchJob(request)]
        retry = pb.RetryJobRequest(request=job_service_pb2.RetryJobRequest(name=made.name))
        back = (await stub.RetryJob(retry)).response.job

    assert seen[-1].state == job_pb2.JOB_STATE_DEAD
    assert seen[-1].last_error == "DEPENDENCY_UNAVAILABLE: No address is configured for governance."
    assert (back.state, back.attempts) == (job_pb2.JOB_STATE_QUEUED, 0)


async def test_pages_belong_to_their_caller_and_their_question(scheduler):
    stub = scheduler()
    with use_grant(system()):
        made = [(await stub.EnqueueJob(sweep_order())).job.name for _ in range(3)]
        first = await page(stub, page_size=2)
        second = await page(stub, page_size=2, page_token=first.next_page_token)
        with pytest.raises(PageTokenMismatch):
            await page(stub, states=[job_pb2.JOB_STATE_DEAD], page_token=first.next_page_token)
    with use_grant(grant(*JOBS)), pytest.raises(PageTokenMismatch):
        await page(stub, page_token=first.next_page_token)

    assert {job.name for job in (*first.jobs, *second.jobs)} == set(made)
    assert second.next_page_token == ""


async def test_a_job_of_somebody_else_is_not_found_except_by_an_admin(scheduler):
    stub = scheduler()
    with use_grant(system()):
        made = (await stub.EnqueueJob(sweep_order())).job
    with use_grant(grant(*JOBS)):
        for call in (get(stub, made.name), cancel(stub, made.name)):
            with pytest.raises(ResourceNotFound):
                await call
        assert list((await page(stub)).jobs) == []
    with use_grant(grant(*JOBS, Action.TENANT_ADMIN)):
        assert [job.name for job in (await page(stub)).jobs] == [made.name]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (pb.EnqueueJobRequest(), MissingField),
        (pb.EnqueueJobRequest(job=job_pb2.Job(kind="unheard-of")), InvalidField),
        (pb.EnqueueJobRequest(job=job_pb2.Job(kind="expire_sweep", max_attempts=99)), LimitExceeded),
        (pb.EnqueueJobRequest(job=job_pb2.Job(kind="expire_sweep", vaults=["x"])), MalformedName),
        (
            pb.EnqueueJobRequest(job=job_pb2.Job(kind="expire_sweep", vaults=["tenants/acme/vaults/other"])),
            VaultNotFound,
        ),
    ],
)
async def test_bad_orders_are_refused(request_, error, scheduler):
    with use_grant(system()), pytest.raises(error):
        await scheduler().EnqueueJob(request_)


async def test_only_the_system_orders_sweeps(scheduler):
    with use_grant(grant(*JOBS)), pytest.raises(PermissionDenied):
        await scheduler().EnqueueJob(sweep_order())


async def test_bad_questions_about_jobs_are_refused(scheduler):
    stub = scheduler()
    with use_grant(system()):
        made = (await stub.EnqueueJob(sweep_order())).job
        with pytest.raises(StateConflict):
            await stub.RetryJob(pb.RetryJobRequest(request=job_service_pb2.RetryJobRequest(name=made.name)))
        await cancel(stub, made.name)
        with pytest.raises(StateConflict):
            await cancel(stub, made.name)
        with pytest.raises(MalformedName):
            await get(stub, "jobs/x")
        with pytest.raises(ResourceNotFound):
            await get(stub, "tenants/acme/jobs/missing")
        with pytest.raises(LimitExceeded):
            await page(stub, page_size=1_001)


async def test_services_that_have_no_business_here_are_refused(scheduler):
    for peer in (LIFECYCLE, GOVERNANCE):
        with use_grant(system()), pytest.raises(PeerForbidden):
            await get(scheduler(peer), "tenants/acme/jobs/x")


async def test_without_storage_there_is_no_plan(scheduler):
    with use_grant(grant(*READ)), pytest.raises(DependencyUnavailable):
        await scheduler().PlanInjection(
            pb.PlanInjectionRequest(call=chat_service_pb2.MemoryCall(query="Where does Nora live?", intent="recall"))
        )
