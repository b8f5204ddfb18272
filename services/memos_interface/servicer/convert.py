"""What the public servicers share: views, messages, cubes that callers write."""

from collections.abc import Iterable

from google.api import field_behavior_pb2

from memos_api.v1 import memcube_pb2, memory_service_pb2
from memos_interface.domain.cubes import CubeChange
from memos_interface.domain.reader import Message
from memos_kernel.cube import MemCube, SemanticType
from memos_kernel.errors import InvalidField
from memos_kernel.ids import IdFactory
from memos_kernel.names import CubeName, VaultName
from memos_wire.cubes import cube_from_proto, enum_from_proto
from memos_wire.times import from_timestamp

_OUTPUT_ONLY = frozenset(
    field.name
    for field in memcube_pb2.MemCube.DESCRIPTOR.fields
    if field_behavior_pb2.OUTPUT_ONLY in field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
)
"""Fields that the contract itself marks as set by the system alone."""


def wants_payload(view: int, *, default: bool) -> bool:
    """Return whether a view includes payloads.

    Raises:
        InvalidField: an unknown view.
    """
    if view not in memcube_pb2.CubeView.values():
        raise InvalidField(f"view is {view}; it can be 1 (BASIC) or 2 (FULL).", field="view")
    return default if view == memcube_pb2.CUBE_VIEW_UNSPECIFIED else view == memcube_pb2.CUBE_VIEW_FULL


def messages_from_proto(messages: Iterable[memory_service_pb2.Message]) -> tuple[Message, ...]:
    """Return messages as the reader takes them."""
    return tuple(
        Message(
            text=message.text,
            id=message.id,
            role=message.role,
            speaker=message.speaker,
            session=message.session,
            time=message.time,
        )
        for message in messages
    )


def vaults_from_proto(names: Iterable[str]) -> tuple[VaultName, ...]:
    """Return the names of vaults, each once.

    Raises:
        MissingField, MalformedName: by position.
    """
    parsed = [VaultName.parse(name, field=f"vaults[{index}]") for index, name in enumerate(names)]
    return tuple(dict.fromkeys(parsed))


def new_cube_from_proto(message: memcube_pb2.MemCube, *, new_id: IdFactory) -> MemCube:
    """Return the cube that a caller wants to create; one without name gets a new one.

    Raises:
        InvalidField: a field is set that only the system sets, or an enum value is unknown.
        MissingField, MalformedName: name or vault.
    """
    for descriptor, _ in message.ListFields():
        if descriptor.name in _OUTPUT_ONLY:
            field = f"cube.{descriptor.name}"
            raise InvalidField(f"{field} is set by the system; leave it empty.", field=field)
    named = memcube_pb2.MemCube()
    named.CopyFrom(message)
    if not named.name:
        vault = VaultName.parse(named.vault, field="cube.vault")
        named.name = str(CubeName(vault.tenant, new_id()))
    return cube_from_proto(named)


def change_from_proto(message: memcube_pb2.MemCube, paths: Iterable[str]) -> CubeChange:
    """Return the change that a caller asks for; fields outside the mask are not looked at.

    Raises:
        MissingField, MalformedName: the cube's name.
        InvalidField: an unknown sort of content, or a time out of range.
    """
    mask = tuple(dict.fromkeys(paths))
    times = {
        name: from_timestamp(getattr(message, name), field=f"cube.{name}")
        for name in ("expire_time", "valid_from", "valid_until")
        if name in mask and message.HasField(name)
    }
    kind = message.semantic_type if "semantic_type" in mask else 0
    return CubeChange(
        name=CubeName.parse(message.name, field="cube.name"),
        paths=mask,
        etag=message.etag,
        text=message.plaintext.text,
        language=message.plaintext.language,
        labels=dict(message.labels),
        semantic_type=enum_from_proto(SemanticType, kind, field="cube.semantic_type"),
        priority=message.priority,
        sensitivity_tags=tuple(message.sensitivity_tags),
        **times,
    )
