"""What may be put into the queue."""

from datetime import timedelta

import pytest

from memos_kernel.errors import InvalidField, LimitExceeded, PermissionDenied, VaultNotFound
from memos_kernel.names import VaultName
from memos_kernel.permission import Action
from memos_kernel.requests import RequestKey
from memos_scheduler.domain.jobs import EXPIRE_SWEEP, JobKind, JobState
from memos_scheduler.usecases.enqueue_job import EnqueueJob, JobOrder

COUNT = JobKind("count", frozenset({Action.CUBE_READ}))
NO_KEY = RequestKey()


@pytest.fixture
def woken() -> list[bool]:
    return []


@pytest.fixture
def enqueue(queue, new_id, woken) -> EnqueueJob:
    return EnqueueJob(
        queue=queue,
        kinds={kind.name: kind for kind in (COUNT, EXPIRE_SWEEP)},
        default_attempts=5,
        new_id=new_id,
        wake=lambda: woken.append(True),
    )


async def test_a_job_keeps_the_callers_name_and_scope(enqueue, queue, make_grant, clock, woken):
    vault = VaultName("acme", "main")

    job = await enqueue(
        JobOrder(kind="count", vaults=(vault,), parameters={"limit": "5"}),
        due_time=clock.now() + timedelta(hours=1),
        grant=make_grant("alice", vaults=("main",)),
        request=NO_KEY,
    )

    assert (str(job.principal), job.vaults, job.max_attempts) == ("tenants/acme/principals/alice", (vault,), 5)
    assert (job.state, job.due_time) == (JobState.QUEUED, clock.now() + timedelta(hours=1))
    assert await queue.get(job.name) == job
    assert woken


@pytest.mark.parametrize(
    ("order", "error"),
    [
        (JobOrder(kind="unheard-of"), InvalidField),
        (JobOrder(kind="count", max_attempts=21), LimitExceeded),
        (JobOrder(kind="count", max_attempts=-1), LimitExceeded),
        (JobOrder(kind="count", parameters={"Bad Key": "x"}), InvalidField),
        (JobOrder(kind="count", vaults=(VaultName("acme", "secret"),)), VaultNotFound),
        (JobOrder(kind="count", vaults=(VaultName("umbrella", "main"),)), VaultNotFound),
        (JobOrder(kind="count", vaults=tuple(VaultName("acme", f"v{index}") for index in range(33))), LimitExceeded),
        (JobOrder(kind="expire_sweep"), PermissionDenied),
    ],
)
async def test_a_bad_order_is_refused_and_nothing_is_stored(order, error, enqueue, queue, make_grant, woken):
    grant = make_grant("alice", vaults=("main",))

    with pytest.raises(error):
        await enqueue(order, grant=grant, request=NO_KEY)

    assert await queue.page(grant.tenant, principal=None, states=frozenset(), before="", limit=9) == ()
    assert not woken


async def test_the_system_itself_may_order_a_sweep(enqueue, make_grant):
    job = await enqueue(JobOrder(kind="expire_sweep"), grant=make_grant("system"), request=NO_KEY)

    assert job.kind == "expire_sweep"
