"""Everything that a call can raise.

    MemosError                   .reason .message .field .metadata .retry_after .code
    |- RequestError              the call itself is wrong; `.field` says where
    |  |- LimitExceeded          a value, or the whole message, is too large: split the call
    |- Unauthenticated           no API key, or an unknown or revoked one
    |- PermissionDenied          the key may not do this
    |- NotFound                  it does not exist, or not for this key
    |- Conflict
    |  |- AlreadyExists          the name is taken
    |  |- DuplicateContent       the vault holds it; `.existing` names the cube
    |  |- EtagMismatch           somebody else changed it first: read it again
    |  |- RequestIdReused        the request id was used with another body
    |- PreconditionFailed        the state of the resource or of the model does not allow it
    |  |- QuotaExceeded          the vault may not hold more
    |- Unavailable               come back after `.retry_after` seconds; the client has tried already
    |  |- Overloaded             a queue or a store is full
    |- DeadlineExceeded          the time was too short
    |- ServerFault               a fault of the system; `.metadata["error_id"]` is in its log

Branch on the class, or on `reason`, which is a name of the contract's `ErrorReason`; never on the message.
"""

import re
from collections.abc import Mapping
from typing import cast

import grpc
from google.protobuf.message import DecodeError
from google.rpc import error_details_pb2, status_pb2

_DETAILS = "grpc-status-details-bin"
_DOMAIN = "memos"


class MemosError(Exception):
    """Base of all errors of this package.

    Attributes:
        message: one sentence for people that says what to do.
        reason: name of the contract's ErrorReason, or empty if no server of memos answered.
        field: path of the field at fault, such as `messages[3].time`, or empty.
        metadata: further details.
        retry_after: seconds after which a retry makes sense, or None.
        code: name of the gRPC status code.
    """

    def __init__(
        self,
        message: str,
        *,
        reason: str = "",
        metadata: Mapping[str, str] | None = None,
        retry_after: float | None = None,
        code: str = "",
    ) -> None:
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.metadata: Mapping[str, str] = dict(metadata or {})
        self.field = self.metadata.get("field", "")
        self.retry_after = retry_after
        self.code = code


class RequestError(MemosError):
    """The call itself is wrong."""


class LimitExceeded(RequestError):
    """A value, or the whole message, is over a stated limit."""


class Unauthenticated(MemosError):
    """No API key, or an unknown or revoked one."""


class PermissionDenied(MemosError):
    """The key may not do this."""


class NotFound(MemosError):
    """It does not exist, or its existence is secret to this key."""


class Conflict(MemosError):
    """The call contradicts what is stored."""


class AlreadyExists(Conflict):
    """A resource of that name exists."""


class DuplicateContent(Conflict):
    """The vault holds the same content already."""

    @property
    def existing(self) -> str:
        """Name of the cube that holds it."""
        return self.metadata.get("existing", "")


class EtagMismatch(Conflict):
    """Somebody else changed the resource first."""


class RequestIdReused(Conflict):
    """The request id was used with another body."""


class PreconditionFailed(MemosError):
    """The state of the resource or of the model does not allow the call."""


class QuotaExceeded(PreconditionFailed):
    """The vault may not hold more."""


class Unavailable(MemosError):
    """The system, or a part that the call needs, does not answer."""


class Overloaded(Unavailable):
    """A queue or a store is full."""


class DeadlineExceeded(MemosError):
    """The time of the call was too short."""


class ServerFault(MemosError):
    """A fault of the system itself."""


