"""Standings kept in memory and believed only while the policy's epoch is unchanged."""

from collections import OrderedDict

from memos_governance.domain.records import Standing
from memos_governance.ports import PolicyStore
from memos_kernel.names import PrincipalName


class CachedStandings:
    """Reads one number instead of all roles of a principal.

    The epoch is read from the store each time, so that a change made by another replica counts at once.
    """

    def __init__(self, store: PolicyStore, *, capacity: int) -> None:
        self._store = store
        self._capacity = capacity
        self._standings: OrderedDict[PrincipalName, Standing] = OrderedDict()

    async def standing(self, principal: PrincipalName) -> Standing | None:
        """See the port."""
        epoch = await self._store.epoch(principal.parent)
        known = self._standings.get(principal)
        if known is not None and known.epoch == epoch:
            self._standings.move_to_end(principal)
            return known
        fresh = await self._store.standing(principal)
        if fresh is None:
            self._standings.pop(principal, None)
            return None
        self._standings[principal] = fresh
        self._standings.move_to_end(principal)
        while len(self._standings) > self._capacity:
            self._standings.popitem(last=False)
        return fresh
