"""Lists the vaults whose policy has to be carried out."""

from dataclasses import dataclass

from memos_governance.domain.records import Vault
from memos_governance.ports import PolicyStore
from memos_kernel.errors import InvalidField
from memos_kernel.permission import Grant

LIMIT = 1_000


@dataclass(frozen=True, slots=True)
class ListSweptVaults:
    """Those in which cubes go cold or are deleted by their age. For the system's own jobs."""

    store: PolicyStore

    async def __call__(self, *, grant: Grant, after: str, limit: int) -> tuple[Vault, ...]:
        """Return vaults of the grant's tenant by id, those behind the id `after`; 0 means `LIMIT`.

        Raises:
            InvalidField: the limit.
        """
        if not 0 <= limit <= LIMIT:
            raise InvalidField(f"limit is {limit}; give 1 to {LIMIT}, or 0 for {LIMIT}.", field="limit")
        return await self.store.swept_vaults(grant.tenant, after=after, limit=limit or LIMIT)
