"""Domain error <-> gRPC status: one table, used by every server and every client between services."""

from collections.abc import Callable, Mapping
from typing import ParamSpec, TypeVar, cast

import grpc
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import code_pb2, error_details_pb2, status_pb2

from memos_kernel import errors as domain

P = ParamSpec("P")
T = TypeVar("T")

DOMAIN = "memos"

CODES: Mapping[type[domain.MemosError], grpc.StatusCode] = {
    domain.InvalidField: grpc.StatusCode.INVALID_ARGUMENT,
    domain.MissingField: grpc.StatusCode.INVALID_ARGUMENT,
    domain.MalformedName: grpc.StatusCode.INVALID_ARGUMENT,
    domain.LimitExceeded: grpc.StatusCode.INVALID_ARGUMENT,
    domain.ImmutableField: grpc.StatusCode.INVALID_ARGUMENT,
    domain.PageTokenMismatch: grpc.StatusCode.INVALID_ARGUMENT,
    domain.ArchiveInvalid: grpc.StatusCode.INVALID_ARGUMENT,
    domain.CredentialInvalid: grpc.StatusCode.UNAUTHENTICATED,
    domain.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    domain.GrantInvalid: grpc.StatusCode.PERMISSION_DENIED,
    domain.PeerForbidden: grpc.StatusCode.PERMISSION_DENIED,
    domain.CubeNotFound: grpc.StatusCode.NOT_FOUND,
    domain.RevisionNotFound: grpc.StatusCode.NOT_FOUND,
    domain.VaultNotFound: grpc.StatusCode.NOT_FOUND,
    domain.ResourceNotFound: grpc.StatusCode.NOT_FOUND,
    domain.ResourceExists: grpc.StatusCode.ALREADY_EXISTS,
    domain.DuplicateContent: grpc.StatusCode.ALREADY_EXISTS,
    domain.RequestIdReused: grpc.StatusCode.ALREADY_EXISTS,
    domain.EtagMismatch: grpc.StatusCode.ABORTED,
    domain.IllegalTransition: grpc.StatusCode.FAILED_PRECONDITION,
    domain.CubeFrozen: grpc.StatusCode.FAILED_PRECONDITION,
    domain.ContentPurged: grpc.StatusCode.FAILED_PRECONDITION,
    domain.CountMismatch: grpc.StatusCode.FAILED_PRECONDITION,
    domain.ResumeTokenExpired: grpc.StatusCode.FAILED_PRECONDITION,
    domain.StateConflict: grpc.StatusCode.FAILED_PRECONDITION,
    domain.IncompatiblePayload: grpc.StatusCode.FAILED_PRECONDITION,
    domain.ContextExceeded: grpc.StatusCode.FAILED_PRECONDITION,
    domain.FormUnsupported: grpc.StatusCode.FAILED_PRECONDITION,
    domain.AdapterRejected: grpc.StatusCode.FAILED_PRECONDITION,
    domain.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    domain.Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    domain.StoreFull: grpc.StatusCode.RESOURCE_EXHAUSTED,
    domain.DependencyUnavailable: grpc.StatusCode.UNAVAILABLE,
    domain.Draining: grpc.StatusCode.UNAVAILABLE,
    domain.DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    domain.InternalError: grpc.StatusCode.INTERNAL,
    domain.DataCorrupted: grpc.StatusCode.DATA_LOSS,
}

_BY_REASON: Mapping[str, type[domain.MemosError]] = {error.reason: error for error in CODES}


def status_of(error: domain.MemosError) -> status_pb2.Status:
    """Return the google.rpc.Status of a domain error: ErrorInfo, field violations, RetryInfo."""
    code = cast(tuple[int, str], CODES[type(error)].value)[0]
    status = status_pb2.Status(code=code, message=error.message)
    info = error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=dict(error.metadata))
    _attach(status, info)
    if error.field:
        violation = error_details_pb2.BadRequest.FieldViolation(
            field=error.field, description=error.message, reason=error.reason
        )
        _attach(status, error_details_pb2.BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        _attach(status, error_details_pb2.RetryInfo(retry_delay=delay))
    return status


def error_of(status: status_pb2.Status) -> domain.MemosError:
    """Return the domain error that a status describes; a status without our ErrorInfo is InternalError."""
    info, retry = error_details_pb2.ErrorInfo(), error_details_pb2.RetryInfo()
    retry_after: float | None = None
    found = False
    for detail in status.details:
        if detail.Is(info.DESCRIPTOR):
            detail.Unpack(info)
            found = info.domain == DOMAIN
        elif detail.Is(retry.DESCRIPTOR):
            detail.Unpack(retry)
            retry_after = retry.retry_delay.ToNanoseconds() / 1e9
    if not found or info.reason not in _BY_REASON:
        name = code_pb2.Code.Name(status.code) if status.code in code_pb2.Code.values() else str(status.code)
        return domain.InternalError(status.message or "The call failed.", status=name)
    metadata = dict(info.metadata)
    field = metadata.pop("field", "")
    return _BY_REASON[info.reason](status.message, field=field, retry_after=retry_after, **metadata)


def error_of_call(error: grpc.RpcError, *, dependency: str) -> domain.MemosError:
    """Return the domain error of a failed call to another service.

    A status of ours keeps its meaning. Without one: UNAVAILABLE and CANCELLED (by a server that ended, for who cancels
    a call of its own gets no status) are DependencyUnavailable, DEADLINE_EXCEEDED is DeadlineExceeded,
    RESOURCE_EXHAUSTED (of the transport) LimitExceeded, the rest InternalError.
    """
    call = cast(grpc.aio.AioRpcError, error)
    for key, value in call.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            return error_of(status_pb2.Status.FromString(cast(bytes, value)))
    if call.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
        return domain.DependencyUnavailable(
            f"The {dependency} service does not answer; try again.", retry_after=1.0, dependency=dependency
        )
    if call.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
        return domain.DeadlineExceeded("The deadline passed; give the call more time.", dependency=dependency)
    if call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
        return domain.LimitExceeded(
            "What the call sends or returns does not fit into one message; send or ask for less.", dependency=dependency
        )
    return domain.InternalError("A call between services failed.", dependency=dependency, status=call.code().name)


def _attach(status: status_pb2.Status, detail: object) -> None:
    packed = Any()
    packed.Pack(detail)  # type: ignore[arg-type]
    status.details.append(packed)


def attempt(read: Callable[P, T], *args: P.args, **options: P.kwargs) -> T | domain.MemosError:
    """Return what was read, or why it could not be, for answers with an outcome an item."""
    try:
        return read(*args, **options)
    except domain.MemosError as error:
        return error
