"""Lists a tenant's API keys without their secrets."""

from dataclasses import dataclass

from memos_governance.domain.records import ApiKey
from memos_governance.ports import PolicyStore
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True)
class ListApiKeys:
    """Revoked keys are listed too, with the time of it."""

    store: PolicyStore

    async def __call__(self, *, grant: Grant, after: str, limit: int) -> tuple[ApiKey, ...]:
        """Return keys by id, which follows the time they were made; those behind the id `after`."""
        return await self.store.keys(grant.tenant, after=after, limit=limit)
