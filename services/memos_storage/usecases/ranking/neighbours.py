"""A turn of a talk often answers the one before it: who says `Yes, since May!` is found by what was asked."""

from dataclasses import dataclass

import numpy as np

from memos_storage.domain.fusion import CONTEXT, DENSE, LEXICAL
from memos_storage.domain.pool import NOBODY, STEPS, Pool
from memos_storage.domain.walks import Step, Way
from memos_storage.ports import Asked, Catalog
from memos_storage.usecases.ranking.words import shares

WORDS_AROUND = {-1: 0.6, 1: 0.4, -2: 0.3, 2: 0.2}
"""How much the words of the turns around one count as its own."""

SEEDS = 50
"""Candidates whose neighbours become candidates, the best."""
NEAR = (-1, 1, -2, 2)
ROOM = 400
"""Most candidates with those that this stage adds."""


@dataclass(frozen=True, slots=True)
class NeighbourStage:
    """Adds the turns around the best `seeds` candidates, and scores all by the words said around them.

    Without seeds it scores what joins other candidates, as they were.
    """

    catalog: Catalog
    seeds: int = SEEDS
    name: str = "neighbours"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if asked.past:
            return "which turns were around a text then is not kept"
        if not pool.talk or (self.seeds and not (pool.seen.around != NOBODY).any()):
            return ""
        if self.seeds:
            await self._widen(pool, asked)
        if LEXICAL in pool.features:
            context = np.zeros(len(pool))
            context[pool.known] = shares(pool.seen, pool.places[pool.known], around=WORDS_AROUND)
            pool.features[CONTEXT] = context
        return ""

    async def _widen(self, pool: Pool, asked: Asked) -> None:
        found = _neighbours(pool, self.seeds)
        added = list(found)[: max(0, ROOM - len(pool))]
        if not added:
            return
        if asked.selection.filter.selective:
            # One that the query excludes is still around the others, but takes no place from those that it wants.
            eligible = await self.catalog.eligible(added, asked.selection)
            added = [uid for uid in added if uid in eligible]
        place, features = {uid: index for index, uid in enumerate(pool.seen.uids)}, {}
        if LEXICAL in pool.features:
            features[LEXICAL] = shares(pool.seen, np.array([place[uid] for uid in added], dtype=np.int64)).tolist()
        if DENSE in pool.features:  # what it means by itself counts least for a turn that stands beside another
            features[DENSE] = [float(pool.features[DENSE].mean())] * len(added)
        pool.steps |= {uid: found[uid] for uid in added}
        pool.add(added, features)


def _neighbours(pool: Pool, seeds: int) -> dict[str, Step]:
    """Return the turns around the best candidates that are no candidates yet, those of the best first."""
    known, found, uids = set(pool.uids), dict[str, Step](), pool.seen.uids
    places = pool.places[:seeds][pool.known[:seeds]]
    around = pool.seen.around[places][:, [STEPS.index(step) for step in NEAR]]
    for place, others in zip(places.tolist(), around.tolist(), strict=True):
        for other in others:
            if other != NOBODY and uids[other] not in known:
                found.setdefault(uids[other], Step(Way.NEIGHBOUR, uids[place]))
    return found
