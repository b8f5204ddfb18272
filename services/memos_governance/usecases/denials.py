"""Denials go to the audit log of the tenant of whoever was denied."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from memos_governance.domain.audit import DENIED, TenantEvent
from memos_governance.ports import LedgerStore, PolicyStore
from memos_governance.usecases.authority import Scribe
from memos_kernel.errors import MemosError
from memos_kernel.names import PrincipalName

_LOG = logging.getLogger(__name__)

MOST_A_MINUTE = 60
"""Denials of one principal that are recorded; the others are counted. The log is kept for ever, a loop is not."""

_MINUTE = timedelta(minutes=1)
_PRINCIPALS = 10_000


@dataclass(slots=True)
class _Window:
    start: datetime
    recorded: int = 0
    left_out: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Denials:
    """Records denials. One that cannot be recorded stays a denial; its loss is logged, and reported to `lost`."""

    store: PolicyStore
    ledger: LedgerStore
    scribe: Scribe
    lost: Callable[[], None]
    windows: dict[PrincipalName, _Window] = field(default_factory=dict)

    async def record(
        self, principal: PrincipalName, action: str, resource: str, error: MemosError, *, trace_id: str
    ) -> None:
        """Append the denial; returns when it is durable, or given up. A tenant that does not exist gets no chain."""
        left_out = self._left_out_before(principal)
        if left_out is None:
            return
        reason = f"{error.reason}, and {left_out} more denials before" if left_out else error.reason
        event = self.scribe.event(principal, action, resource, outcome=DENIED, reason=reason, trace_id=trace_id)
        try:
            if await self.store.epoch(principal.parent) is not None:
                await self.ledger.append([TenantEvent(principal.parent, event)])
        except MemosError as failure:
            self.lost()
            _LOG.error("a denial (%s, for %s) could not be recorded: %s", error.reason, principal, failure)

    def _left_out_before(self, principal: PrincipalName) -> int | None:
        """Return how many denials were left out before this one, or None if it is to be left out, too."""
        now = self.scribe.clock.now()
        window = self.windows.get(principal)
        if window is None or now - window.start >= _MINUTE:
            if len(self.windows) >= _PRINCIPALS:
                self.windows.clear()
            left_out = window.left_out if window is not None else 0
            self.windows[principal] = _Window(now, recorded=1)
            return left_out
        if window.recorded < MOST_A_MINUTE:
            window.recorded += 1
            return 0
        window.left_out += 1
        return None
