"""Lineage between the domain and the wire."""

from memos_api.v1 import provenance_pb2 as pb
from memos_kernel.lineage import Edge, Node, NodeKind, Relation
from memos_wire.cubes import enum_from_proto
from memos_wire.times import from_timestamp, to_timestamp


def node_to_proto(node: Node) -> pb.ProvenanceNode:
    """Return the message of a node."""
    return pb.ProvenanceNode(
        name=node.name,
        kind=pb.ProvenanceNodeKind.ValueType(node.kind),
        revision=node.revision,
        summary=node.summary,
        time=to_timestamp(node.time),
        trace_id=node.trace_id,
    )


def node_from_proto(message: pb.ProvenanceNode) -> Node:
    """Return the node of a message."""
    return Node(
        name=message.name,
        kind=enum_from_proto(NodeKind, message.kind, field="nodes.kind"),
        revision=message.revision,
        summary=message.summary,
        time=from_timestamp(message.time, field="nodes.time") if message.HasField("time") else None,
        trace_id=message.trace_id,
    )


def edge_to_proto(edge: Edge) -> pb.ProvenanceEdge:
    """Return the message of an edge."""
    return pb.ProvenanceEdge(
        source=edge.source,
        target=edge.target,
        relation=pb.ProvenanceRelation.ValueType(edge.relation),
        detail=edge.detail,
    )


def edge_from_proto(message: pb.ProvenanceEdge) -> Edge:
    """Return the edge of a message."""
    return Edge(
        source=message.source,
        target=message.target,
        relation=enum_from_proto(Relation, message.relation, field="edges.relation"),
        detail=message.detail,
    )
