"""The rules of the queue, as pure functions on a record; the adapters only store what these return."""

from dataclasses import dataclass, replace
from datetime import datetime

from memos_kernel.errors import StateConflict
from memos_scheduler.domain.jobs import Job, JobState, LeaseLost, NewJob, Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A job as the queue keeps it.

    Attributes:
        fence: number of leases so far.
        worker: holder of the newest lease.
        lease_expire: when the lease ends, while the job is running.
        cancel_requested: whether somebody asked to stop the running job.
        unique_key: see `NewJob`; None once the job has ended.
        quiet: see `Progress`.
    """

    job: Job
    fence: int = 0
    worker: str = ""
    lease_expire: datetime | None = None
    cancel_requested: bool = False
    unique_key: str | None = None
    quiet: bool = False

    def due(self, *, now: datetime) -> bool:
        """Return whether a worker should take it: its time has come, or its holder stopped answering."""
        if self.job.state is JobState.QUEUED:
            return self.job.due_time <= now
        return self.job.state is JobState.RUNNING and self.lease_expire is not None and self.lease_expire <= now


def new_record(new: NewJob, *, now: datetime) -> Record:
    """Return the record of a job that enters the queue."""
    job = Job(
        name=new.name,
        kind=new.kind,
        principal=new.principal,
        max_attempts=new.max_attempts,
        vaults=new.vaults,
        parameters=new.parameters,
        create_time=now,
        due_time=max(now, new.due_time or now),
    )
    return Record(job=job, unique_key=new.unique_key or None)


def claim(record: Record, *, worker: str, until: datetime, now: datetime) -> Record:
    """Return a due record in the hands of the worker.

    If its former holder stopped answering and there is nothing left to try, or somebody asked to stop it,
    it is ended instead; then its state is not RUNNING.
    """
    job = record.job
    if job.state is JobState.RUNNING:
        job = replace(job, last_error=f"Worker {record.worker} stopped answering in attempt {job.attempts}.")
        record = replace(record, job=job)
        if record.cancel_requested:
            return _ended(record, JobState.CANCELLED, now=now)
        if job.attempts >= job.max_attempts:
            return _ended(record, JobState.DEAD, now=now)
    running = replace(job, state=JobState.RUNNING, attempts=job.attempts + 1, start_time=now, progress=0.0)
    return replace(record, job=running, fence=record.fence + 1, worker=worker, lease_expire=until)


def beat(record: Record, *, fence: int, progress: float, until: datetime) -> Record:
    """Return the record with a longer lease.

    Raises:
        LeaseLost: the lease is not the newest.
    """
    held = _held(record, fence)
    return replace(held, job=replace(held.job, progress=progress), lease_expire=until)


def succeed(record: Record, *, fence: int, progress: Progress, now: datetime) -> Record:
    """Return the record of a job whose work is done.

    Raises:
        LeaseLost: the lease is not the newest.
    """
    held = _held(record, fence)
    done = replace(held.job, progress=1.0, result=dict(progress.result))
    return replace(_ended(replace(held, job=done), JobState.SUCCEEDED, now=now), quiet=progress.quiet)


def fail(
    record: Record, *, fence: int, error: str, retry_at: datetime | None, now: datetime, counts: bool = True
) -> Record:
    """Return the record after a failed attempt: queued again, a dead letter, or cancelled if that was asked for.

    Without a time to retry at, no other attempt would go better. One that does not `count` leaves the job all the
    attempts that it had.

    Raises:
        LeaseLost: the lease is not the newest.
    """
    held = _held(record, fence)
    held = replace(held, job=replace(held.job, last_error=error))
    if held.cancel_requested:
        return _ended(held, JobState.CANCELLED, now=now)
    if not counts:
        held = replace(held, job=replace(held.job, attempts=held.job.attempts - 1))
    if retry_at is None or held.job.attempts >= held.job.max_attempts:
        return _ended(held, JobState.DEAD, now=now)
    return _queued(held, due=retry_at)


def stop(record: Record, *, fence: int, progress: Progress, now: datetime) -> Record:
    """Return the record of a job whose handler saw that it was cancelled.

    Raises:
        LeaseLost: the lease is not the newest.
    """
    held = _held(record, fence)
    done = replace(held.job, progress=progress.fraction, result=dict(progress.result))
    return _ended(replace(held, job=done), JobState.CANCELLED, now=now)


def release(record: Record, *, fence: int, now: datetime) -> Record:
    """Return the record of a job given back by a worker that goes down; the attempt does not count.

    Raises:
        LeaseLost: the lease is not the newest.
    """
    held = _held(record, fence)
    if held.cancel_requested:
        return _ended(held, JobState.CANCELLED, now=now)
    return _queued(replace(held, job=replace(held.job, attempts=held.job.attempts - 1)), due=now)


def cancel(record: Record, *, now: datetime) -> Record:
    """Return the record cancelled, or, while it runs, marked for its handler to stop.

    Raises:
        StateConflict: the job has ended.
    """
    match record.job.state:
        case JobState.QUEUED:
            return _ended(record, JobState.CANCELLED, now=now)
        case JobState.RUNNING:
            return replace(record, cancel_requested=True)
        case state:
            raise _conflict(record.job, f"is {state.name} already; it cannot be cancelled.")


def retry(record: Record, *, now: datetime) -> Record:
    """Return a dead letter, or a job that was cancelled, back in the queue, with all its attempts before it.

    Raises:
        StateConflict: the job is neither.
    """
    if record.job.state not in (JobState.DEAD, JobState.CANCELLED):
        raise _conflict(record.job, f"is {record.job.state.name}; only a DEAD or CANCELLED job can be retried.")
    fresh = replace(record.job, attempts=0, progress=0.0, end_time=None)
    return _queued(replace(record, job=fresh), due=now)


def _held(record: Record, fence: int) -> Record:
    if record.job.state is not JobState.RUNNING or record.fence != fence:
        raise LeaseLost(f"{record.job.name} is no longer held by lease {fence}.")
    return record


def _queued(record: Record, *, due: datetime) -> Record:
    job = replace(record.job, state=JobState.QUEUED, due_time=due)
    return replace(record, job=job, lease_expire=None)


def _ended(record: Record, state: JobState, *, now: datetime) -> Record:
    job = replace(record.job, state=state, end_time=now)
    return replace(record, job=job, lease_expire=None, cancel_requested=False, unique_key=None)


def _conflict(job: Job, words: str) -> StateConflict:
    return StateConflict(f"{job.name} {words}", name=str(job.name), state=job.state.name)
