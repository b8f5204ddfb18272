"""Returns a vault."""

from dataclasses import dataclass

from memos_governance.domain.decision import vault_not_found
from memos_governance.domain.records import Membership
from memos_governance.ports import PolicyStore
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True)
class GetVault:
    """A vault exists for those who have a role in it, and for nobody else."""

    store: PolicyStore

    async def __call__(self, name: VaultName, *, grant: Grant) -> Membership:
        """Return the vault with the caller's role.

        Raises:
            VaultNotFound: there is none, or the caller has no role in it.
        """
        found = await self.store.membership(name, grant.principal) if grant.covers(name) else None
        if found is None:
            raise vault_not_found(name)
        return found
