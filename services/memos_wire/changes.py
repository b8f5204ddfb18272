"""Changes of cubes on the wire."""

from memos_api.v1 import memory_service_pb2 as pb
from memos_kernel.changes import Change, ChangeKind
from memos_kernel.names import CubeName
from memos_wire.cubes import cube_from_proto, cube_to_proto
from memos_wire.times import from_timestamp, to_timestamp


def change_to_proto(change: Change, *, payload: bool) -> pb.MemoryChange:
    """Return the message of a change; `payload` says whether its cube comes with its text."""
    return pb.MemoryChange(
        kind=pb.ChangeKind.ValueType(change.kind),
        name=str(change.name),
        uid=change.uid,
        revision=change.revision,
        record_time=to_timestamp(change.time),
        cube=cube_to_proto(change.cube, payload=payload) if change.cube is not None else None,
    )


def change_from_proto(message: pb.MemoryChange) -> Change:
    """Return the change of a message from another service."""
    return Change(
        kind=ChangeKind(message.kind),
        name=CubeName.parse(message.name),
        uid=message.uid,
        revision=message.revision,
        time=from_timestamp(message.record_time, field="change.record_time"),
        cube=cube_from_proto(message.cube) if message.HasField("cube") else None,
    )
