"""BM25 (Robertson and Zaragoza 2009), as a share of what a text could reach that holds every term very often."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
import numpy.typing as npt

K1 = 1.2
"""How soon more of the same term counts no more."""
B = 0.75
"""How much the length of a text counts."""

QUERY_TERMS = 64
"""Most different terms of a query that are looked up; of a longer one, the first."""

Counts = npt.NDArray[np.float64]


def shares(counts: Counts, lengths: Counts, *, average_length: float, idf: Sequence[float]) -> Counts:
    """Return the score of each text, from 0 to 1.

    Args:
        counts: how often each term is in each text, shape (texts, terms).
        lengths: terms of each text, shape (texts,).
        average_length: of all texts of the vault.
        idf: of each term.
    """
    weights = np.asarray(idf, dtype=np.float64)
    if not weights.sum():
        return np.zeros(len(lengths))
    norm = K1 * (1.0 - B + B * lengths / max(average_length, 1.0))
    found: Counts = (counts / (counts + norm[:, None])) @ (weights / weights.sum())
    return found


@lru_cache(maxsize=4_096)
def idf(documents: int, count: int) -> float:
    """Return how much a term tells that is in `count` of the documents."""
    return math.log(1 + (documents - count + 0.5) / (count + 0.5))
