"""Appends other services' audit events."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_governance.domain.audit import TenantEvent, check_events
from memos_governance.ports import LedgerStore


@dataclass(frozen=True, slots=True)
class AppendAudit:
    """Services send an event until it is acknowledged; its id makes it count once.

    A chain starts with the first event of its tenant, known here or not: a record of what happened is
    never refused because of what policy says now.
    """

    ledger: LedgerStore

    async def __call__(self, events: Sequence[TenantEvent]) -> int:
        """Return how many events were new, once they are durable. All are appended or none.

        Raises:
            LimitExceeded, MissingField, InvalidField: see `check_events`.
        """
        check_events(events)
        return await self.ledger.append(events)
