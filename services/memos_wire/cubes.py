"""MemCube between the domain and the wire."""

from collections.abc import Iterable
from datetime import datetime
from enum import IntEnum
from typing import TypeVar

from google.protobuf.message import Message

from memos_api.v1 import memcube_pb2 as pb
from memos_kernel import cube as domain
from memos_kernel.errors import InvalidField
from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action
from memos_wire.times import from_timestamp, to_timestamp

E = TypeVar("E", bound=IntEnum)

_IDENTITY_FIELDS = tuple(CompatibilityIdentity.__dataclass_fields__)


def cube_to_proto(cube: domain.MemCube, *, payload: bool = True) -> pb.MemCube:
    """Return the message; without payload it is the header (view BASIC)."""
    message = pb.MemCube(
        name=str(cube.name),
        vault=str(cube.vault),
        kind=pb.CubeKind.ValueType(cube.kind),
        state=pb.CubeState.ValueType(cube.state),
        labels=cube.labels,
        semantic_type=pb.SemanticType.ValueType(cube.semantic_type),
        origin=pb.CubeOrigin.ValueType(cube.origin),
        sources=[source_to_proto(source) for source in cube.sources],
        sensitivity_tags=cube.sensitivity_tags,
        usage=pb.CubeUsage(
            hits=cube.usage.hits, last_used_time=to_timestamp(cube.usage.last_used_time), heat=cube.usage.heat
        ),
        parent_revisions=cube.parent_revisions,
        derived_from=[pb.CubeRevisionRef(name=str(ref.name), revision=ref.revision) for ref in cube.derived_from],
        uid=cube.uid,
        frozen=cube.frozen,
        priority=cube.priority,
        fingerprint=cube.fingerprint,
        content_hash=cube.content_hash,
        revision=cube.revision,
        etag=cube.etag,
        provenance_id=cube.provenance_id,
        watermark_id=cube.watermark_id,
        create_time=to_timestamp(cube.create_time),
        update_time=to_timestamp(cube.update_time),
        expire_time=to_timestamp(cube.expire_time),
        delete_time=to_timestamp(cube.delete_time),
        purge_time=to_timestamp(cube.purge_time),
        valid_from=to_timestamp(cube.valid_from),
        valid_until=to_timestamp(cube.valid_until),
    )
    if cube.access is not None:
        message.access.owner = str(cube.access.owner)
        message.access.permitted_actions.extend(sorted(cube.access.permitted_actions))
    if cube.origin_trace is not None:
        message.origin_trace.trace_id = cube.origin_trace.trace_id
        message.origin_trace.span_id = cube.origin_trace.span_id
    if payload and cube.payload is not None:
        _payload_to_proto(cube.payload, message)
    return message


def cube_from_proto(message: pb.MemCube, *, field: str = "cube") -> domain.MemCube:
    """Return the cube that a message describes. `name` and `vault` must be well formed.

    Raises:
        MalformedName, MissingField: name or vault.
        InvalidField: an unknown enum value, or a time out of range.
    """
    payload = _payload_from_proto(message, field=field)
    kind = domain.kind_of(payload) if payload is not None else domain.Kind(message.kind or domain.Kind.PLAINTEXT)
    return domain.MemCube(
        name=CubeName.parse(message.name, field=f"{field}.name"),
        vault=VaultName.parse(message.vault, field=f"{field}.vault"),
        kind=kind,
        payload=payload,
        state=enum_from_proto(domain.State, message.state or domain.State.GENERATED, field=f"{field}.state"),
        labels=dict(message.labels),
        semantic_type=enum_from_proto(domain.SemanticType, message.semantic_type, field=f"{field}.semantic_type"),
        origin=enum_from_proto(domain.Origin, message.origin, field=f"{field}.origin"),
        sources=tuple(
            source_from_proto(source, field=f"{field}.sources[{index}]") for index, source in enumerate(message.sources)
        ),
        sensitivity_tags=tuple(message.sensitivity_tags),
        access=_access_from_proto(message),
        usage=domain.Usage(
            hits=message.usage.hits,
            last_used_time=_time(message.usage, "last_used_time", field=f"{field}.usage.last_used_time"),
            heat=message.usage.heat,
        ),
        parent_revisions=tuple(message.parent_revisions),
        derived_from=tuple(
            domain.RevisionRef(CubeName.parse(ref.name, field=f"{field}.derived_from[{index}].name"), ref.revision)
            for index, ref in enumerate(message.derived_from)
        ),
        origin_trace=(
            domain.TraceRef(message.origin_trace.trace_id, message.origin_trace.span_id)
            if message.HasField("origin_trace")
            else None
        ),
        uid=message.uid,
        frozen=message.frozen,
        priority=message.priority,
        fingerprint=message.fingerprint,
        content_hash=message.content_hash,
        revision=message.revision,
        etag=message.etag,
        provenance_id=message.provenance_id,
        watermark_id=message.watermark_id,
        create_time=_time(message, "create_time", field=f"{field}.create_time"),
        update_time=_time(message, "update_time", field=f"{field}.update_time"),
        expire_time=_time(message, "expire_time", field=f"{field}.expire_time"),
        delete_time=_time(message, "delete_time", field=f"{field}.delete_time"),
        purge_time=_time(message, "purge_time", field=f"{field}.purge_time"),
        valid_from=_time(message, "valid_from", field=f"{field}.valid_from"),
        valid_until=_time(message, "valid_until", field=f"{field}.valid_until"),
    )


