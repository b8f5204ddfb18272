"""Lets a part of a call act under a grant of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from memos_interface.edge import Edge
from memos_kernel.names import VaultName
from memos_kernel.permission import Action, Principal
from memos_runtime.context import use_grant


class EdgeDelegation:
    """The port Delegation, on the grants of the edge."""

    def __init__(self, edge: Edge) -> None:
        self._edge = edge

    @asynccontextmanager
    async def acting(
        self, principal: Principal, actions: frozenset[Action], vaults: tuple[VaultName, ...]
    ) -> AsyncIterator[None]:
        """See the port."""
        grant = await self._edge.grant(principal, actions, tuple(str(vault) for vault in vaults))
        with use_grant(grant):
            yield
