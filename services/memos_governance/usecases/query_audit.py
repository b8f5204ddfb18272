"""Queries the audit log (LogQuery API, arXiv 2507.03724, section 5.1)."""

from dataclasses import dataclass

from memos_governance.domain.audit import AuditEntry, AuditFilter
from memos_governance.ports import LedgerStore
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True)
class QueryAudit:
    """Reads the chain of the grant's tenant, and no other."""

    ledger: LedgerStore

    async def __call__(
        self, wanted: AuditFilter, *, grant: Grant, before_sequence: int | None, limit: int
    ) -> tuple[AuditEntry, ...]:
        """Return entries, newest first, those before a sequence."""
        return await self.ledger.query(grant.tenant, wanted, before_sequence=before_sequence, limit=limit)
