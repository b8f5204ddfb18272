"""Lists the tenants, for the system's own jobs."""

from dataclasses import dataclass

from memos_governance.ports import PolicyStore
from memos_kernel.names import TenantName


@dataclass(frozen=True, slots=True)
class ListTenants:
    """No person ever calls this: a tenant must not learn of another."""

    store: PolicyStore

    async def __call__(self) -> tuple[TenantName, ...]:
        """Return all tenants by name."""
        return await self.store.tenants()
