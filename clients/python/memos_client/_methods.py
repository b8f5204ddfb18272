"""The public methods by the type of their request, read from the contract's descriptors."""

from collections.abc import Mapping
from dataclasses import dataclass

from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from memos_api.v1 import (
    archive_service_pb2,
    blob_service_pb2,
    chat_service_pb2,
    conversion_service_pb2,
    governance_service_pb2,
    job_service_pb2,
    memory_service_pb2,
    purge_service_pb2,
    snapshot_service_pb2,
)

_MODULES = (
    memory_service_pb2,
    blob_service_pb2,
    archive_service_pb2,
    chat_service_pb2,
    conversion_service_pb2,
    snapshot_service_pb2,
    purge_service_pb2,
    job_service_pb2,
    governance_service_pb2,
)

_NEVER_TWICE = frozenset({"memos.v1.CreateApiKeyRequest"})
"""A replay of CreateApiKey comes without the secret, so repeating it unasked would lose the key."""


@dataclass(frozen=True, slots=True)
class Method:
    """One rpc.

    Attributes:
        path: `/memos.v1.Service/Method`.
        response: class of its answer.
        streams: whether it answers with a stream.
        uploads: whether it takes a stream of requests.
        mutating: whether its request carries a request id, which makes a repetition safe.
        repeatable: whether the client may repeat it on its own.
    """

    path: str
    response: type[Message]
    streams: bool
    uploads: bool
    mutating: bool
    repeatable: bool


def _read() -> dict[str, Method]:
    found = {}
    for module in _MODULES:
        for service in module.DESCRIPTOR.services_by_name.values():
            for rpc in service.methods:
                request = rpc.input_type
                found[request.full_name] = Method(
                    path=f"/{service.full_name}/{rpc.name}",
                    response=GetMessageClass(rpc.output_type),
                    streams=rpc.server_streaming,
                    uploads=rpc.client_streaming,
                    mutating="request_id" in request.fields_by_name,
                    repeatable=request.full_name not in _NEVER_TWICE,
                )
    return found


METHODS: Mapping[str, Method] = _read()
"""Every public rpc by the full name of its request message."""


def method_of(request: Message) -> Method:
    """Return the method that takes a request.

    Raises:
        TypeError: no public method takes it.
    """
    name = request.DESCRIPTOR.full_name
    try:
        return METHODS[name]
    except KeyError:
        raise TypeError(f"{name} is not the request of a public method") from None
