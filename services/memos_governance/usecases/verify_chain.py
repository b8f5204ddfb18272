"""Checks that nothing in an audit chain was changed, removed or reordered."""

from dataclasses import dataclass

from memos_governance.domain.audit import ChainProblem, Head, check_link
from memos_governance.ports import LedgerStore
from memos_kernel.names import TenantName

_PAGE = 1_000


@dataclass(frozen=True, slots=True)
class VerifyChain:
    """Computes every hash anew, from the first entry to the recorded head."""

    ledger: LedgerStore

    async def __call__(self, tenant: TenantName) -> ChainProblem | None:
        """Return the first place where the chain does not hold, or None.

        Entries that are appended meanwhile are checked too.
        """
        recorded, reached = await self.ledger.head(tenant), Head()
        while page := await self.ledger.entries(tenant, after_sequence=reached.sequence, limit=_PAGE):
            for entry in page:
                problem = check_link(tenant, reached, entry)
                if problem is not None:
                    return problem
                reached = Head(entry.sequence, entry.hash)
                if entry.sequence == recorded.sequence and reached != recorded:
                    return ChainProblem(tenant, entry.sequence, "The recorded head is not the hash of its entry.")
        if reached.sequence < recorded.sequence:
            return ChainProblem(tenant, reached.sequence + 1, f"The chain ends before its head {recorded.sequence}.")
        return None
