"""Links between memories on the wire."""

from memos_api.v1 import memory_service_pb2 as pb
from memos_kernel.memory_links import LinkKind, MemoryLink
from memos_kernel.names import CubeName, PrincipalName
from memos_wire.times import from_timestamp, to_timestamp


def link_to_proto(link: MemoryLink) -> pb.MemoryLink:
    """Return the message of a link."""
    return pb.MemoryLink(
        newer=str(link.newer),
        older=str(link.older),
        kind=pb.LinkKind.ValueType(link.kind),
        evidence=link.evidence,
        link_time=to_timestamp(link.time),
        decided_by="" if link.decided_by is None else str(link.decided_by),
    )


def link_from_proto(message: pb.MemoryLink) -> MemoryLink:
    """Return the link of a message."""
    return MemoryLink(
        newer=CubeName.parse(message.newer, field="newer"),
        older=CubeName.parse(message.older, field="older"),
        kind=LinkKind(message.kind),
        evidence=message.evidence,
        time=from_timestamp(message.link_time, field="link_time"),
        decided_by=PrincipalName.parse(message.decided_by, field="decided_by") if message.decided_by else None,
    )
