"""A pooled vector blurs a text; the vectors of its tokens tell whether each telling word of a query is met in it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from memos_kernel.token_codes import Floats, maxima
from memos_storage.domain.fusion import CONTEXT, COVERAGE, LATE, LATE_CONTEXT
from memos_storage.domain.pool import Pool, Seen
from memos_storage.ports import Asked, TurnReader

PLAIN_WORD = 0.7
"""IDF of a word that the lexical index leaves out, such as `the`: little, but it places the others."""

AROUND = {-1: 0.85, 1: 0.7, -2: 0.7}
"""How much a token counts that is met in a turn at that distance and not in the text itself."""

MET = 0.6
"""Cosine from which a word counts as met, in the text or, less, in the turn before it."""
MET_BEFORE = 0.8


@dataclass(frozen=True, slots=True)
class LateInteractionStage:
    """Scores candidates by the best match of each token of the query, weighted by IDF (MaxSim)."""

    reader: TurnReader
    name: str = "late_interaction"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if asked.tokens is None or asked.vector is None or not len(pool):
            return "the query has no vectors of tokens"
        held = await self.reader.tokens(pool.uids, asked.vector.embedder)
        if not held:
            return "no candidate has vectors of tokens yet"
        met = maxima(asked.tokens, [held.get(uid, b"") for uid in pool.uids])
        weights = _weights(pool, len(asked.tokens.words))
        whole = weights.sum(axis=1)
        known = np.array([uid in held for uid in pool.uids])
        pool.features[LATE] = _filled((met * weights).sum(axis=1) / whole, known)
        if CONTEXT in pool.features:
            near = _near(pool, met, AROUND)
            pool.features[LATE_CONTEXT] = _filled((near * weights).sum(axis=1) / whole, known)
            reached = np.maximum(met, _near(pool, np.zeros_like(met), {-1: MET_BEFORE}, of=met)) > MET
            pool.features[COVERAGE] = (reached * weights).sum(axis=1) / whole
        missing = int(len(pool) - known.sum())
        return f"{missing} of the candidates have no vectors of tokens yet" if missing else ""


def _weights(pool: Pool, tokens: int) -> Floats:
    """Return the IDF of each token of the query in the vault of each candidate, shape (candidates, tokens)."""
    of_vault = {vault: _token_weights(pool.seen, vault, tokens) for vault in pool.seen.vaults}
    plain = np.ones(tokens, dtype=np.float32)
    return np.stack([plain if seen is None else of_vault.get(seen.vault, plain) for seen in pool.turns])


def _token_weights(seen: Seen, vault: int, tokens: int) -> Floats:
    idf = seen.vaults[vault].idf
    words = seen.words or ((),) * tokens
    return np.array([max((idf[place] for place in places), default=PLAIN_WORD) for places in words], dtype=np.float32)


def _near(pool: Pool, base: Floats, shares: dict[int, float], *, of: Floats | None = None) -> Floats:
    """Return the greatest of `base` and what the turns around have, shared out by distance, if they are in the pool."""
    source = base if of is None else of
    place_of = {uid: place for place, uid in enumerate(pool.uids)}
    found = base.copy()
    for distance, share in shares.items():
        pairs = [
            (place, place_of[other])
            for place, seen in enumerate(pool.turns)
            if seen is not None and (other := seen.around.get(distance, "")) in place_of
        ]
        if pairs:
            here, there = _columns(pairs)
            found[here] = np.maximum(found[here], share * source[there])
    return found


def _columns(pairs: Sequence[tuple[int, int]]) -> tuple[list[int], list[int]]:
    return [here for here, _ in pairs], [there for _, there in pairs]


def _filled(values: Floats, known: np.ndarray) -> np.ndarray:
    """Return the values as they are where they are known, and their mean elsewhere."""
    found = values.astype(np.float64)
    found[~known] = found[known].mean()
    return found
