"""Rules of the lineage graph: every name in it belongs to one tenant, and plans and answers to one principal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from memos_kernel.errors import InvalidField, LimitExceeded, ResourceNotFound
from memos_kernel.lineage import Edge, Node, NodeKind
from memos_kernel.names import AnswerName, CubeName, JobName, PlanName, PrincipalName, TenantName
from memos_kernel.text import check_plain

RECORD_ITEMS = 1_000
START_NAMES = 100
GRAPH_NODES = 1_000
TEXT_BYTES = 512

PRIVATE = frozenset({NodeKind.PLAN, NodeKind.ANSWER})
"""Kinds that only the principal who made them sees. They tell what somebody asked about."""

_NAMES: dict[NodeKind, type[CubeName] | type[PlanName] | type[AnswerName] | type[JobName]] = {
    NodeKind.CUBE: CubeName,
    NodeKind.PLAN: PlanName,
    NodeKind.ANSWER: AnswerName,
    NodeKind.JOB: JobName,
}
_KINDS = {name.collection: kind for kind, name in _NAMES.items()}
_TRACE_ID = re.compile(r"(?:[0-9a-f]{32})?")


class Direction(Enum):
    """Which way edges are followed."""

    SOURCES = "sources"
    TARGETS = "targets"


@dataclass(frozen=True, slots=True)
class OwnedNode:
    """A node and whose it is; None belongs to the tenant as a whole."""

    node: Node
    principal: PrincipalName | None


@dataclass(frozen=True, slots=True)
class OwnedEdge:
    """An edge and whose it is: an edge at somebody's plan or answer is as private as that."""

    edge: Edge
    principal: PrincipalName | None


def kind_of(name: str, *, tenant: TenantName, field: str) -> NodeKind:
    """Return the kind of node that a name stands for.

    Messages have no names of their own in a tenant and are derived from cubes at reading, so they are not
    recorded.

    Raises:
        MissingField, MalformedName: not a name of a cube, plan, answer or job.
        ResourceNotFound: a name of another tenant, whether it exists or not.
    """
    collection = name.split("/")[2] if name.count("/") == 3 else ""
    parsed = _NAMES[_KINDS.get(collection, NodeKind.CUBE)].parse(name, field=field)
    if parsed.parent != tenant:
        raise ResourceNotFound(f"There is no {name}.", name=name)
    return _KINDS[collection]


def own(nodes: Sequence[Node], edges: Sequence[Edge], *, by: PrincipalName) -> tuple[list[OwnedNode], list[OwnedEdge]]:
    """Return what is to be stored for a principal; an edge without a node at an end brings a bare one along.

    Raises:
        LimitExceeded: more than RECORD_ITEMS nodes or edges, or long texts.
        InvalidField: a kind that does not fit its name, a negative revision, a bad trace id, an edge to itself.
        MissingField, MalformedName, ResourceNotFound: see `kind_of`.
    """
    for field, items in (("nodes", nodes), ("edges", edges)):
        _bounded(len(items), field=field, limit=RECORD_ITEMS)
    owned: dict[str, OwnedNode] = {}
    for index, node in enumerate(nodes):
        _check_node(node, tenant=by.parent, field=f"nodes[{index}]")
        owned.setdefault(node.name, _owned(node, by))
    private_edges = []
    for index, edge in enumerate(edges):
        _check_edge(edge, field=f"edges[{index}]")
        for end, name in (("source", edge.source), ("target", edge.target)):
            kind = kind_of(name, tenant=by.parent, field=f"edges[{index}].{end}")
            owned.setdefault(name, _owned(Node(name, kind), by))
        private = owned[edge.source].principal or owned[edge.target].principal
        private_edges.append(OwnedEdge(edge, private))
    return list(owned.values()), private_edges


def check_start(names: Sequence[str], *, tenant: TenantName) -> list[str]:
    """Return the names to start a walk from; those of other tenants are left out as if they did not exist.

    Raises:
        LimitExceeded: more than START_NAMES names.
        MissingField, MalformedName: see `kind_of`.
    """
    _bounded(len(names), field="names", limit=START_NAMES)
    found = []
    for index, name in enumerate(names):
        try:
            kind_of(name, tenant=tenant, field=f"names[{index}]")
        except ResourceNotFound:
            continue
        found.append(name)
    return list(dict.fromkeys(found))


def _owned(node: Node, by: PrincipalName) -> OwnedNode:
    return OwnedNode(node, by if node.kind in PRIVATE else None)


def _check_node(node: Node, *, tenant: TenantName, field: str) -> None:
    kind = kind_of(node.name, tenant=tenant, field=f"{field}.name")
    if node.kind is not kind:
        raise InvalidField(f"{field}.kind does not fit its name {node.name}.", field=f"{field}.kind")
    if node.revision < 0:
        raise InvalidField(f"{field}.revision is negative.", field=f"{field}.revision")
    if not _TRACE_ID.fullmatch(node.trace_id):
        raise InvalidField(f"{field}.trace_id is not 32 hex digits.", field=f"{field}.trace_id")
    check_plain(node.summary, field=f"{field}.summary", limit=TEXT_BYTES)


def _check_edge(edge: Edge, *, field: str) -> None:
    check_plain(edge.detail, field=f"{field}.detail", limit=TEXT_BYTES)
    if edge.source == edge.target:
        raise InvalidField(f"{field} leads from {edge.source} to itself.", field=field)


def _bounded(count: int, *, field: str, limit: int) -> None:
    if count > limit:
        raise LimitExceeded(
            f"{field} has {count} entries; the limit is {limit}. Split it.",
            field=field,
            limit=str(limit),
            unit="entries",
        )
