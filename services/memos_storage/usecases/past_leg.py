"""The leg of a search of the past: what has changed since is in no index any more, and is looked at one by one."""

import heapq
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from memos_kernel import limits
from memos_storage.domain.fusion import PAST
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import PastCube, Vector
from memos_storage.ports import Catalog, LexicalIndex, Spans
from memos_storage.usecases.legs import LegResult, milliseconds, skipped

TOO_MANY = f"more than {limits.PAST_ROWS:,} cubes have changed since; name fewer vaults or a later moment"


@dataclass(frozen=True, slots=True)
class PastResult:
    """What the leg found by vector, and by words: uid -> score, which belong to the lexical leg."""

    leg: LegResult
    words: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class PastLeg:
    """Cubes that were different at the moment that is asked about."""

    catalog: Catalog
    lexical: LexicalIndex
    spans: Spans

    async def __call__(self, query: str, vector: Vector | None, selection: Selection, *, depth: int) -> PastResult:
        """Return the nearest of them, and those that share the most telling words with the query; exact.

        Statistics of words are those of today: the vault of then is not kept.
        """
        started = time.perf_counter()
        with self.spans.span("storage.search.past"):
            embedder = vector.embedder if vector is not None else None
            found = await self.catalog.changed(selection, embedder=embedder, bound=limits.PAST_ROWS)
            if found is None:
                return PastResult(skipped(PAST, TOO_MANY))
            cosines = _cosines(vector, found)
            scored = await self.lexical.score(query, [item.stored.cube for item in found])
        words = {item.uid: item.score for item in scored}
        kept = _best(cosines, depth) | _best(words, depth)
        leg = LegResult(
            PAST,
            ran=True,
            reason=_reason(vector, found, cosines),
            scores={uid: cosine for uid, cosine in cosines.items() if uid in kept},
            duration_ms=milliseconds(started),
        )
        return PastResult(leg, {uid: score for uid, score in words.items() if uid in kept})


def _cosines(vector: Vector | None, found: Sequence[PastCube]) -> dict[str, float]:
    if vector is None:
        return {}
    held = {item.stored.cube.uid: item.vector.values for item in found if item.vector is not None}
    if not held:
        return {}
    scores: list[float] = (np.stack(list(held.values())) @ vector.values).tolist()
    return dict(zip(held, scores, strict=True))


def _best(scores: Mapping[str, float], depth: int) -> set[str]:
    return set(heapq.nlargest(depth, scores, key=lambda uid: scores[uid]))


def _reason(vector: Vector | None, found: Sequence[PastCube], cosines: Mapping[str, float]) -> str:
    bare = len(found) - len(cosines)
    if vector is None or not bare:
        return ""
    return f"{bare} of the texts of then have no vector of this embedder; their words are searched"
