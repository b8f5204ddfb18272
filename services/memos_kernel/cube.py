"""The MemCube and its parts, as immutable values (MemOS, arXiv 2507.03724, section 4.2)."""

import hashlib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from memos_kernel.identity import CompatibilityIdentity
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action


class Kind(IntEnum):
    """Kind of payload; the numbers are those of the contract's CubeKind."""

    PLAINTEXT = 1
    ACTIVATION = 2
    PARAMETRIC = 3


class State(IntEnum):
    """Place in the life cycle; the numbers are those of the contract's CubeState."""

    GENERATED = 1
    ACTIVATED = 2
    MERGED = 3
    ARCHIVED = 4
    EXPIRED = 5
    STALE = 6


class SemanticType(IntEnum):
    """Sort of content; the numbers are those of the contract's SemanticType."""

    UNSPECIFIED = 0
    FACT = 1
    PREFERENCE = 2
    TASK = 3
    EVENT = 4
    SKILL = 5
    PROFILE = 6
    DOCUMENT = 7


class Origin(IntEnum):
    """Where content came from; the numbers are those of the contract's CubeOrigin."""

    UNSPECIFIED = 0
    USER_INPUT = 1
    MODEL_OUTPUT = 2
    RETRIEVAL = 3
    FINE_TUNING = 4
    IMPORT = 5
    CONVERSION = 6


@dataclass(frozen=True, slots=True)
class BlobRef:
    """Reference to bytes in the blob store."""

    name: str
    size_bytes: int
    sha256: str
    media_type: str


@dataclass(frozen=True, slots=True)
class Plaintext:
    """Text of a plaintext cube."""

    text: str
    language: str = ""


@dataclass(frozen=True, slots=True)
class Activation:
    """KV cache over a bundle of texts."""

    blob: BlobRef
    identity: CompatibilityIdentity
    token_count: int
    seal: str = ""


@dataclass(frozen=True, slots=True)
class Parametric:
    """LoRA adapter; an activated one leaves the keys and values of the memories as they are without it."""

    blob: BlobRef
    identity: CompatibilityIdentity
    rank: int
    seal: str = ""
    activated: bool = False


Payload = Plaintext | Activation | Parametric


@dataclass(frozen=True, slots=True)
class SourceSpan:
    """A place in the input that content was taken from."""

    message_id: str = ""
    speaker: str = ""
    session: str = ""
    event_time: datetime | None = None
    utc_offset: str = ""
    role: str = ""
    start_char: int = 0
    end_char: int = 0


@dataclass(frozen=True, slots=True)
class RevisionRef:
    """One revision of one cube."""

    name: CubeName
    revision: int


@dataclass(frozen=True, slots=True)
class TraceRef:
    """A span in a trace, as lower-case hex (W3C Trace Context)."""

    trace_id: str
    span_id: str


@dataclass(frozen=True, slots=True)
class Access:
    """Owner, and what the caller may do."""

    owner: PrincipalName
    permitted_actions: frozenset[Action] = frozenset()


@dataclass(frozen=True, slots=True)
class Usage:
    """Use of a cube. `heat` is the number of uses, halved every `limits.HEAT_HALF_LIFE` since."""

    hits: int = 0
    last_used_time: datetime | None = None
    heat: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class MemCube:
    """A memory with its metadata. `payload` is None in a header (view BASIC), where `kind` still tells its kind."""

    name: CubeName
    vault: VaultName
    kind: Kind
    payload: Payload | None
    uid: str = ""
    state: State = State.GENERATED
    frozen: bool = False
    labels: Mapping[str, str] = field(default_factory=dict)
    semantic_type: SemanticType = SemanticType.UNSPECIFIED
    origin: Origin = Origin.UNSPECIFIED
    sources: tuple[SourceSpan, ...] = ()
    create_time: datetime | None = None
    update_time: datetime | None = None
    expire_time: datetime | None = None
    delete_time: datetime | None = None
    purge_time: datetime | None = None
    valid_from: datetime | None = None
    valid_until: datetime | None = None
    priority: int = 0
    sensitivity_tags: tuple[str, ...] = ()
    access: Access | None = None
    usage: Usage = Usage()
    fingerprint: str = ""
    content_hash: str = ""
    revision: int = 0
    etag: str = ""
    parent_revisions: tuple[int, ...] = ()
    derived_from: tuple[RevisionRef, ...] = ()
    provenance_id: str = ""
    origin_trace: TraceRef | None = None
    watermark_id: str = ""

    @property
    def text(self) -> str:
        """The text of a plaintext payload, or an empty string."""
        return self.payload.text if isinstance(self.payload, Plaintext) else ""

    @property
    def blob(self) -> BlobRef | None:
        """The bytes of an activation or parametric payload, or None."""
        return self.payload.blob if isinstance(self.payload, Activation | Parametric) else None

    def with_blob(self, blob: BlobRef) -> "MemCube":
        """Return the cube with other bytes; its payload is one that has some."""
        assert isinstance(self.payload, Activation | Parametric)
        return replace(self, payload=replace(self.payload, blob=blob))


UPDATABLE = (
    "labels",
    "semantic_type",
    "expire_time",
    "valid_from",
    "valid_until",
    "priority",
    "sensitivity_tags",
    "plaintext.text",
    "plaintext.language",
)
"""Paths that an update mask may name."""


def kind_of(payload: Payload) -> Kind:
    """Return the kind of a payload."""
    match payload:
        case Plaintext():
            return Kind.PLAINTEXT
        case Activation():
            return Kind.ACTIVATION
        case Parametric():
            return Kind.PARAMETRIC


def fingerprint(text: str) -> str:
    """Return the hex SHA-256 of the text after NFKC, case folding and joining of white space."""
    normal = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return hashlib.sha256(normal.encode()).hexdigest()


def content_hash(payload: Payload, sources: tuple[SourceSpan, ...]) -> str:
    """Return the hex SHA-256 of payload and source identity.

    The same words said in two messages are two memories; the same message read twice is one. So the
    speaker, session, message id and span take part, and the text only after NFC; the event time where no id
    names the message, since one that is told without a time gets another at each reading.
    """
    digest = hashlib.sha256()
    for part in (*_payload_parts(payload), *(part for span in sources for part in _span_parts(span))):
        raw = part.encode()
        digest.update(len(raw).to_bytes(8, "big"))
        digest.update(raw)
    return digest.hexdigest()


def _payload_parts(payload: Payload) -> tuple[str, ...]:
    if isinstance(payload, Plaintext):
        return ("plaintext", unicodedata.normalize("NFC", payload.text))
    seal = (payload.seal,) if isinstance(payload, Activation) and payload.seal else ()
    return (kind_of(payload).name, payload.blob.sha256, *seal)


def _span_parts(span: SourceSpan) -> tuple[str, ...]:
    moment = span.event_time.isoformat() if span.event_time and not span.message_id else ""
    return (span.message_id, span.speaker, span.session, moment, str(span.start_char), str(span.end_char))
