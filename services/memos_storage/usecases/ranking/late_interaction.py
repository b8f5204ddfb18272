"""A pooled vector blurs a text; the vectors of its tokens tell whether each telling word of a query is met in it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from memos_kernel.token_codes import CODEBOOK, Floats, maxima
from memos_storage.domain.fusion import CONTEXT, COVERAGE, LATE, LATE_CONTEXT
from memos_storage.domain.pool import NOBODY, Met, Pool, Seen, filled
from memos_storage.ports import Asked, TurnReader

PLAIN_WORD = 0.7
"""IDF of a word that the lexical index leaves out, such as `the`: little, but it places the others."""

AROUND = {-1: 0.85, 1: 0.7, -2: 0.7}
"""How much a token counts that is met in a turn at that distance and not in the text itself."""

_CODEBOOK = bytes([CODEBOOK])

MET = 0.6
"""Cosine from which a word counts as met, in the text or, less, in the turn before it."""
MET_BEFORE = {-1: 0.8}


@dataclass(frozen=True, slots=True)
class LateInteractionStage:
    """Scores candidates by the best match of each token of the query, weighted by IDF (MaxSim)."""

    reader: TurnReader
    name: str = "late_interaction"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if asked.tokens is None or not len(pool):
            return "the query has no vectors of tokens"
        live = [uid for uid, known in zip(pool.uids, pool.known, strict=True) if known]
        read = await self.reader.tokens(live, asked.embedder)
        codes = [read.get(uid, b"") for uid in pool.uids]
        known = np.array([one[:1] == _CODEBOOK for one in codes])
        if not known.any():
            return "no candidate has vectors of tokens"
        met = await asyncio.to_thread(maxima, asked.tokens, codes)
        weights = _weights(pool, len(asked.tokens.words))
        pool.met = Met(met, weights)
        pool.features[LATE] = filled((met * weights).sum(axis=1), known)
        if CONTEXT in pool.features:
            near = _with_those_around(pool, met, AROUND)
            pool.features[LATE_CONTEXT] = filled((near * weights).sum(axis=1), known)
            reached = _with_those_around(pool, met, MET_BEFORE) > MET
            pool.features[COVERAGE] = filled((reached * weights).sum(axis=1), known)
        missing = int(len(pool) - known.sum())
        return f"{missing} of the candidates have no vectors of tokens" if missing else ""


def _weights(pool: Pool, tokens: int) -> Floats:
    """Return the weight of each token of the query for each candidate, by IDF in its vault: (candidates, tokens)."""
    found = np.full((len(pool), tokens), 1.0 / tokens, dtype=np.float32)
    known = np.flatnonzero(pool.known)
    vaults = pool.seen.vaults[pool.places[known]]
    for vault in pool.seen.statistics:
        found[known[vaults == vault]] = _token_weights(pool.seen, vault, tokens)
    return found


def _token_weights(seen: Seen, vault: int, tokens: int) -> Floats:
    idf = seen.statistics[vault].idf
    words = seen.asked.words or ((),) * tokens
    weights = np.array(
        [max((idf[place] for place in places), default=PLAIN_WORD) for places in words], dtype=np.float32
    )
    shares: Floats = weights / weights.sum()
    return shares


def _with_those_around(pool: Pool, met: Floats, shares: Mapping[int, float]) -> Floats:
    """Return what each token meets in a candidate, or less by distance in the turns around it that are candidates."""
    found = met.copy()
    for step, share in shares.items():
        others = pool.around(step)
        there = np.flatnonzero(others != NOBODY)
        found[there] = np.maximum(found[there], share * met[others[there]])
    return found
