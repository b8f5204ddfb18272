"""What answers a question may share no word with it, only with what was found first: the second hop."""

from dataclasses import dataclass
from heapq import nsmallest

import numpy as np

from memos_storage.domain.fusion import DENSE, HOP, LEXICAL, SPEAKER, total
from memos_storage.domain.pool import NOBODY, Places, Pool
from memos_storage.ports import Asked, Catalog, Stage, TermGraph, TurnReader
from memos_storage.usecases.ranking.words import shares

SEEDS = 5
"""Candidates that the walk starts from, the best."""

STAY = 3
"""Candidates that nothing overtakes for what it shares with them, the best."""

ADDED, LOOKED_AT = 24, 200
"""Most texts that the walk adds, the best that are selected of so many."""


@dataclass(frozen=True, slots=True)
class HopStage:
    """Walks from the first candidates to what shares rare words with them, and scores all by that.

    `scorers` give what is added the features of the other candidates.
    """

    graph: TermGraph
    reader: TurnReader
    catalog: Catalog
    scorers: tuple[Stage, ...]
    name: str = "hops"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if asked.past:
            return "which words texts shared then is not kept"
        own_words = pool.own_words
        if not own_words:  # a long answer of an assistant shares words with everything
            return ""
        scores = total(pool)
        first = np.argsort(-scores, kind="stable")[:SEEDS]
        counts = np.exp(scores[first] - scores[first[0]]) if len(first) else first
        seeds = {pool.uids[place]: count for place, count in zip(first.tolist(), counts.tolist(), strict=True)}
        walk = await self.graph.walk(seeds, _known_words(pool, first, asked))
        if not walk.scores:
            return ""
        known = set(pool.uids)
        others = nsmallest(LOOKED_AT, walk.scores.keys() - known, key=lambda uid: (-walk.scores[uid], uid))
        selected = await self.catalog.eligible(others, asked.selection) if others else {}
        if others := [uid for uid in others if uid in selected][:ADDED]:
            await self._add(others, pool, asked)
            pool.steps |= walk.steps(frozenset(others))
        strengths = np.array([walk.scores.get(uid, 0.0) for uid in pool.uids])
        strongest = strengths.max()
        if strongest:
            strengths[first[:STAY]] = strongest
            pool.features[HOP] = own_words * strengths / strongest
        return ""

    async def _add(self, uids: list[str], pool: Pool, asked: Asked) -> None:
        added = pool.beside(uids, await self.reader.turns(uids, asked.text, words=asked.words))
        if LEXICAL in pool.features:
            added.features[LEXICAL] = np.zeros(len(added))
            added.features[LEXICAL][added.known] = shares(added.seen, added.places[added.known])
        if DENSE in pool.features and asked.vector is not None:
            cosines = await self.catalog.cosines(asked.vector, uids)
            added.features[DENSE] = np.array([max(0.0, cosines.get(uid, 0.0)) for uid in uids])
        for stage in self.scorers:
            if stage.name not in asked.without:
                await stage(added, asked)
        pool.join(added, otherwise={SPEAKER: 0.0})  # the stage sets it only where one is named


def _known_words(pool: Pool, first: Places, asked: Asked) -> str:
    """Return words that lead nowhere: those of the query, which have led here, and the names of who speaks."""
    places = pool.places[first]
    speakers = {pool.seen.speakers[place] for place in places[places != NOBODY].tolist()}
    return " ".join([*sorted(speakers), asked.text])
