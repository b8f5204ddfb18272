"""SchedulerService as the other services see it: through a real server with the runtime's interceptors.

Plans run on twins of storage and inference. The queue is the real one, put together by the service's own
wiring, with no other service in reach.
"""

import asyncio
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_api.internal.v1 import grant_pb2
from memos_api.internal.v1 import scheduler_service_pb2 as pb
from memos_api.internal.v1.scheduler_service_pb2_grpc import (
    SchedulerServiceStub,
    add_SchedulerServiceServicer_to_server,
)
from memos_api.v1 import chat_service_pb2, job_pb2, job_service_pb2, memory_service_pb2
from memos_kernel.cube import Kind, MemCube, Plaintext, SourceSpan, State, TraceRef
from memos_kernel.errors import (
    DependencyUnavailable,
    GrantInvalid,
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
from memos_kernel.ids import SystemClock, uuid7
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.config import ServerConfig
from memos_runtime.context import use_grant
from memos_runtime.paging import PageTokens
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.service import Service, ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_runtime.tracing import Tracing
from memos_scheduler.adapters.memory import MemoryEngine, MemoryGrants, MemoryRetriever
from memos_scheduler.adapters.memory_queue import MemoryJobQueue
from memos_scheduler.config import SchedulerConfig
from memos_scheduler.domain.jobs import EXPIRE_SWEEP
from memos_scheduler.domain.plan import BudgetRule, Candidate
from memos_scheduler.domain.policies import SimilarityPolicy
from memos_scheduler.servicer.service import SchedulerServicer
from memos_scheduler.usecases.enqueue_job import EnqueueJob
from memos_scheduler.usecases.find_jobs import GetJob, ListJobs
from memos_scheduler.usecases.plan_injection import PlanInjection
from memos_scheduler.usecases.steer_job import CancelJob, RetryJob
from memos_scheduler.usecases.watch_job import WatchJob
from memos_scheduler.wiring import build
from memos_wire.grants import GrantSigner, GrantVerifier
from memos_wire.methods import GOVERNANCE, INTERFACE, LIFECYCLE, SCHEDULER
from memos_wire.times import to_timestamp

CLOCK = SystemClock()
KEY = Ed25519PrivateKey.generate()
VERIFIER = GrantVerifier([KEY.public_key()], clock=CLOCK)
TOKEN = "between-services"
READ = (Action.CUBE_READ, Action.CUBE_USE, Action.MODEL_USE)
JOBS = (Action.JOB_READ, Action.JOB_WRITE)
ORIGIN = TraceRef("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def grant(*actions: Action, principal: str = "alice", issued_to: str = INTERFACE) -> Grant:
    made = Grant(
        id="g",
        principal=PrincipalName("acme", principal),
        issued_to=issued_to,
        vaults=frozenset({VaultName("acme", "main")}),
        all_vaults=False,
        actions=frozenset(actions),
        policy_epoch=1,
        expire_time=CLOCK.now() + timedelta(seconds=30),
    )
    return VERIFIER.verify(GrantSigner(KEY).sign(made, clock=CLOCK).SerializeToString())


@asynccontextmanager
async def hosted(service: Service, telemetry: Telemetry):
    """Serves the scheduler on loopback; gives what returns its stub as a service holds it."""
    host = Host(
        [service],
        config=ServerConfig(health_address=""),
        telemetry=telemetry,
        trust=Trust(verifier=VERIFIER, clock=CLOCK, peer_token=TOKEN),
        internal=Listener(address="127.0.0.1:0"),
    )
    await host.start()
    pool = ChannelPool({SCHEDULER: f"127.0.0.1:{host.ports['internal']}"})

    def stub(peer: str = INTERFACE) -> SchedulerServiceStub:
        channels = Channels(service=peer, pool=pool, telemetry=telemetry, peer_token=TOKEN)
        return channels.stub(SchedulerServiceStub, SCHEDULER)

    try:
        yield stub
    finally:
        await pool.close()
        await host.stop(grace=0)


def memory(name: str, text: str, *, rank: int, **fields) -> Candidate:
    cube = MemCube(
        name=CubeName("acme", name),
        vault=VaultName("acme", "main"),
        kind=Kind.PLAINTEXT,
        payload=Plaintext(text),
        sources=(SourceSpan(speaker="Nora", event_time=datetime(2026, 3, 2, tzinfo=UTC)),),
        **fields,
    )
    return Candidate(cube=cube, rank=rank, score=0.5, leg_scores={"lexical": 8.1})


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def engine() -> MemoryEngine:
    return MemoryEngine()


@pytest.fixture
def retriever() -> MemoryRetriever:
    return MemoryRetriever(
        (
            memory("live", "I live in Lisbon.", rank=1, origin_trace=ORIGIN),
            memory("stale", "I live in Porto.", rank=2, state=State.STALE),
        )
    )


@pytest.fixture
async def planner(engine, retriever, spans):
    queue = MemoryJobQueue(clock=CLOCK)
    find, grants = GetJob(queue=queue), MemoryGrants(clock=CLOCK)
    servicer = SchedulerServicer(
        plan=PlanInjection(
            engine=engine,
            retriever=retriever,
            policy=SimilarityPolicy(),
            budget=BudgetRule(share=0.4, cap=2_000, requested_share=0.7),
            candidates=30,
            clock=CLOCK,
            new_id=uuid7,
        ),
        enqueue=EnqueueJob(
            queue=queue, kinds={EXPIRE_SWEEP.name: EXPIRE_SWEEP}, default_attempts=5, new_id=uuid7, wake=lambda: None
        ),
        get=find,
        page=ListJobs(queue=queue),
        cancel=CancelJob(queue=queue, find=find),
        retry=RetryJob(queue=queue, find=find, wake=lambda: None),
        watch=WatchJob(find=find, grants=grants, clock=CLOCK, every=timedelta(milliseconds=5)),
        tokens=PageTokens(b"k" * 32),
    )

    async def nothing() -> None: ...

    service = Service(
        name=SCHEDULER,
        register=lambda server: add_SchedulerServiceServicer_to_server(servicer, server),
        start=nothing,
        close=nothing,
        ready=lambda: True,
    )
    async with hosted(service, Telemetry(SCHEDULER, tracing=Tracing.to_exporter(spans))) as stub:
        yield stub()


def question(text: str = "Where does Nora live?", **fields) -> pb.PlanInjectionRequest:
    return pb.PlanInjectionRequest(call=chat_service_pb2.MemoryCall(query=text, intent="recall"), **fields)


async def test_a_plan_names_what_was_chosen_and_what_was_not(planner):
    with use_grant(grant(*READ)):
        plan = (await planner.PlanInjection(question())).plan

    [chosen], [rejected] = plan.chosen, plan.rejected
    assert plan.name.startswith("tenants/acme/plans/")
    assert plan.call.query == "Where does Nora live?"
    assert (chosen.cube.name, chosen.form, chosen.reason) == ("tenants/acme/cubes/live", "text", "rank 1: lexical 8.1")
    assert (chosen.cube.plaintext.text, chosen.score) == ("I live in Lisbon.", 0.5)
    assert chosen.tokens == len(["-", "Nora:", "I", "live", "in", "Lisbon.", "(on", "2026-03-02)"])
    assert (rejected.cube.name, rejected.reason) == ("tenants/acme/cubes/stale", "not injectable: stale")
    assert rejected.cube.WhichOneof("payload") is None
    assert not plan.degraded


async def test_vaults_and_conditions_reach_the_search_untouched(planner, retriever):
    conditions = memory_service_pb2.CubeFilter(speakers=["Nora"], labels={"topic": "home"})

    with use_grant(grant(*READ)):
        await planner.PlanInjection(question(vaults=["tenants/acme/vaults/main"], filter=conditions))

    [(query, vaults, passed_on, _)] = retriever.asked
    assert (query, vaults) == ("Where does Nora live?", (VaultName("acme", "main"),))
    assert memory_service_pb2.CubeFilter.FromString(passed_on) == conditions


async def test_a_plan_without_embedder_says_degraded(planner, engine):
    engine.away = {"embed": DependencyUnavailable("The inference service does not answer.")}

    with use_grant(grant(*READ)):
        plan = (await planner.PlanInjection(question())).plan

    assert plan.degraded
    assert len(plan.chosen) == 1


async def test_the_span_of_a_plan_is_linked_to_the_origins_of_the_chosen(planner, spans):
    with use_grant(grant(*READ)):
        plan = (await planner.PlanInjection(question())).plan

    [span] = [span for span in spans.get_finished_spans() if "memos.plan" in (span.attributes or {})]
    assert span.attributes["memos.plan"] == plan.name
    assert span.attributes["memos.cube.count"] == 1
    [link] = span.links
    assert (f"{link.context.trace_id:032x}", f"{link.context.span_id:016x}") == (ORIGIN.trace_id, ORIGIN.span_id)
    assert dict(link.attributes) == {"memos.link": "planned"}
    assert "Lisbon" not in str(dict(span.attributes))


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        (pb.PlanInjectionRequest(), MissingField, "call"),
        (question(" "), MissingField, "call.query"),
        (question("x" * 5_000), LimitExceeded, "call.query"),
        (question(token_budget=-1), InvalidField, "token_budget"),
        (question(vaults=["main"]), MalformedName, "vaults[0]"),
        (question(filter=memory_service_pb2.CubeFilter(kinds=[77])), InvalidField, "filter.kinds[0]"),
    ],
)
async def test_bad_plans_are_refused_with_the_field(request_, error, field, planner):
    with use_grant(grant(*READ)), pytest.raises(error) as refused:
        await planner.PlanInjection(request_)
    assert refused.value.metadata["field"] == field


async def test_a_plan_needs_the_permission_to_use_memories(planner):
    with use_grant(grant(Action.CUBE_READ, Action.MODEL_USE)), pytest.raises(GrantInvalid):
        await planner.PlanInjection(question())


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
    async with hosted(service, telemetry) as stub:
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


async def test_a_job_that_fails_is_watched_through_to_its_dead_letter_and_comes_back(scheduler):
    """Governance is not there, so no run gets a grant."""
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
        await cancel(stub, made.name)
        with pytest.raises(StateConflict):
            await cancel(stub, made.name)
        with pytest.raises(StateConflict):
            await stub.RetryJob(pb.RetryJobRequest(request=job_service_pb2.RetryJobRequest(name=made.name)))
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
        await scheduler().PlanInjection(question())
