"""Numbers and codes that a query names, `order A4711`: vectors blur them, and the text that has one is meant."""

from dataclasses import dataclass

import numpy as np

from memos_storage.domain.pool import Feature, Pool

IDENTIFIERS = "identifiers"
"""Name of the feature: of the query's identifiers that few candidates have, the share that a text has."""

FEW = 3
"""Most candidates that have a code which tells one text from the others; a brand or a size is in more of them."""


@dataclass(frozen=True, slots=True)
class IdentifierStage:
    """Puts texts with more codes of the query that few have before those with fewer; otherwise their order stays."""

    name: str = "identifiers"

    def __call__(self, pool: Pool, scores: Feature) -> Feature:
        """Return the scores with those of the texts that are meant above the others."""
        has = np.zeros((len(pool), len(pool.seen.asked.identifiers)), dtype=bool)
        has[pool.known] = pool.seen.counts[pool.places[pool.known]][:, list(pool.seen.asked.identifiers)] > 0
        holders = has.sum(axis=0)
        telling = has[:, (holders > 0) & (holders <= FEW)]
        if not telling.size:
            return scores
        pool.features[IDENTIFIERS] = telling.mean(axis=1)
        above = np.ptp(scores) + 1.0  # for each code, so that a text with one of two is still before one with none
        placed: Feature = scores + above * telling.sum(axis=1)
        return placed
