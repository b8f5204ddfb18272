"""What all mutations have in common: who asks, once per request id, and the audit event."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from memos_kernel.cube import MemCube, TraceRef
from memos_kernel.errors import RequestIdReused
from memos_kernel.ids import IdFactory
from memos_kernel.names import CubeName, PurgeName, SnapshotName
from memos_kernel.permission import Grant
from memos_kernel.requests import RequestKey
from memos_storage.domain.values import Answer, AuditEvent, Outcome, RequestOwner
from memos_storage.ports import Transaction
from memos_storage.usecases.access import cube_not_found

_Resource = CubeName | SnapshotName | PurgeName


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """One mutating call.

    Attributes:
        request: falsy if the caller wants no idempotence.
        trace: span of the call, if it is recorded.
    """

    grant: Grant
    request: RequestKey = field(default_factory=RequestKey)
    trace: TraceRef | None = None

    @property
    def owner(self) -> RequestOwner:
        """Whose request id it is."""
        return RequestOwner(self.grant.principal.tenant, self.grant.principal.id, self.request)

    def event(self, ids: IdFactory, action: str, cube: MemCube, *, now: datetime, reason: str = "") -> AuditEvent:
        """Return the audit event of a change of a cube."""
        return self.note(ids, action, cube.name, now=now, reason=reason)

    def note(
        self,
        ids: IdFactory,
        action: str,
        resource: _Resource,
        *,
        now: datetime,
        reason: str = "",
    ) -> AuditEvent:
        """Return the audit event of a change of a resource."""
        return AuditEvent(
            id=ids(),
            tenant=self.grant.principal.tenant,
            time=now,
            principal=str(self.grant.principal),
            action=action,
            resource=str(resource),
            reason=reason,
            trace_id=self.trace.trace_id if self.trace else "",
        )


def once(tx: Transaction, mutation: Mutation, work: Callable[[], Answer], *, now: datetime) -> Answer:
    """Return the answer of the mutation, from the store if its request id was answered before.

    Raises:
        RequestIdReused: the id was used with another body.
        CubeNotFound: what was answered then is hidden from the caller now.
    """
    if not mutation.request:
        return work()
    remembered = tx.recall(mutation.owner)
    if remembered is None:
        answer = work()
        tx.remember(mutation.owner, answer, now=now)
        return answer
    if remembered.body_sha256 != mutation.request.body_sha256:
        raise RequestIdReused(
            "request_id was used before with another request; choose a new one.",
            field="request_id",
            request_id=mutation.request.request_id,
        )
    for outcome in remembered.answer.outcomes:
        if outcome.cube is not None and not mutation.grant.covers(outcome.cube.vault):
            raise cube_not_found(outcome.cube.name)
    return remembered.answer


def single(cube: MemCube) -> Answer:
    """Return the answer of a mutation of one cube."""
    return Answer((Outcome(cube),))


def cube_of(answer: Answer) -> MemCube:
    """Return the cube of such an answer."""
    (outcome,) = answer.outcomes
    assert outcome.cube is not None
    return outcome.cube
