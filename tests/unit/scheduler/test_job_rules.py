"""Properties of the queue's rules over random histories of one job."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from memos_kernel.errors import StateConflict
from memos_kernel.names import JobName, PrincipalName
from memos_scheduler.domain import records
from memos_scheduler.domain.jobs import ENDED, JobState, LeaseLost, NewJob, Progress
from memos_scheduler.domain.records import Record

TTL = timedelta(seconds=60)
MAX_ATTEMPTS = 3

steps = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(["claim", "cancel", "retry"]), st.just(0)),
        st.tuples(st.sampled_from(["beat", "succeed", "fail", "stop", "release"]), st.integers(1, 6)),
        st.tuples(st.just("wait"), st.integers(1, 120)),
    ),
    max_size=30,
)


def apply(record: Record, step: str, number: int, *, now: datetime) -> Record:
    """Return the record after a step; `number` is the fence of the lease that the step is made with."""
    match step:
        case "claim":
            return records.claim(record, worker="w", until=now + TTL, now=now) if record.due(now=now) else record
        case "cancel":
            return records.cancel(record, now=now)
        case "retry":
            return records.retry(record, now=now)
        case "beat":
            return records.beat(record, fence=number, progress=0.5, until=now + TTL)
        case "succeed":
            return records.succeed(record, fence=number, progress=Progress(), now=now)
        case "fail":
            return records.fail(record, fence=number, error="It broke.", retry_at=now + TTL, now=now)
        case "stop":
            return records.stop(record, fence=number, progress=Progress(), now=now)
        case _:
            return records.release(record, fence=number, now=now)


@settings(max_examples=300, deadline=None)
@given(steps)
def test_only_the_newest_lease_writes_and_what_has_ended_stays_so(history):
    now = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
    new = NewJob(
        name=JobName("acme", "j"),
        kind="count",
        principal=PrincipalName("acme", "alice"),
        max_attempts=MAX_ATTEMPTS,
        unique_key="one",
    )
    record = records.new_record(new, now=now)
    for step, number in history:
        if step == "wait":
            now += timedelta(seconds=number)
            continue
        before = record
        with suppress(LeaseLost, StateConflict):
            record = apply(record, step, number, now=now)
        if step in ("beat", "succeed", "fail", "stop", "release") and record != before:
            assert (before.job.state, before.fence) == (JobState.RUNNING, number)
        if before.job.state in ENDED and step != "retry":
            assert record == before
        assert record.fence >= before.fence
        assert 0 <= record.job.attempts <= MAX_ATTEMPTS
        assert (record.lease_expire is not None) == (record.job.state is JobState.RUNNING)
        assert (record.job.end_time is not None) == (record.job.state in ENDED)
        assert record.unique_key is None or record.job.state not in ENDED
        if record.job.state is JobState.SUCCEEDED and before.job.state is not JobState.SUCCEEDED:
            assert step == "succeed"
