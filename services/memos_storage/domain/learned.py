"""A small ranker that was trained: it scores the first candidates of a search by their features."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memos_storage.domain.fusion import FEATURES
from memos_storage.domain.pool import Feature

SCORE = "score"
FEATURE_SET = (SCORE, *sorted(FEATURES))
"""What it reads of a candidate, the untrained score among it; a feature that a search has not is 0."""

RANKED = 50
"""Candidates that it puts in order, the best by the untrained score; z-scores are taken among them."""

FARTHEST = 5.0
"""Spreads from the mean of what it was trained on at which a value counts no more than others beyond it."""

Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class LearnedRanker:
    """A linear layer, and one of hidden units beside it.

    Attributes:
        mean: of the columns it was trained on, shape (columns,); see `columns_of`.
        spread: of these, shape (columns,).
        direct: weights of the linear layer, shape (columns,).
        hidden: weights of the hidden units, shape (units, columns).
        bias: of these, shape (units,).
        out: weights of what they yield, shape (units,).
    """

    mean: Matrix
    spread: Matrix
    direct: Matrix
    hidden: Matrix
    bias: Matrix
    out: Matrix

    def __call__(self, features: Mapping[str, Feature], scores: Feature) -> Feature:
        """Return the scores of candidates, to be compared among them only.

        Args:
            features: by name, each of shape (candidates,).
            scores: untrained, shape (candidates,).
        """
        nothing = np.zeros(len(scores))
        values = np.stack([scores, *(features.get(name, nothing) for name in FEATURE_SET[1:])], axis=1)
        rows = np.clip((columns_of(values) - self.mean) / self.spread, -FARTHEST, FARTHEST)
        found: Feature = rows @ self.direct + np.tanh(rows @ self.hidden.T + self.bias) @ self.out
        return found


def columns_of(values: Matrix) -> Matrix:
    """Return features as they are, and as z-scores among the candidates: (candidates, 2 * features).

    Args:
        values: shape (candidates, features), in the order of `FEATURE_SET`.
    """
    spread = values.std(axis=0)
    return np.concatenate([values, (values - values.mean(axis=0)) / np.where(spread, spread, 1.0)], axis=1)
