"""Lists the roles in a vault."""

from dataclasses import dataclass

from memos_governance.domain.decision import denied, vault_not_found
from memos_governance.domain.records import Permission
from memos_governance.ports import PolicyStore
from memos_kernel.names import VaultName
from memos_kernel.permission import Action, Grant, Role


@dataclass(frozen=True, slots=True)
class ListVaultPermissions:
    """Only an owner of the vault sees who else has a role in it."""

    store: PolicyStore

    async def __call__(self, vault: VaultName, *, grant: Grant, after: str, limit: int) -> tuple[Permission, ...]:
        """Return the roles by principal id, those behind the id `after`.

        Raises:
            VaultNotFound: no such vault, or the caller has no role in it.
            PermissionDenied: the caller does not own it.
        """
        found = await self.store.membership(vault, grant.principal) if grant.covers(vault) else None
        if found is None:
            raise vault_not_found(vault)
        if found.role is not Role.OWNER:
            raise denied(Action.VAULT_ADMIN, resource=str(vault))
        return await self.store.permissions(vault, after=after, limit=limit)
