"""Values and rules of search: the query, its conditions, its answer."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum

from memos_kernel import limits
from memos_kernel.cube import Kind, MemCube, SemanticType, State
from memos_kernel.errors import InvalidField, LimitExceeded
from memos_kernel.names import CubeName, VaultName
from memos_kernel.text import check_text
from memos_kernel.time_zones import zone_of


@dataclass(frozen=True, slots=True, kw_only=True)
class CubeFilter:
    """Conditions on a cube; all that are set must hold. See the contract's CubeFilter."""

    labels: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[Kind] = frozenset()
    states: frozenset[State] = frozenset()
    semantic_types: frozenset[SemanticType] = frozenset()
    speakers: tuple[str, ...] = ()
    sessions: tuple[str, ...] = ()
    after: datetime | None = None
    before: datetime | None = None
    valid_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchQuery:
    """What to look for. `full` asks for payloads, not only headers; `as_of` is a moment of record time, None now.

    `without` names legs and stages of the ranking to leave out; `token_budget` 0 is no limit; `paths` asks how the
    hits hang together; `time_zone` is that of the query's times.
    """

    query: str
    vaults: tuple[VaultName, ...] = ()
    top_k: int = 0
    filter: CubeFilter | None = None
    full: bool = True
    as_of: datetime | None = None
    without: tuple[str, ...] = ()
    token_budget: int = 0
    paths: bool = False
    time_zone: str = ""


class SearchWay(IntEnum):
    """How a search came from one cube to another; the numbers are those of the contract."""

    UNSPECIFIED = 0
    NEIGHBOUR = 1
    SHARED_WORDS = 2
    UPDATE = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOrigin:
    """Where a search came to a cube from; `source` is None if the caller may not see that."""

    way: SearchWay
    source: CubeName | None = None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTime:
    """A phrase that names a time, and what it means.

    Attributes:
        start: None if it is open, or if it is of every year.
        end: as `start`.
        counted_from: the memory whose time it is counted from, if it is.
    """

    text: str
    start: datetime | None = None
    end: datetime | None = None
    yearly: bool = False
    counted_from: CubeName | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchHit:
    """A cube that fits.

    Attributes:
        leg_scores: has no entry for a leg that did not find it.
        features: of the ranking, by name.
        superseded_by: the cube that supersedes it; None if none does.
        origin: where the search came to it from, if no leg found it.
        times: that its text tells of.
    """

    cube: MemCube
    score: float
    leg_scores: Mapping[str, float] = field(default_factory=dict)
    features: Mapping[str, float] = field(default_factory=dict)
    superseded_by: CubeName | None = None
    origin: SearchOrigin | None = None
    times: tuple[NamedTime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchLeg:
    """What one leg of a search did, or one stage of its ranking; `reason` tells why it did not run."""

    name: str
    ran: bool
    reason: str = ""
    candidates: int = 0
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class MemoryConcept:
    """Hits of a topic that share a rare word."""

    concept: str
    facts: tuple[CubeName, ...]


@dataclass(frozen=True, slots=True)
class MemoryTopic:
    """Hits that tell of the same person or thing."""

    topic: str
    concepts: tuple[MemoryConcept, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchAnswer:
    """Hits, best first, what each leg and each stage of the ranking did, and how the hits hang together if asked.

    `times` are those that the query names, as they were understood.
    """

    hits: tuple[SearchHit, ...] = ()
    legs: tuple[SearchLeg, ...] = ()
    degraded: bool = False
    stages: tuple[SearchLeg, ...] = ()
    topics: tuple[MemoryTopic, ...] = ()
    times: tuple[NamedTime, ...] = ()


def check_search(query: SearchQuery) -> int:
    """Refuse a query that breaks a rule; return how many hits it wants.

    Raises:
        MissingField, LimitExceeded, InvalidField: by field.
    """
    check_text(query.query, field="query", limit=limits.QUERY_BYTES)
    zone_of(query.time_zone)
    if len(query.vaults) > limits.SEARCH_VAULTS:
        raise LimitExceeded(
            f"vaults has {len(query.vaults)} names; the limit is {limits.SEARCH_VAULTS}.",
            field="vaults",
            limit=str(limits.SEARCH_VAULTS),
            unit="vaults",
        )
    if query.top_k < 0:
        raise InvalidField("top_k is negative; 0 means the default.", field="top_k")
    if query.top_k > limits.TOP_K:
        raise LimitExceeded(
            f"top_k is {query.top_k}; the limit is {limits.TOP_K}.",
            field="top_k",
            limit=str(limits.TOP_K),
            unit="cubes",
        )
    return query.top_k or limits.TOP_K_DEFAULT
