"""Jobs, as values, and who may know of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum

from memos_kernel import jobs
from memos_kernel.names import JobName, PrincipalName, VaultName
from memos_kernel.permission import SYSTEM_ACTIONS, Action, Grant


class JobState(IntEnum):
    """Where a job stands; the numbers are those of the contract's JobState."""

    QUEUED = 1
    RUNNING = 2
    SUCCEEDED = 3
    DEAD = 4
    CANCELLED = 5


PATIENCE = timedelta(hours=24)
"""For which a job waits for a part that is away or full, before such a failure counts as one of its attempts."""

_PAUSE = timedelta(seconds=60)

ENDED = frozenset({JobState.SUCCEEDED, JobState.DEAD, JobState.CANCELLED})
COUNTED = (JobState.QUEUED, JobState.RUNNING, JobState.DEAD)
"""States of jobs that somebody who runs the system wants to know the number of: what has ended well is history."""


@dataclass(frozen=True, slots=True)
class JobKind:
    """A sort of job, with the actions that its runs need."""

    name: str
    actions: frozenset[Action]

    @property
    def of_the_system(self) -> bool:
        """Whether only the system's own principal can run it."""
        return bool(self.actions & SYSTEM_ACTIONS)


EXPIRE_SWEEP = JobKind("expire_sweep", frozenset({Action.CUBE_EXPIRE}))
VAULT_SWEEP = JobKind("vault_sweep", frozenset({Action.CUBE_EXPIRE}))
PURGE = JobKind(jobs.PURGE, frozenset({Action.CUBE_PURGE}))
PURGE_SWEEP = JobKind("purge_sweep", frozenset({Action.CUBE_EXPIRE}))
EMBED_SWEEP = JobKind("embed_sweep", frozenset({Action.CUBE_EMBED, Action.MODEL_USE}))
_CONVERSION = frozenset({Action.CUBE_READ, Action.CUBE_USE, Action.CUBE_WRITE, Action.MODEL_USE})
TRAIN_ADAPTER = JobKind(jobs.TRAIN_ADAPTER, _CONVERSION)
BUILD_ACTIVATION = JobKind(jobs.BUILD_ACTIVATION, _CONVERSION)
RECOVER_TEXT = JobKind(jobs.RECOVER_TEXT, _CONVERSION)
RESTORE_VAULT = JobKind(jobs.RESTORE_VAULT, frozenset({Action.CUBE_WRITE}))


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A unit of background work. It holds a principal and a scope, never a grant.

    Attributes:
        vaults: vaults that it may touch; empty means those of the principal.
        progress: done part, 0 to 1.
        attempts: attempts so far, since it was last put into the queue by a person.
        last_error: message of the newest failure; stays when a later attempt succeeds.
        due_time: when it is next due.
        start_time: when the newest attempt began.
    """

    name: JobName
    kind: str
    principal: PrincipalName
    max_attempts: int
    create_time: datetime
    due_time: datetime
    state: JobState = JobState.QUEUED
    vaults: tuple[VaultName, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    progress: float = 0.0
    attempts: int = 0
    last_error: str = ""
    result: Mapping[str, str] = field(default_factory=dict)
    start_time: datetime | None = None
    end_time: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewJob:
    """A job to put into the queue.

    Attributes:
        due_time: not before; None means now.
        unique_key: while a job of the tenant with this key is queued or running, no other is made; empty is none.
    """

    name: JobName
    kind: str
    principal: PrincipalName
    max_attempts: int
    vaults: tuple[VaultName, ...] = ()
    parameters: Mapping[str, str] = field(default_factory=dict)
    due_time: datetime | None = None
    unique_key: str = ""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to run a job. `fence` grows with each lease of the job; only the newest one may write."""

    job: Job
    fence: int


def fraction_after(steps: int) -> float:
    """Return the done part of work whose end is not known yet: it nears 1 by halves."""
    return 1.0 - 0.5**steps


@dataclass(frozen=True, slots=True)
class Progress:
    """What a handler has done so far.

    Attributes:
        fraction: done part, 0 to 1.
        result: figures.
        quiet: whether there is nothing to tell, so that the job need not be kept for long once it has ended.
    """

    fraction: float = 0.0
    result: Mapping[str, str] = field(default_factory=dict)
    quiet: bool = False


class LeaseLost(Exception):
    """The job was taken over by another worker, or has ended. What this worker did is not recorded."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential waits between attempts, spread so that jobs that failed together do not come back together."""

    base: timedelta
    cap: timedelta

    def delay(self, attempts: int, *, chance: float) -> timedelta:
        """Return the wait after the given number of attempts (from 1); `chance` is uniform in [0, 1).

        The wait lies between half and all of `base * 2 ** (attempts - 1)`, which is bounded by `cap`.
        """
        full: timedelta = min(self.cap, self.base * 2 ** min(attempts - 1, 30))
        return full * (0.5 + chance / 2)

    def pause(self, waited: timedelta, *, chance: float) -> timedelta:
        """Return the wait while a part is away for which a job has waited so long; at most about a minute."""
        full: timedelta = max(self.base, min(_PAUSE, waited / 4))
        return full * (0.5 + chance / 2)


def visible(job: Job, grant: Grant) -> bool:
    """Return whether a caller may know of the job: its own, or as admin any of the tenant."""
    if job.name.parent != grant.tenant:
        return False
    return job.principal == grant.principal or Action.TENANT_ADMIN in grant.actions
