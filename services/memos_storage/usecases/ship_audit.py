"""Send audit events to governance, and forget request ids past their retention."""

from dataclasses import dataclass

from memos_kernel import limits
from memos_kernel.ids import Clock
from memos_storage.ports import AuditOutbox, AuditSink

BATCH = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class ShipAudit:
    """One round of the audit worker."""

    outbox: AuditOutbox
    sink: AuditSink
    clock: Clock

    async def __call__(self) -> int:
        """Send the oldest events; returns how many were confirmed. An event that is sent twice is recorded once.

        Raises:
            MemosError: governance does not answer; the events stay.
        """
        events = await self.outbox.unsent(limit=BATCH)
        if events:
            await self.sink.append(events)
            await self.outbox.sent(events)
        return len(events)

    async def forget_requests(self) -> int:
        """Remove request ids past `limits.REQUEST_ID_RETENTION`; returns how many."""
        return await self.outbox.forget_requests(before=self.clock.now() - limits.REQUEST_ID_RETENTION)
