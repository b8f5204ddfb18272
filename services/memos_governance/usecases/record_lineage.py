"""Records what came from what."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_governance.domain.lineage import own
from memos_governance.ports import LedgerStore
from memos_kernel.lineage import Edge, Node
from memos_kernel.permission import Grant


@dataclass(frozen=True, slots=True)
class RecordLineage:
    """Everything is recorded in the grant's tenant; plans and answers as the principal's own."""

    ledger: LedgerStore

    async def __call__(self, nodes: Sequence[Node], edges: Sequence[Edge], *, grant: Grant) -> None:
        """Record nodes and edges, all or none; returns once they are durable.

        Raises:
            ResourceNotFound: a name of another tenant, or another principal's plan or answer.
            LimitExceeded, InvalidField, MissingField, MalformedName: see `domain.lineage.own`.
        """
        await self.ledger.record(grant.tenant, *own(nodes, edges, by=grant.principal))
