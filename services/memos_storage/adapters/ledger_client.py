"""Governance's audit log, over a channel."""

from collections.abc import Sequence

from memos_api.internal.v1 import ledger_service_pb2 as pb
from memos_api.internal.v1.ledger_service_pb2_grpc import LedgerServiceStub
from memos_api.v1.governance_service_pb2 import AuditEvent as AuditEventMessage
from memos_kernel.names import TenantName
from memos_runtime.channels import Channels
from memos_storage.domain.values import AuditEvent
from memos_wire.methods import GOVERNANCE, STORAGE
from memos_wire.times import to_timestamp


class LedgerAuditSink:
    """Implements `ports.AuditSink` with the LedgerService."""

    def __init__(self, channels: Channels) -> None:
        self._channels = channels

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Record events, each once however often it is sent."""
        stub = self._channels.stub(LedgerServiceStub, GOVERNANCE)
        await stub.AppendAudit(pb.AppendAuditRequest(events=[_message(event) for event in events]))


def _message(event: AuditEvent) -> pb.TenantAuditEvent:
    return pb.TenantAuditEvent(
        tenant=str(TenantName(event.tenant)),
        event=AuditEventMessage(
            time=to_timestamp(event.time),
            principal=event.principal,
            service=STORAGE,
            action=event.action,
            resource=event.resource,
            outcome="ok",
            reason=event.reason,
            trace_id=event.trace_id,
            event_id=event.id,
        ),
    )
