"""Draws the provenance graph: recorded lineage, joined with what the readable cubes say of their own sources.

Lineage records names; the catalogue decides what the caller may see of them. A cube that he cannot read now
(deleted, or not his) is left out with its edges, and so is everything that could be reached only through it.
One exception: next to a plan or an answer, which governance shows only to its own principal, the cube stays as
a bare node without content, for the caller has had it in that prompt himself.
"""

from collections.abc import Iterable, Mapping

from memos_interface.domain.turn import ANSWER, TURN_LABEL
from memos_kernel.cube import MemCube, SourceSpan
from memos_kernel.lineage import Edge, Graph, Node, NodeKind, Relation

NODES = 1_000
"""Most nodes in one graph, and most cubes that are read for it; as many as governance returns."""

GONE = "deleted, or no longer yours to read"
"""Summary of a bare node."""

_SUMMARY_CHARS = 120


def cube_names(graph: Graph) -> tuple[str, ...]:
    """Return the names of the cubes that a graph speaks of, in its order."""
    return tuple(node.name for node in graph.nodes if node.kind is NodeKind.CUBE)


def draw(root: str, recorded: Graph, cubes: Mapping[str, MemCube], *, depth: int) -> Graph:
    """Return what the caller sees around `root`, at most `depth` steps away.

    Args:
        root: name of a cube, an answer or a plan.
        recorded: lineage as governance knows it.
        cubes: the cubes that the caller may read, by name.
        depth: steps to follow from the root to sources, and to what was made of it.
    """
    nodes = {node.name: node for node in recorded.nodes if node.kind is not NodeKind.CUBE}
    nodes.update(_gone(recorded))
    revisions = {node.name: node.revision for node in recorded.nodes if node.kind is NodeKind.CUBE}
    edges = dict.fromkeys(recorded.edges)
    for name, cube in cubes.items():
        nodes[name] = _cube_node(cube, revisions.get(name, 0))
        for source in _messages(cube):
            message = _message_node(source)
            nodes.setdefault(message.name, message)
            edges[Edge(message.name, name, Relation.READ_FROM, _span(source))] = None
        for ref in cube.derived_from:
            edges[Edge(str(ref.name), name, Relation.DERIVED_FROM, f"revision {ref.revision}")] = None
    seen = [edge for edge in edges if edge.source in nodes and edge.target in nodes]
    reached, cut = _around(root, seen, depth=depth)
    kept = tuple(nodes[name] for name in reached if name in nodes)
    names = {node.name for node in kept}
    inner = tuple(edge for edge in seen if edge.source in names and edge.target in names)
    return Graph(kept, inner, truncated=recorded.truncated or cut)


def _gone(recorded: Graph) -> dict[str, Node]:
    """Return bare nodes for the cubes at the caller's own plans and answers; readable ones replace them."""
    own = {node.name for node in recorded.nodes if node.kind in (NodeKind.PLAN, NodeKind.ANSWER)}
    used = {edge.source for edge in recorded.edges if edge.target in own}
    used |= {edge.target for edge in recorded.edges if edge.source in own}
    return {
        node.name: Node(name=node.name, kind=NodeKind.CUBE, revision=node.revision, summary=GONE)
        for node in recorded.nodes
        if node.kind is NodeKind.CUBE and node.name in used
    }


def _around(root: str, edges: Iterable[Edge], *, depth: int) -> tuple[list[str], bool]:
    """Return the root, its sources and what was made of it, each by distance, and whether something lies beyond."""
    sources: dict[str, list[str]] = {}
    targets: dict[str, list[str]] = {}
    for edge in edges:
        sources.setdefault(edge.target, []).append(edge.source)
        if edge.relation is Relation.READ_FROM:
            # the message of a cube is shown with it, but not what else was read from that message
            targets.setdefault(edge.target, []).append(edge.source)
        else:
            targets.setdefault(edge.source, []).append(edge.target)
    reached, beyond = {root: None}, False
    for further in (sources, targets):
        frontier, visited = [root], {root: None}
        for _ in range(depth):
            frontier = [name for at in frontier for name in dict.fromkeys(further.get(at, ())) if name not in visited]
            visited.update(dict.fromkeys(frontier))
        beyond |= any(name not in visited for at in frontier for name in further.get(at, ()))
        reached |= visited
    names = list(reached)
    return names[:NODES], beyond or len(names) > NODES


def _messages(cube: MemCube) -> Iterable[SourceSpan]:
    """Return the sources that are messages; an answer of the model has its own node in the lineage."""
    if cube.labels.get(TURN_LABEL) == ANSWER:
        return ()
    return (source for source in cube.sources if source.message_id)


def _cube_node(cube: MemCube, revision: int) -> Node:
    text = " ".join(cube.text.split()) or f"{cube.kind.name.lower()} payload"
    return Node(
        name=str(cube.name),
        kind=NodeKind.CUBE,
        revision=revision or cube.revision,
        summary=text if len(text) <= _SUMMARY_CHARS else text[: _SUMMARY_CHARS - 1] + "…",
        time=cube.create_time,
        trace_id=cube.origin_trace.trace_id if cube.origin_trace else "",
    )


def _message_node(source: SourceSpan) -> Node:
    return Node(
        name=f"messages/{source.session or '-'}/{source.message_id}",
        kind=NodeKind.MESSAGE,
        summary=f"{source.speaker or source.role or 'message'}, {source.session or 'no session'}",
        time=source.event_time,
    )


def _span(source: SourceSpan) -> str:
    return f"characters {source.start_char} to {source.end_char}" if source.end_char else ""
