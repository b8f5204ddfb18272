"""Request ids on the wire."""

import hashlib

from google.protobuf.message import Message

from memos_api.internal.v1 import grant_pb2 as pb
from memos_kernel import limits
from memos_kernel.errors import LimitExceeded
from memos_kernel.requests import RequestKey
from memos_kernel.text import check_plain


def request_key_of(request: Message, *, method: str) -> RequestKey:
    """Return the identity of a public mutation: its request id and the hash of everything else.

    A request without an id asks for no idempotence; its body is not hashed.

    Raises:
        LimitExceeded: the id is too long.
        InvalidField: the id holds control characters.
    """
    request_id: str = getattr(request, "request_id", "")
    if len(request_id) > limits.REQUEST_ID_CHARS:
        raise LimitExceeded(
            f"request_id has {len(request_id)} characters; the limit is {limits.REQUEST_ID_CHARS}.",
            field="request_id",
            limit=str(limits.REQUEST_ID_CHARS),
            unit="characters",
        )
    check_plain(request_id, field="request_id", limit=4 * limits.REQUEST_ID_CHARS)
    if not request_id:
        return RequestKey(method=method)
    body = type(request)()
    body.CopyFrom(request)
    body.ClearField("request_id")
    digest = hashlib.sha256(body.SerializeToString(deterministic=True)).hexdigest()
    return RequestKey(request_id=request_id, method=method, body_sha256=digest)


def request_key_to_proto(key: RequestKey) -> pb.RequestKey:
    """Return the message."""
    return pb.RequestKey(request_id=key.request_id, method=key.method, body_sha256=key.body_sha256)


def request_key_from_proto(message: pb.RequestKey) -> RequestKey:
    """Return the key of a message."""
    return RequestKey(message.request_id, message.method, message.body_sha256)
