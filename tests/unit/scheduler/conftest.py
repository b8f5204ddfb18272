"""A clock, names and twins for the tests of the scheduler."""

from datetime import UTC, datetime, timedelta
from itertools import count

import pytest

from memos_kernel.cube import Kind, MemCube, Plaintext, SourceSpan
from memos_kernel.jobs import CUBES
from memos_kernel.names import CubeName, JobName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_scheduler.adapters.memory import MemoryEngine, MemoryGrants, MemoryMemories, MemoryRetriever
from memos_scheduler.adapters.memory_queue import MemoryJobQueue
from memos_scheduler.domain.forms import CacheRule
from memos_scheduler.domain.jobs import Job, JobKind
from memos_scheduler.domain.plan import BudgetRule, Candidate
from memos_scheduler.domain.policies import SimilarityPolicy
from memos_scheduler.usecases.plan_injection import PlanInjection

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)


class SetClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> datetime:
        return self.time

    def pass_time(self, **amount: float) -> None:
        self.time += timedelta(**amount)


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def queue(clock) -> MemoryJobQueue:
    return MemoryJobQueue(clock=clock)


@pytest.fixture
def grants(clock) -> MemoryGrants:
    return MemoryGrants(clock=clock)


@pytest.fixture
def new_id():
    numbers = count(1)
    return lambda: f"id-{next(numbers):04}"


@pytest.fixture
def make_job(clock):
    def make(kind: JobKind, ids: str = "", **fields) -> Job:
        """Make a job; `ids` are of the cubes that it names."""
        named = {"vaults": (VaultName("acme", "main"),), "parameters": {CUBES: ids}} if ids else {}
        given = {
            "name": JobName("acme", "j"),
            "kind": kind.name,
            "principal": PrincipalName("acme", "alice"),
            "max_attempts": 3,
            "create_time": clock.now(),
            "due_time": clock.now(),
        }
        return Job(**{**given, **named, **fields})

    return make


@pytest.fixture
def make_planner(clock, new_id):
    def make(candidates, *, engine=None, memories=None, policy=None, least=1, top_k=30) -> PlanInjection:
        """Make a planner whose search finds the candidates."""
        return PlanInjection(
            engine=engine or MemoryEngine(),
            retriever=MemoryRetriever(tuple(candidates)),
            policy=policy or SimilarityPolicy(),
            memories=memories or MemoryMemories(),
            budget=BudgetRule(share=0.4, cap=2_000, requested_share=0.7),
            caches=CacheRule(least_tokens=least),
            candidates=top_k,
            clock=clock,
            new_id=new_id,
        )

    return make


@pytest.fixture
def make_grant(clock):
    def make(principal: str = "alice", *actions: Action, tenant: str = "acme", vaults: tuple[str, ...] = ()) -> Grant:
        return Grant(
            id="g",
            principal=PrincipalName(tenant, principal),
            issued_to="interface",
            vaults=frozenset(VaultName(tenant, vault) for vault in vaults),
            all_vaults=False,
            actions=frozenset(actions) or frozenset({Action.JOB_READ, Action.JOB_WRITE}),
            policy_epoch=1,
            expire_time=clock.now() + timedelta(seconds=60),
        )

    return make


@pytest.fixture
def make_candidate():
    """Makes candidates whose ranks are in the order in which they are made."""
    ranks = count(1)

    def make(text: str, *, days_ago: float | None = None, **fields) -> Candidate:
        rank = next(ranks)
        said = () if days_ago is None else (SourceSpan(speaker="Nora", event_time=NOW - timedelta(days=days_ago)),)
        said = fields.pop("sources", said)
        cube = MemCube(
            name=CubeName("acme", f"c{rank}"),
            vault=VaultName("acme", "main"),
            kind=fields.pop("kind", Kind.PLAINTEXT),
            payload=Plaintext(text),
            sources=said,
            **fields,
        )
        return Candidate(cube=cube, rank=rank, score=1.0 / rank, leg_scores={"dense": 0.62, "lexical": 8.1})

    return make