BY_REASON: Mapping[str, type[MemosError]] = {
    "INVALID_FIELD": RequestError,
    "MISSING_FIELD": RequestError,
    "MALFORMED_NAME": RequestError,
    "LIMIT_EXCEEDED": LimitExceeded,
    "IMMUTABLE_FIELD": RequestError,
    "PAGE_TOKEN_MISMATCH": RequestError,
    "ARCHIVE_INVALID": RequestError,
    "CREDENTIAL_INVALID": Unauthenticated,
    "PERMISSION_DENIED": PermissionDenied,
    "GRANT_INVALID": PermissionDenied,
    "PEER_FORBIDDEN": PermissionDenied,
    "CUBE_NOT_FOUND": NotFound,
    "REVISION_NOT_FOUND": NotFound,
    "VAULT_NOT_FOUND": NotFound,
    "RESOURCE_NOT_FOUND": NotFound,
    "RESOURCE_EXISTS": AlreadyExists,
    "DUPLICATE_CONTENT": DuplicateContent,
    "REQUEST_ID_REUSED": RequestIdReused,
    "ETAG_MISMATCH": EtagMismatch,
    "ILLEGAL_TRANSITION": PreconditionFailed,
    "CUBE_FROZEN": PreconditionFailed,
    "CONTENT_PURGED": PreconditionFailed,
    "COUNT_MISMATCH": PreconditionFailed,
    "RESUME_TOKEN_EXPIRED": PreconditionFailed,
    "STATE_CONFLICT": PreconditionFailed,
    "INCOMPATIBLE_PAYLOAD": PreconditionFailed,
    "FORM_UNSUPPORTED": PreconditionFailed,
    "ADAPTER_REJECTED": PreconditionFailed,
    "CONTEXT_EXCEEDED": PreconditionFailed,
    "QUOTA_EXCEEDED": QuotaExceeded,
    "OVERLOADED": Overloaded,
    "STORE_FULL": Overloaded,
    "DEPENDENCY_UNAVAILABLE": Unavailable,
    "DRAINING": Unavailable,
    "DEADLINE_EXCEEDED": DeadlineExceeded,
    "INTERNAL_ERROR": ServerFault,
    "DATA_CORRUPTED": ServerFault,
}
"""The class of each reason of the contract."""

_BY_CODE: Mapping[grpc.StatusCode, type[MemosError]] = {
    grpc.StatusCode.INVALID_ARGUMENT: RequestError,
    grpc.StatusCode.OUT_OF_RANGE: RequestError,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.ALREADY_EXISTS: AlreadyExists,
    grpc.StatusCode.ABORTED: Conflict,
    grpc.StatusCode.FAILED_PRECONDITION: PreconditionFailed,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.CANCELLED: Unavailable,  # by a server that stops; who cancels a call of its own gets no status
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
"""The class of a status that carries no reason: of a proxy, of gRPC itself, or of a newer server."""


_TOO_LARGE = re.compile(r"(CLIENT|SERVER): (Received|Sent) message larger than max(?: \((\d+) vs\. (\d+)\))?")
"""What gRPC says of a message that it does not carry."""


def error_of_call(error: grpc.aio.AioRpcError) -> MemosError:
    """Return the error of a failed call."""
    status = _status_of(error)
    if status is not None:
        return error_of_status(status, code=error.code())
    if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED and (told := _TOO_LARGE.search(error.details() or "")):
        return _too_large(*told.groups())
    kind = _BY_CODE.get(error.code(), ServerFault)
    return kind(error.details() or f"The call failed with {error.code().name}.", code=error.code().name)


def _too_large(side: str, done: str, size: str | None, most: str | None) -> LimitExceeded:
    """Return the error of a message that gRPC does not carry: the request, or the answer."""
    told = f" has {size} bytes, and a message at most {most}" if size and most else " is larger than a message may be"
    asked = (side, done) in (("CLIENT", "Sent"), ("SERVER", "Received"))
    return LimitExceeded(
        f"The request{told}; split the call." if asked else f"The answer{told}; ask for less, such as a smaller page.",
        reason="LIMIT_EXCEEDED",
        metadata={"limit": most, "unit": "bytes"} if most else {},
        code=grpc.StatusCode.RESOURCE_EXHAUSTED.name,
    )


def error_of_status(status: status_pb2.Status, *, code: grpc.StatusCode) -> MemosError:
    """Return the error that a google.rpc.Status describes, such as that of one item of a batch."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after: float | None = None
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    ours = info.domain == _DOMAIN
    kind = BY_REASON.get(info.reason) if ours else None
    return (kind or _BY_CODE.get(code, ServerFault))(
        status.message,
        reason=info.reason if ours else "",
        metadata=dict(info.metadata),
        retry_after=retry_after,
        code=code.name,
    )


def error_of_item(status: status_pb2.Status) -> MemosError:
    """Return the error of one item of a batch."""
    code = next((code for code in grpc.StatusCode if code.value[0] == status.code), grpc.StatusCode.UNKNOWN)
    return error_of_status(status, code=code)


def _status_of(error: grpc.aio.AioRpcError) -> status_pb2.Status | None:
    for key, value in error.trailing_metadata() or ():
        if key == _DETAILS:
            try:
                return status_pb2.Status.FromString(cast(bytes, value))
            except DecodeError:
                return None
    return None
