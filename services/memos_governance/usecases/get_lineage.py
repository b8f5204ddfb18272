"""Walks the lineage graph."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_governance.domain.lineage import GRAPH_NODES, Direction, check_start
from memos_governance.ports import LedgerStore
from memos_kernel import limits
from memos_kernel.errors import InvalidField
from memos_kernel.lineage import Edge, Graph
from memos_kernel.names import PrincipalName
from memos_kernel.permission import Grant

_EDGES = 4 * GRAPH_NODES


@dataclass(frozen=True, slots=True)
class GetLineage:
    """Follows edges to sources of sources, and to what was made of what was made, inside the grant's tenant.

    Plans and answers are seen by the principal who made them alone; the walk does not lead through what is not
    seen. Whether the caller may read a cube is for storage to say: whoever shows the graph reads its cubes with
    the caller's grant.
    """

    ledger: LedgerStore

    async def __call__(self, names: Sequence[str], *, depth: int, grant: Grant) -> Graph:
        """Return what is recorded around some names; of names that are not seen, nothing.

        Args:
            names: where to start.
            depth: steps to follow, 1 to 10; 0 means 4.
            grant: whose view it is.

        Raises:
            InvalidField: a depth out of range.
            LimitExceeded, MissingField, MalformedName: see `domain.lineage.check_start`.
        """
        if not 0 <= depth <= limits.PROVENANCE_DEPTH:
            raise InvalidField(f"depth is {depth}; it is 1 to {limits.PROVENANCE_DEPTH}.", field="depth")
        start = check_start(names, tenant=grant.tenant)
        return await _Walk(self.ledger, grant.principal).run(start, depth or limits.PROVENANCE_DEPTH_DEFAULT)


class _Walk:
    """Two breadth-first walks from one start: to what it was made of, and to what was made of it.

    What else was made of its sources is not followed: a memory that a thousand answers used would drag them all in.
    """

    def __init__(self, ledger: LedgerStore, viewer: PrincipalName) -> None:
        self._ledger = ledger
        self._viewer = viewer
        self._edges: dict[tuple[str, str, int], Edge] = {}
        self._names: dict[str, None] = {}
        self._truncated = False

    async def run(self, start: Sequence[str], depth: int) -> Graph:
        seen = await self._ledger.nodes(start, self._viewer)
        self._names = {node.name: None for node in seen}
        # sources first: if the graph is cut, its origin is still there
        for direction in (Direction.SOURCES, Direction.TARGETS):
            await self._follow([node.name for node in seen], direction, depth)
        nodes = await self._ledger.nodes(list(self._names), self._viewer)
        order = {name: position for position, name in enumerate(self._names)}
        return Graph(
            tuple(sorted(nodes, key=lambda node: order[node.name])), tuple(self._edges.values()), self._truncated
        )

    async def _follow(self, frontier: Sequence[str], direction: Direction, depth: int) -> None:
        visited = set(frontier)
        for step in range(depth + 1):
            if not frontier:
                return
            frontier = await self._step(frontier, visited, direction, last=step == depth)

    async def _step(
        self, frontier: Sequence[str], visited: set[str], direction: Direction, *, last: bool
    ) -> Sequence[str]:
        """Add the edges at the frontier and return the new names.

        The last step adds only edges between names that were reached, and sees whether more lie beyond.
        """
        edges = await self._ledger.edges_at(frontier, direction, self._viewer, limit=_EDGES + 1)
        self._truncated |= len(edges) > _EDGES
        reached = []
        for edge in edges[:_EDGES]:
            name = edge.source if direction is Direction.SOURCES else edge.target
            if not last and (name in self._names or len(self._names) < GRAPH_NODES):
                self._names[name] = None
                if name not in visited:
                    visited.add(name)
                    reached.append(name)
            if name in self._names:
                self._edges[edge.source, edge.target, edge.relation] = edge
            else:
                self._truncated = True
        return reached