def enum_from_proto(enum: type[E], value: int, *, field: str) -> E:
    """Return the domain's value of a wire enum.

    Raises:
        InvalidField: the number is not one of the contract's.
    """
    try:
        return enum(value)
    except ValueError as error:
        known = ", ".join(f"{item.value} ({item.name})" for item in enum)
        raise InvalidField(f"{field} is {value}; known values are {known}.", field=field) from error


def enums_from_proto(enum: type[E], values: Iterable[int], *, field: str) -> frozenset[E]:
    """Return a set of the domain's values; see `enum_from_proto`."""
    return frozenset(enum_from_proto(enum, value, field=f"{field}[{index}]") for index, value in enumerate(values))


def source_to_proto(source: domain.SourceSpan) -> pb.SourceSpan:
    """Return the message of a source span."""
    return pb.SourceSpan(
        message_id=source.message_id,
        speaker=source.speaker,
        session=source.session,
        event_time=to_timestamp(source.event_time),
        utc_offset=source.utc_offset,
        role=source.role,
        start_char=source.start_char,
        end_char=source.end_char,
    )


def source_from_proto(message: pb.SourceSpan, *, field: str) -> domain.SourceSpan:
    """Return the source span of a message."""
    return domain.SourceSpan(
        message_id=message.message_id,
        speaker=message.speaker,
        session=message.session,
        event_time=_time(message, "event_time", field=f"{field}.event_time"),
        utc_offset=message.utc_offset,
        role=message.role,
        start_char=message.start_char,
        end_char=message.end_char,
    )


def identity_to_proto(identity: CompatibilityIdentity) -> pb.CompatibilityIdentity:
    """Return the message of an identity."""
    return pb.CompatibilityIdentity(**{name: getattr(identity, name) for name in _IDENTITY_FIELDS})


def identity_from_proto(message: pb.CompatibilityIdentity) -> CompatibilityIdentity:
    """Return the identity of a message."""
    return CompatibilityIdentity(**{name: getattr(message, name) for name in _IDENTITY_FIELDS})


def _time(message: Message, name: str, *, field: str) -> datetime | None:
    return from_timestamp(getattr(message, name), field=field) if message.HasField(name) else None


def _access_from_proto(message: pb.MemCube) -> domain.Access | None:
    if not message.access.owner:
        return None
    return domain.Access(
        owner=PrincipalName.parse(message.access.owner, field="access.owner"),
        permitted_actions=frozenset(Action(action) for action in message.access.permitted_actions),
    )


def _payload_to_proto(payload: domain.Payload, message: pb.MemCube) -> None:
    match payload:
        case domain.Plaintext():
            message.plaintext.text = payload.text
            message.plaintext.language = payload.language
        case domain.Activation():
            message.activation.CopyFrom(activation_to_proto(payload))
        case domain.Parametric():
            message.parametric.CopyFrom(parametric_to_proto(payload))


def _payload_from_proto(message: pb.MemCube, *, field: str) -> domain.Payload | None:
    match message.WhichOneof("payload"):
        case None:
            if message.kind:
                enum_from_proto(domain.Kind, message.kind, field=f"{field}.kind")
            return None
        case "plaintext":
            return domain.Plaintext(message.plaintext.text, message.plaintext.language)
        case "activation":
            return activation_from_proto(message.activation)
        case _:
            return parametric_from_proto(message.parametric)


def activation_to_proto(payload: domain.Activation) -> pb.ActivationPayload:
    """Return the message of a KV cache."""
    return pb.ActivationPayload(
        blob=blob_to_proto(payload.blob),
        identity=identity_to_proto(payload.identity),
        token_count=payload.token_count,
        seal=payload.seal,
    )


def activation_from_proto(message: pb.ActivationPayload) -> domain.Activation:
    """Return the KV cache of a message."""
    return domain.Activation(
        blob_from_proto(message.blob), identity_from_proto(message.identity), message.token_count, message.seal
    )


def parametric_to_proto(payload: domain.Parametric) -> pb.ParametricPayload:
    """Return the message of an adapter."""
    return pb.ParametricPayload(
        blob=blob_to_proto(payload.blob),
        identity=identity_to_proto(payload.identity),
        rank=payload.rank,
        seal=payload.seal,
        activated=payload.activated,
    )


def parametric_from_proto(message: pb.ParametricPayload) -> domain.Parametric:
    """Return the adapter of a message."""
    return domain.Parametric(
        blob_from_proto(message.blob),
        identity_from_proto(message.identity),
        message.rank,
        message.seal,
        message.activated,
    )


def blob_to_proto(blob: domain.BlobRef) -> pb.BlobRef:
    """Return the message of a blob."""
    return pb.BlobRef(name=blob.name, size_bytes=blob.size_bytes, sha256=blob.sha256, media_type=blob.media_type)


def blob_from_proto(message: pb.BlobRef) -> domain.BlobRef:
    """Return the blob of a message."""
    return domain.BlobRef(message.name, message.size_bytes, message.sha256, message.media_type)
