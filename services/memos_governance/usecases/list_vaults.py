"""Lists the vaults of a principal."""

from dataclasses import dataclass

from memos_governance.domain.records import Membership
from memos_governance.ports import PolicyStore
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True)
class ListVaults:
    """Only vaults in which the caller has a role; an admin without one does not see a vault."""

    store: PolicyStore

    async def __call__(self, *, grant: Grant, after: str, limit: int) -> tuple[Membership, ...]:
        """Return vaults by id with the caller's role, those behind the id `after`."""
        return await self.store.memberships(grant.principal, after=after, limit=limit)
