"""Plans as other services ask for them: through the runtime's server, on twins of storage and inference."""

from datetime import UTC, datetime, timedelta

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_api.internal.v1 import scheduler_service_pb2 as pb
from memos_api.internal.v1.scheduler_service_pb2_grpc import (
    add_SchedulerServiceServicer_to_server,
)
from memos_api.v1 import chat_service_pb2, memory_service_pb2
from memos_kernel.cube import Kind, MemCube, Plaintext, SourceSpan, State
from memos_kernel.errors import (
    DependencyUnavailable,
    GrantInvalid,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
)
from memos_kernel.ids import uuid7
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Action
from memos_runtime.context import use_grant
from memos_runtime.paging import PageTokens
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry
from memos_runtime.tracing import Tracing
from memos_scheduler.adapters.memory import MemoryEngine, MemoryGrants, MemoryMemories, MemoryRetriever
from memos_scheduler.adapters.memory_queue import MemoryJobQueue
from memos_scheduler.domain.forms import CacheRule
from memos_scheduler.domain.jobs import EXPIRE_SWEEP
from memos_scheduler.domain.plan import BudgetRule, Candidate
from memos_scheduler.domain.policies import SimilarityPolicy
from memos_scheduler.servicer.service import SchedulerServicer
from memos_scheduler.usecases.enqueue_job import EnqueueJob
from memos_scheduler.usecases.find_jobs import GetJob, ListJobs
from memos_scheduler.usecases.plan_injection import PlanInjection
from memos_scheduler.usecases.steer_job import CancelJob, RetryJob
from memos_scheduler.usecases.watch_job import WatchJob
from memos_wire.methods import SCHEDULER
from scheduler_server import CLOCK, ORIGIN, READ, grant, scheduling


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
            memories=MemoryMemories(),
            policy=SimilarityPolicy(),
            budget=BudgetRule(share=0.4, cap=2_000, requested_share=0.7),
            caches=CacheRule(least_tokens=256),
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
    async with scheduling(service, Telemetry(SCHEDULER, tracing=Tracing.to_exporter(spans))) as stub:
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


async def test_a_long_conversation_leaves_fewer_tokens_to_memories(planner):
    with use_grant(grant(*READ)):
        plan = (await planner.PlanInjection(question(turns=["word " * 675], max_tokens=250))).plan

    assert [memory.reason for memory in plan.rejected] == ["over the token budget of 3", "not injectable: stale"]


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
        (question(max_tokens=-1), InvalidField, "max_tokens"),
        (question(turns=["word"] * 65), LimitExceeded, "turns"),
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
