"""The order of a search: from the candidates of the legs, by stages that a query can leave out."""

import time
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from heapq import nlargest

import numpy as np

from memos_storage.domain.anchors import AskedTime
from memos_storage.domain.fusion import CONTEXT, DENSE, LEXICAL, SPEAKER, Fused, semantic, total
from memos_storage.domain.learned import RANKED
from memos_storage.domain.pool import Feature, Pool
from memos_storage.ports import Asked, Catalog, Ranker, Spans, Stage, TurnReader
from memos_storage.usecases.ranking.identifiers import IdentifierStage
from memos_storage.usecases.ranking.updates import UpdatesStage
from memos_storage.usecases.ranking.words import shares

FIRST = 96
"""Candidates of the legs that are ranked, the best by the legs alone; and twice as many as hits are wanted."""

HEAD = 8
"""Candidates of each leg, its best, that are ranked in any case: of what one leg is sure the other may know nothing."""

CANDIDATES = 128
"""Candidates that the later stages look at, the best by words, meaning and speaker; and twice as many as hits."""

TOLD = 3
"""Candidates for each hit that is wanted whose features are told; those behind them become hits only if many go."""

RANKER = "ranker"
"""Name of the trained ranker among the stages."""

LEFT_OUT = "the query leaves it out"
_CHEAP = (LEXICAL, CONTEXT, DENSE, SPEAKER)


