"""One order out of several legs, and out of the features of their candidates."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from memos_kernel.names import CubeName
from memos_storage.domain.named_times import NamedTime
from memos_storage.domain.pool import Feature, Pool, standardized
from memos_storage.domain.walks import Step

DENSE, PENDING, PAST, LEXICAL = "dense", "pending", "past", "lexical"

CONTEXT, LATE, LATE_CONTEXT, COVERAGE = "context", "late_interaction", "late_context", "coverage"
SPEAKER, TIME, VALID = "speaker", "time", "valid"
HOP, SESSION = "hop", "session"
LENGTH, ASKS, FIRST_PERSON, TELLS_TIME, ROLE = "length", "asks", "first_person", "tells_time", "role"

WEIGHTS: Mapping[str, float] = {"semantic": 0.5, "lexical": 0.5}
"""Weights of the two kinds of evidence in the order of the legs, both from 0 to 1.

`semantic` is the cosine of query and cube (legs `dense`, `pending` and `past`: one measure, three places where
vectors are), below zero taken as zero. `lexical` is the BM25 score over the highest that any document could reach for
the query in its vault. Neither depends on the other candidates.
"""


@dataclass(frozen=True, slots=True)
class Weight:
    """How much a feature counts, as a z-score, where people talk with each other and where they do not.

    `floor` is the least spread that the z-score is taken over; None takes the value as it is.
    """

    talk: float
    other: float
    floor: float | None


FEATURES: Mapping[str, Weight] = {
    LEXICAL: Weight(talk=0.0, other=0.7, floor=0.05),
    CONTEXT: Weight(talk=0.7, other=0.0, floor=0.05),
    DENSE: Weight(talk=0.1, other=1.0, floor=0.05),
    LATE: Weight(talk=0.5, other=1.0, floor=0.04),
    LATE_CONTEXT: Weight(talk=1.2, other=0.0, floor=0.04),
    COVERAGE: Weight(talk=0.2, other=0.0, floor=0.05),
    SPEAKER: Weight(talk=1.6, other=1.6, floor=0.25),
    TIME: Weight(talk=2.0, other=2.0, floor=0.25),
    VALID: Weight(talk=0.8, other=0.8, floor=0.25),
    LENGTH: Weight(talk=0.5, other=0.0, floor=0.4),
    ASKS: Weight(talk=-0.3, other=0.0, floor=0.25),
    FIRST_PERSON: Weight(talk=0.3, other=0.3, floor=0.25),
    TELLS_TIME: Weight(talk=0.6, other=0.3, floor=0.25),
    ROLE: Weight(talk=0.0, other=1.0, floor=None),
    HOP: Weight(talk=0.5, other=0.5, floor=0.05),
    SESSION: Weight(talk=0.3, other=0.0, floor=0.3),
}
"""Nothing here is learned. Between the two columns a search goes by the shape of what it found, see `Pool.talk`.

Where people talk, a turn is short: what is said around it, who says it and whether it tells something count. A long
answer of an assistant says more than any question about it, and its neighbours only confuse.
"""


@dataclass(frozen=True, slots=True)
class Fused:
    """A cube with its fused score, the score of each leg that found it, and its features.

    Attributes:
        superseded_by: the statement that ended its validity; None if there is none.
        step: how the search came to it, if no leg found it.
        named: the times that its text tells of; None if that was not read.
    """

    uid: str
    score: float
    legs: Mapping[str, float]
    features: Mapping[str, float] = field(default_factory=dict)
    superseded_by: CubeName | None = None
    step: Step | None = None
    named: tuple[NamedTime, ...] | None = None


def fuse(legs: Mapping[str, Mapping[str, float]], *, cosines: Mapping[str, float]) -> list[Fused]:
    """Return the candidates of all legs, best first; equal scores in the order of their uids.

    Args:
        legs: leg name -> uid -> score.
        cosines: uid -> cosine, known for candidates that only the lexical leg found.
    """
    found = sorted(set[str]().union(*legs.values()))
    fused = [
        _fuse_one(uid, {leg: scores[uid] for leg, scores in legs.items() if uid in scores}, cosines) for uid in found
    ]
    return sorted(fused, key=lambda item: (-item.score, item.uid))


def semantic(scores: Mapping[str, float], cosine: float | None = None) -> float:
    """Return the cosine of query and cube, whichever leg found it."""
    return max(_present((*(scores.get(leg) for leg in (DENSE, PENDING, PAST)), cosine)), default=0.0)


def total(pool: Pool, names: Iterable[str] | None = None) -> Feature:
    """Return the weighted sum of a pool's features that have a weight, or of some: z-scores among these candidates."""
    counted = [name for name in (FEATURES if names is None else names) if name in pool.features]
    if not counted or not len(pool):
        return np.zeros(len(pool))
    floors = [FEATURES[name].floor for name in counted]
    scores: Feature = _factors(pool, counted) @ standardized(
        np.stack([pool.features[name] for name in counted]), floors=floors
    )
    return scores


def _factors(pool: Pool, names: Sequence[str]) -> Feature:
    """Return how much each feature counts."""
    talk = pool.talk
    factors = [FEATURES[name].talk * talk + FEATURES[name].other * (1.0 - talk) for name in names]
    if LEXICAL in names and CONTEXT not in pool.features:
        # Without the words around them, texts are compared by their own.
        factors[names.index(LEXICAL)] = FEATURES[LEXICAL].other
    return np.array(factors, dtype=np.float64)


def _fuse_one(uid: str, scores: Mapping[str, float], cosines: Mapping[str, float]) -> Fused:
    cosine = semantic(scores, cosines.get(uid))
    score = WEIGHTS["semantic"] * max(0.0, cosine) + WEIGHTS["lexical"] * scores.get(LEXICAL, 0.0)
    return Fused(uid, score, scores)


def _present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
