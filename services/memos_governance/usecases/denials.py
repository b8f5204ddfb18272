"""Denials go to the audit log of the tenant of whoever was denied."""

from collections.abc import Callable
from dataclasses import dataclass

from memos_governance.domain.audit import DENIED, TenantEvent
from memos_governance.ports import LedgerStore
from memos_governance.usecases.authority import Scribe
from memos_kernel.errors import Capacity, MemosError
from memos_kernel.names import PrincipalName


@dataclass(frozen=True, slots=True, kw_only=True)
class Denials:
    """Records denials. One that cannot be recorded stays a denial; its loss is reported to `lost`."""

    ledger: LedgerStore
    scribe: Scribe
    lost: Callable[[], None]

    async def record(
        self, principal: PrincipalName, action: str, resource: str, error: MemosError, *, trace_id: str
    ) -> None:
        """Append the denial; returns when it is durable, or given up."""
        event = self.scribe.event(principal, action, resource, outcome=DENIED, reason=error.reason, trace_id=trace_id)
        try:
            await self.ledger.append([TenantEvent(principal.parent, event)])
        except Capacity:
            self.lost()