@dataclass(frozen=True, slots=True)
class StageResult:
    """What one stage did, how many candidates it left, and the milliseconds it took."""

    name: str
    ran: bool
    reason: str = ""
    candidates: int = 0
    duration_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Ranked:
    """Candidates, best first, what the stages did, and the times that the query names."""

    order: Sequence[Fused]
    stages: tuple[StageResult, ...]
    times: tuple[AskedTime, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RankCandidates:
    """Runs the stages.

    The `early` ones see all candidates, the `late` ones the best of them, `ranker` the features of the first of these
    if there is a trained one, `identifiers` their scores, `updates` their order.
    """

    early: tuple[Stage, ...]
    late: tuple[Stage, ...]
    identifiers: IdentifierStage
    updates: UpdatesStage
    ranker: Ranker | None
    reader: TurnReader
    catalog: Catalog
    spans: Spans

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the stages, in the order in which they run."""
        trained = (RANKER,) if self.ranker is not None else ()
        return (
            *(stage.name for stage in (*self.early, *self.late)),
            *trained,
            self.identifiers.name,
            self.updates.name,
        )

    async def __call__(
        self,
        found: Sequence[Fused],
        asked: Asked,
        *,
        top_k: int,
        cosines: Mapping[str, float],
    ) -> Ranked:
        """Return the candidates in their final order; without any of the stages that of the legs.

        Args:
            found: what the legs found, best first by them alone.
            top_k: hits that are wanted.
            cosines: uid -> cosine, of those that only words brought.
        """
        if not found or asked.without.issuperset(self.names):
            return Ranked(found, tuple(_left_out(name, 0) for name in self.names))
        with self.spans.span("storage.search.rank"):
            heads, most = _heads(found), max(FIRST, 2 * top_k)
            first = [*found[:most], *(item for item in found[most:] if item.uid in heads)]
            pool = await self._pool(first, asked, cosines)
            results = [await _run(stage, pool, asked) for stage in self.early]
            _cut(pool, max(CANDIDATES, 2 * top_k), heads)
            results += [await _run(stage, pool, asked) for stage in self.late]
            scores = total(pool)
            if self.ranker is not None:
                scores, result = _rescored(self.ranker, pool, scores, asked)
                results.append(result)
            scores, result = self._identified(pool, scores, asked)
            results.append(result)
            order = _ordered(pool, scores, {item.uid: item for item in found}, told=TOLD * top_k)
            order, result = await self._updated(order, pool, asked, top=TOLD * top_k)
        return Ranked(order, (*results, result), pool.times or ())

    def _identified(self, pool: Pool, scores: Feature, asked: Asked) -> tuple[Feature, StageResult]:
        name = self.identifiers.name
        if name in asked.without:
            return scores, _left_out(name, len(pool))
        started = time.perf_counter()
        scores = self.identifiers(pool, scores)
        return scores, _done(name, len(pool), started)

    async def _updated(
        self, order: list[Fused], pool: Pool, asked: Asked, *, top: int
    ) -> tuple[list[Fused], StageResult]:
        name = self.updates.name
        if name in asked.without:
            return order, _left_out(name, len(order))
        started = time.perf_counter()
        order = await self.updates(order, pool, asked, top=top)
        return order, _done(name, len(order), started)

    async def _pool(self, found: Sequence[Fused], asked: Asked, cosines: Mapping[str, float]) -> Pool:
        uids = [item.uid for item in found]
        pool = Pool(uids, await self.reader.turns(uids, asked.text, words=asked.words), asked.changed)
        if LEXICAL not in asked.without:
            words_share = np.array([item.legs.get(LEXICAL, 0.0) for item in found])
            words_share[pool.known] = shares(pool.seen, pool.places[pool.known])
            pool.features[LEXICAL] = words_share
        if asked.vector is not None:
            pool.features[DENSE] = np.array([semantic(item.legs, cosines.get(item.uid)) for item in found])
        return pool


def _heads(found: Sequence[Fused]) -> Set[str]:
    """Return the candidates that each leg puts first."""
    heads = set[str]()
    for leg in set[str]().union(*(item.legs for item in found)):
        head = nlargest(HEAD, (item for item in found if leg in item.legs), key=lambda item: item.legs[leg])
        heads |= {item.uid for item in head}
    return heads


def _left_out(name: str, candidates: int) -> StageResult:
    return StageResult(name, ran=False, reason=LEFT_OUT, candidates=candidates)


def _done(name: str, candidates: int, started: float) -> StageResult:
    return StageResult(name, True, "", candidates, (time.perf_counter() - started) * 1e3)


async def _run(stage: Stage, pool: Pool, asked: Asked) -> StageResult:
    if stage.name in asked.without:
        return _left_out(stage.name, len(pool))
    started, before = time.perf_counter(), set(pool.features)
    reason = await stage(pool, asked)
    took = (time.perf_counter() - started) * 1e3
    return StageResult(stage.name, pool.features.keys() != before or not reason, reason, len(pool), took)


def _cut(pool: Pool, most: int, heads: Set[str]) -> None:
    """Keep the best by what is cheap to know, and the heads."""
    if len(pool) > most:
        best = np.argsort(-total(pool, _CHEAP), kind="stable")
        kept = [rank < most or pool.uids[place] in heads for rank, place in enumerate(best.tolist())]
        pool.keep(best[kept])


def _rescored(ranker: Ranker, pool: Pool, scores: Feature, asked: Asked) -> tuple[Feature, StageResult]:
    """Return the scores with those of the best replaced by what a ranker gives them, above those of the others."""
    if RANKER in asked.without:
        return scores, _left_out(RANKER, len(pool))
    started = time.perf_counter()
    first = np.argsort(-scores, kind="stable")[:RANKED]
    given = ranker({name: values[first] for name, values in pool.features.items()}, scores[first])
    rescored = scores.copy()
    if len(first):
        rescored[first] = given - given.min() + scores[first].min()
    return rescored, _done(RANKER, len(first), started)


def _ordered(pool: Pool, scores: Feature, found: Mapping[str, Fused], *, told: int) -> list[Fused]:
    """Return all candidates in their order, the first `told` of them with their features.

    Behind those of the pool come the others in the order of the legs: hits, if so many of the pool are none.
    """
    order = np.lexsort((np.array(pool.uids), -scores))
    columns = {name: values[order[:told]].tolist() for name, values in pool.features.items()}
    ranked = [
        Fused(
            uid=(uid := pool.uids[place]),
            score=score,
            legs=found[uid].legs if uid in found else {},
            features={name: values[rank] for name, values in columns.items()} if rank < told else {},
            step=None if uid in found else pool.steps.get(uid),
            named=pool.seen.named[pool.places[place]] if pool.known[place] else None,
        )
        for rank, (place, score) in enumerate(zip(order.tolist(), scores[order].tolist(), strict=True))
    ]
    lowest, known = float(scores.min(initial=0.0)), set(pool.uids)
    return [*ranked, *(Fused(item.uid, lowest, item.legs) for item in found.values() if item.uid not in known)]
