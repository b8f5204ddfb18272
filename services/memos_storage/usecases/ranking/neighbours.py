"""A turn of a talk often answers the one before it: who says `Yes, since May!` is found by what was asked."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_storage.domain.fusion import CONTEXT, DENSE, LEXICAL
from memos_storage.domain.pool import Pool
from memos_storage.ports import Asked, Catalog, TurnReader
from memos_storage.usecases.ranking.words import shares

WORDS_AROUND = {-1: 0.6, 1: 0.4, -2: 0.3, 2: 0.2, -3: 0.15}
"""How much the words of the turns around one count as its own."""

SEEDS = 50
"""Candidates whose neighbours become candidates, the best."""
NEAR = (-2, -1, 1, 2)
ROOM = 400
"""Most candidates with those that this stage adds."""


@dataclass(frozen=True, slots=True)
class NeighbourStage:
    """Adds the turns around the best candidates, and scores all by the words said around them."""

    reader: TurnReader
    catalog: Catalog
    name: str = "neighbours"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if asked.past:
            return "which turns were around a text then is not kept"
        if not any(seen is not None and seen.around for seen in pool.turns):
            return ""
        if pool.talk:
            await self._widen(pool, asked)
            pool.features[CONTEXT] = shares(pool.uids, pool.seen, around=WORDS_AROUND, otherwise={})
        return ""

    async def _widen(self, pool: Pool, asked: Asked) -> None:
        added = _neighbours(pool)[: max(0, ROOM - len(pool))]
        if not added:
            return
        words = () if asked.tokens is None else asked.tokens.words
        pool.seen = pool.seen.with_others(await self.reader.turns(added, asked.text, words=words))
        features = {LEXICAL: shares(added, pool.seen, otherwise={}).tolist()}
        if DENSE in pool.features and asked.vector is not None:
            cosines = await self.catalog.cosines(asked.vector, added)
            features[DENSE] = [cosines.get(uid, 0.0) for uid in added]
        pool.add(added, features)


def _neighbours(pool: Pool) -> Sequence[str]:
    known = set(pool.uids)
    found: dict[str, None] = {}
    for seen in pool.turns[:SEEDS]:
        if seen is not None:
            found |= dict.fromkeys(uid for step in NEAR if (uid := seen.around.get(step)) and uid not in known)
    return list(found)
