"""One order out of several legs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DENSE, PENDING, PAST, LEXICAL = "dense", "pending", "past", "lexical"

WEIGHTS: Mapping[str, float] = {"semantic": 0.5, "lexical": 0.5}
"""Weights of the two kinds of evidence, both from 0 to 1.

`semantic` is the cosine of query and cube (legs `dense`, `pending` and `past`: one measure, three places where
vectors are), below zero taken as zero. `lexical` is the BM25 score over the highest that any document could reach for
the query in its vault. Neither depends on the other candidates, so a score does not change with what else is found.
"""


@dataclass(frozen=True, slots=True)
class Fused:
    """A cube with its fused score and the score of each leg that found it."""

    uid: str
    score: float
    legs: Mapping[str, float]


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


def _fuse_one(uid: str, scores: Mapping[str, float], cosines: Mapping[str, float]) -> Fused:
    semantic = max(_present((*(scores.get(leg) for leg in (DENSE, PENDING, PAST)), cosines.get(uid))), default=0.0)
    score = WEIGHTS["semantic"] * max(0.0, semantic) + WEIGHTS["lexical"] * scores.get(LEXICAL, 0.0)
    return Fused(uid, score, scores)


def _present(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]
