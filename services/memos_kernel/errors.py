"""Every error that the system raises on purpose, as plain Python.

    MemosError
    |- RequestError            the caller can mend it
    |  |- InvalidField, MissingField, MalformedName, LimitExceeded, ImmutableField, PageTokenMismatch,
    |     ArchiveInvalid
    |- AccessError
    |  |- CredentialInvalid, PermissionDenied, GrantInvalid, PeerForbidden
    |- NotFound
    |  |- CubeNotFound, VaultNotFound, ResourceNotFound
    |- Conflict
    |  |- ResourceExists, DuplicateContent, RequestIdReused, EtagMismatch
    |- Precondition
    |  |- IllegalTransition, CubeFrozen, StateConflict, IncompatiblePayload, FormUnsupported, AdapterRejected,
    |     ContextExceeded, QuotaExceeded
    |- Capacity                come back later
    |  |- Overloaded, StoreFull, DependencyUnavailable, Draining, DeadlineExceeded
    |- Fault                   the system's own
       |- InternalError, DataCorrupted

`reason` is the name of a value of the contract's ErrorReason without its prefix; the mapping to gRPC
status codes is `memos_wire.errors`.
"""

from collections.abc import Mapping
from typing import ClassVar


class MemosError(Exception):
    """Base of all domain errors.

    Attributes:
        reason: machine-readable reason; clients branch on it.
        message: one sentence for people that says what to do.
        metadata: string details, safe to show to the caller.
        field: path of the request field at fault, or empty.
        retry_after: seconds after which a retry makes sense, or None.
    """

    reason: ClassVar[str] = ""

    def __init__(
        self,
        message: str,
        *,
        field: str = "",
        retry_after: float | None = None,
        **metadata: str,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.retry_after = retry_after
        self.metadata: Mapping[str, str] = {**({"field": field} if field else {}), **metadata}


class RequestError(MemosError):
    """The request breaks a rule of the contract."""


class InvalidField(RequestError):
    """A field breaks a rule."""

    reason = "INVALID_FIELD"


class MissingField(RequestError):
    """A required field is empty."""

    reason = "MISSING_FIELD"


class MalformedName(RequestError):
    """A resource name cannot be read."""

    reason = "MALFORMED_NAME"


class LimitExceeded(RequestError):
    """A value is over a stated limit."""

    reason = "LIMIT_EXCEEDED"


class ImmutableField(RequestError):
    """An update names a field that only the system sets, or that does not exist."""

    reason = "IMMUTABLE_FIELD"


class PageTokenMismatch(RequestError):
    """A page token belongs to another call or was changed."""

    reason = "PAGE_TOKEN_MISMATCH"


class ArchiveInvalid(RequestError):
    """A file of an archive is missing, cut off or changed, or nobody who is trusted has signed it."""

    reason = "ARCHIVE_INVALID"


class AccessError(MemosError):
    """The caller is not known, or may not do this."""


class CredentialInvalid(AccessError):
    """No key, or an unknown or revoked one."""

    reason = "CREDENTIAL_INVALID"


class PermissionDenied(AccessError):
    """The caller may know of the resource but not do this."""

    reason = "PERMISSION_DENIED"


class GrantInvalid(AccessError):
    """A grant between services is missing, expired, forged or does not cover the call."""

    reason = "GRANT_INVALID"


class PeerForbidden(AccessError):
    """The calling service may not call this method."""

    reason = "PEER_FORBIDDEN"


class NotFound(MemosError):
    """Something does not exist, or its existence is secret to the caller."""


class CubeNotFound(NotFound):
    """No such cube for this caller."""

    reason = "CUBE_NOT_FOUND"


class RevisionNotFound(NotFound):
    """The cube has no such revision."""

    reason = "REVISION_NOT_FOUND"


class VaultNotFound(NotFound):
    """No such vault for this caller."""

    reason = "VAULT_NOT_FOUND"


class ResourceNotFound(NotFound):
    """No such resource for this caller."""

    reason = "RESOURCE_NOT_FOUND"


class Conflict(MemosError):
    """The call contradicts what is stored."""


class ResourceExists(Conflict):
    """The name is taken."""

    reason = "RESOURCE_EXISTS"


class DuplicateContent(Conflict):
    """The vault holds a live cube of the same content."""

    reason = "DUPLICATE_CONTENT"


class RequestIdReused(Conflict):
    """The request id was used with another body."""

    reason = "REQUEST_ID_REUSED"


class EtagMismatch(Conflict):
    """Somebody else changed the resource first."""

    reason = "ETAG_MISMATCH"


class Precondition(MemosError):
    """The state of the system does not allow the call."""


class IllegalTransition(Precondition):
    """The life cycle has no such move."""

    reason = "ILLEGAL_TRANSITION"


class CubeFrozen(Precondition):
    """The cube is frozen."""

    reason = "CUBE_FROZEN"


class StateConflict(Precondition):
    """The resource is not in a state that allows the call."""

    reason = "STATE_CONFLICT"


class ContentPurged(Precondition):
    """What a cube tells was purged from the vault, and is not to come back."""

    reason = "CONTENT_PURGED"


class CountMismatch(Precondition):
    """Another number of cubes is concerned than the caller expects."""

    reason = "COUNT_MISMATCH"


class ResumeTokenExpired(Precondition):
    """A watch cannot go on from there; what has changed since may be forgotten."""

    reason = "RESUME_TOKEN_EXPIRED"


class IncompatiblePayload(Precondition):
    """A derived payload was made with something that differs from the running model."""

    reason = "INCOMPATIBLE_PAYLOAD"


class FormUnsupported(Precondition):
    """The running model does not take memories in this form."""

    reason = "FORM_UNSUPPORTED"


class AdapterRejected(Precondition):
    """An adapter did not pass its exam."""

    reason = "ADAPTER_REJECTED"


class QuotaExceeded(Precondition):
    """The vault may not hold more. Waiting does not help, so it is no Capacity."""

    reason = "QUOTA_EXCEEDED"


class ContextExceeded(Precondition):
    """The prompt does not fit into the model's context."""

    reason = "CONTEXT_EXCEEDED"


class Capacity(MemosError):
    """The system cannot serve the call now."""


class Overloaded(Capacity):
    """A queue is full."""

    reason = "OVERLOADED"


class StoreFull(Capacity):
    """A store refused to write; nothing was acknowledged."""

    reason = "STORE_FULL"


class DependencyUnavailable(Capacity):
    """A part that the call needs does not answer."""

    reason = "DEPENDENCY_UNAVAILABLE"


class Draining(Capacity):
    """The service is going down."""

    reason = "DRAINING"


class DeadlineExceeded(Capacity):
    """The caller's deadline passed."""

    reason = "DEADLINE_EXCEEDED"


class Fault(MemosError):
    """A fault of the system itself."""


class InternalError(Fault):
    """An unexpected failure; its id is in the log."""

    reason = "INTERNAL_ERROR"


class DataCorrupted(Fault):
    """Stored data do not fit their hash or signature."""

    reason = "DATA_CORRUPTED"
