"""The values that use cases and adapters exchange."""

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from memos_kernel.cube import MemCube
from memos_kernel.errors import MemosError
from memos_kernel.names import VaultName
from memos_kernel.permission import Grant
from memos_kernel.requests import RequestKey
from memos_storage.domain.memory_links import StoredLink

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class StoredCube:
    """A cube as the catalogue holds it, in its newest revision or an older one.

    Attributes:
        content_revision: the revision that brought the text of this one; its vector is of it.
    """

    cube: MemCube
    content_revision: int


@dataclass(frozen=True, slots=True)
class ToldCube:
    """A cube with the codes of its text's tokens, of one embedder; empty if it has none."""

    cube: MemCube
    tokens: bytes = b""


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """A vector of one embedder: float32, shape (dimensions,), L2 norm 1 within 1e-3.

    Attributes:
        tokens: codes of the tokens' vectors, see `memos_kernel.token_codes`; empty if the embedder gives none of the
            text, None if they have not been made yet.
    """

    embedder: str
    values: Floats
    tokens: bytes | None = b""


@dataclass(frozen=True, slots=True, eq=False)
class PastCube:
    """A cube as it was at a moment, with the vector of its text then; None if there is none of the embedder."""

    stored: StoredCube
    vector: Vector | None = None


TextPlace = tuple[int, int]
"""Where a text stands among all texts: an internal number of its cube, and the revision that brought it."""


@dataclass(frozen=True, slots=True)
class BareText:
    """A text without a vector of an embedder: the cube in the revision that brought it."""

    place: TextPlace
    stored: StoredCube


@dataclass(frozen=True, slots=True, eq=False)
class NewCube:
    """A cube that a caller wants stored."""

    cube: MemCube
    vector: Vector | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one cube of a mutation: the cube, or the error; `links` are what it does to other statements."""

    cube: MemCube | None = None
    created: bool = False
    error: MemosError | None = None
    links: tuple[StoredLink, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """What a mutation answers; stored under its request id."""

    outcomes: tuple[Outcome, ...]
    provenance_id: str = ""


@dataclass(frozen=True, slots=True)
class RequestOwner:
    """Whose request id it is."""

    tenant: str
    principal: str
    key: RequestKey


@dataclass(frozen=True, slots=True)
class Remembered:
    """A stored answer with the body that it answered."""

    body_sha256: str
    answer: Answer


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """A mutation for governance's audit log; it holds no content."""

    id: str
    tenant: str
    time: datetime
    principal: str
    action: str
    resource: str
    reason: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """Where a call may look. `vaults` is None for every vault of the tenant."""

    tenant: str
    vaults: frozenset[VaultName] | None

    @classmethod
    def of(cls, grant: Grant) -> Self:
        """Return the scope of a grant."""
        return cls(grant.principal.tenant, None if grant.all_vaults else grant.vaults)

    def covers(self, vault: VaultName) -> bool:
        """Return whether the vault is inside."""
        return vault.tenant == self.tenant and (self.vaults is None or vault in self.vaults)


@dataclass(frozen=True, slots=True)
class Scored:
    """A cube with the score that one leg of a search gave it."""

    uid: str
    score: float


@dataclass(frozen=True, slots=True)
class DenseHit:
    """A hit of the vector index: cosine, and the content revision that the vector is of."""

    uid: str
    revision: int
    score: float


class PointId(NamedTuple):
    """What an index holds a vector under: the cube and the content revision.

    A text that changed is another point, so what is held under an id never changes, and one that was taken out never
    comes back. Therefore a worker that stalls can leave too much behind, but nothing old in the place of something new.
    """

    uid: str
    revision: int


@dataclass(frozen=True, slots=True, eq=False)
class Point:
    """A vector with what the index keeps beside it.

    Attributes:
        recorded: record time of the revision.
        sequence: the outbox entry it came from, or 0.
    """

    uid: str
    vault: VaultName
    revision: int
    vector: Vector
    recorded: datetime
    sequence: int = 0

    @property
    def id(self) -> PointId:
        """What an index holds it under."""
        return PointId(self.uid, self.revision)


@dataclass(frozen=True, slots=True, eq=False)
class OutboxEntry:
    """A change that a derived tier has to follow.

    Attributes:
        point: what the cube has now; None if it is deleted or has no vector of this embedder.
        gone: what the change took the place of, or deleted.
    """

    sequence: int
    uid: str
    embedder: str
    attempts: int
    point: Point | None
    gone: PointId | None = None


@dataclass(frozen=True, slots=True)
class Claim:
    """Entries leased by one worker under one fencing token."""

    token: int
    entries: tuple[OutboxEntry, ...]


@dataclass(frozen=True, slots=True)
class Waiting:
    """What the outbox holds: all its sequence numbers, and the points to put of those that were asked for."""

    sequences: frozenset[int]
    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True)
class Drift:
    """How many points a derived tier lacked, and how many it had too many."""

    missing: int = 0
    extra: int = 0

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra)
