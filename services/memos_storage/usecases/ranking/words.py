"""Scores of candidates by their words, and by those said around them."""

from collections.abc import Mapping, Sequence

import numpy as np

from memos_storage.domain import bm25
from memos_storage.domain.pool import Feature, Seen, SeenTurn

NO_CONTEXT: Mapping[int, float] = {}


def shares(
    uids: Sequence[str], seen: Seen, *, around: Mapping[int, float] = NO_CONTEXT, otherwise: Mapping[str, float]
) -> Feature:
    """Return the BM25 share of each text; one that is not seen has the score that is known of it.

    Args:
        around: distance -> how much the words of the turn at that distance count as those of the text itself.
        otherwise: uid -> score.
    """
    scores = np.array([otherwise.get(uid, 0.0) for uid in uids], dtype=np.float64)
    for vault, words in seen.vaults.items():
        places = [place for place, uid in enumerate(uids) if uid in seen.turns and seen.turns[uid].vault == vault]
        if places and words.idf:
            mixed = [_mixed(seen.turns[uids[place]], seen, around) for place in places]
            scores[places] = bm25.shares(
                np.array([counts for counts, _ in mixed], dtype=np.float64),
                np.array([length for _, length in mixed], dtype=np.float64),
                average_length=words.average_length * (1.0 + sum(around.values())),
                idf=words.idf,
            )
    return scores


def _mixed(turn: SeenTurn, seen: Seen, around: Mapping[int, float]) -> tuple[list[float], float]:
    counts, length = list(map(float, turn.counts)), float(turn.turn.length)
    for distance, share in around.items():
        other = seen.turns.get(turn.around.get(distance, ""))
        if other is not None:
            length += share * other.turn.length
            if any(other.counts):
                counts = [own + share * more for own, more in zip(counts, other.counts, strict=True)]
    return counts, length
