"""Scores of texts by their words, and by those said around them."""

from collections.abc import Mapping

import numpy as np

from memos_storage.domain import bm25
from memos_storage.domain.pool import NOBODY, STEPS, Feature, Places, Seen

ALONE: Mapping[int, float] = {}


def shares(seen: Seen, places: Places, *, around: Mapping[int, float] = ALONE) -> Feature:
    """Return the BM25 share of the texts at some places.

    Args:
        around: distance -> how much the words of the turn at that distance count as those of the text itself.
    """
    counts, lengths = seen.counts[places], seen.lengths[places]
    for distance, share in around.items():
        others = seen.around[places, STEPS.index(distance)]
        there = np.flatnonzero(others != NOBODY)
        counts[there] += share * seen.counts[others[there]]
        lengths[there] += share * seen.lengths[others[there]]
    scores = np.zeros(len(places))
    for vault, words in seen.statistics.items():
        rows = np.flatnonzero(seen.vaults[places] == vault)
        if len(rows) and words.idf:
            scores[rows] = bm25.shares(
                counts[rows],
                lengths[rows],
                average_length=words.average_length * (1.0 + sum(around.values())),
                idf=words.idf,
            )
    return scores
