"""The legs of a search. Each returns candidates that the catalogue confirms, or says why it did not run."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from memos_kernel.errors import Capacity
from memos_kernel.states import COLD
from memos_storage.domain.fusion import DENSE, LEXICAL, PENDING
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import DenseHit, Vector
from memos_storage.ports import Catalog, LexicalIndex, Spans, VectorIndex
from memos_storage.usecases.pending_rows import PendingRows

EXACT_ROWS = 2_000
"""A filter that passes at most this many cubes is answered from the catalogue's own vectors, so that it loses none."""

EXACT_ROWS_LAST = 20_000
"""The same, for a filter that the index could not fill within `WIDEST` candidates."""

COLD_ROWS = 20_000
"""Most cubes in the archive that are searched by vector: one by one, for no index has them."""

TOO_COLD = f"more than {COLD_ROWS:,} of the archive are selected; their words are searched, or name fewer vaults"

WIDEN = 4
WIDEST = 4_096
"""Most candidates asked of the vector index."""


@dataclass(frozen=True, slots=True)
class LegResult:
    """What one leg did: uid -> score of its candidates, and the milliseconds it took.

    Attributes:
        reason: why it did not run, or why it may have missed something.
        outdated: cubes whose text has changed since what was matched.
    """

    name: str
    ran: bool
    reason: str = ""
    outdated: frozenset[str] = frozenset()
    scores: Mapping[str, float] = field(default_factory=dict)
    duration_ms: float = 0.0


def skipped(name: str, reason: str) -> LegResult:
    """Return the result of a leg that did not run."""
    return LegResult(name, ran=False, reason=reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class DenseLeg:
    """Vectors in the index. `doubt` says why the index may lack something, or is empty."""

    index: VectorIndex
    catalog: Catalog
    spans: Spans
    doubt: Callable[[], str]

    async def __call__(self, vector: Vector, selection: Selection, *, depth: int) -> LegResult:
        """Return the nearest cubes. A selective filter is answered exactly from the catalogue."""
        started = time.perf_counter()
        with self.spans.span("storage.search.dense"):
            if selection.filter.selective:
                exact = await self.catalog.nearest(vector, selection, bound=EXACT_ROWS, limit=depth)
                if exact is not None:
                    return _result(DENSE, _Confirmed(exact), started)
            doubt = ""
            found = _Confirmed(())
            if selection.filter.states - COLD:
                if not self.index.healthy:
                    return skipped(DENSE, self.index.reason)
                doubt = self.doubt()
                try:
                    found = await self._widening(vector, selection, depth)
                except Capacity as error:
                    return skipped(DENSE, error.message)
                doubt = doubt or self.doubt()
            # After the index: what goes cold meanwhile is in the one or in the other.
            cold = await self._archived(vector, selection, depth)
            reason = doubt or ("" if cold is not None else TOO_COLD)
            return _result(DENSE, found.with_others(cold or ()).first(depth), started, reason=reason)

    async def _archived(self, vector: Vector, selection: Selection, depth: int) -> Sequence[DenseHit] | None:
        """Return the nearest of the cold cubes that are selected; None if there are too many."""
        states = selection.filter.states & COLD
        if not states:
            return ()
        cold = replace(selection, filter=replace(selection.filter, states=states))
        return await self.catalog.nearest(vector, cold, bound=COLD_ROWS, limit=depth)

    async def _widening(self, vector: Vector, selection: Selection, depth: int) -> "_Confirmed":
        limit = depth
        while True:
            hits = await self.index.search(vector, selection.scope, limit=limit, until=selection.as_of)
            confirmed = await _confirmed(self.catalog, hits, selection)
            if len(confirmed.hits) >= depth or len(hits) < limit:
                return confirmed.first(depth)
            if limit >= WIDEST:
                exact = await self.catalog.nearest(vector, selection, bound=EXACT_ROWS_LAST, limit=depth)
                return confirmed if exact is None else _Confirmed(exact)
            limit = min(WIDEST, WIDEN * limit)


@dataclass(frozen=True, slots=True, kw_only=True)
class PendingLeg:
    """Vectors that the index has not taken yet."""

    rows: PendingRows
    catalog: Catalog
    spans: Spans

    async def __call__(self, vector: Vector, selection: Selection, *, depth: int) -> LegResult:
        """Return the nearest of them; exact."""
        started = time.perf_counter()
        with self.spans.span("storage.search.pending"):
            limit = depth
            while True:
                hits = self.rows.search(vector, selection.scope, limit=limit)
                confirmed = await _confirmed(self.catalog, hits, selection)
                if len(confirmed.hits) >= depth or len(hits) < limit:
                    return _result(PENDING, confirmed.first(depth), started)
                limit *= WIDEN


@dataclass(frozen=True, slots=True, kw_only=True)
class LexicalLeg:
    """Words."""

    index: LexicalIndex
    spans: Spans

    async def __call__(self, query: str, selection: Selection, *, depth: int) -> LegResult:
        """Return the cubes that share the most telling words with the query."""
        started = time.perf_counter()
        with self.spans.span("storage.search.lexical"):
            found = await self.index.search(query, selection, limit=depth)
        scores = {item.uid: item.score for item in found}
        return LegResult(LEXICAL, ran=True, scores=scores, duration_ms=milliseconds(started))


@dataclass(frozen=True, slots=True)
class _Confirmed:
    hits: Sequence[DenseHit]
    outdated: frozenset[str] = frozenset()

    def with_others(self, hits: Sequence[DenseHit]) -> "_Confirmed":
        known = {hit.uid for hit in self.hits}
        both = [*self.hits, *(hit for hit in hits if hit.uid not in known)]
        return replace(self, hits=sorted(both, key=lambda hit: (-hit.score, hit.uid)))

    def first(self, count: int) -> "_Confirmed":
        return replace(self, hits=self.hits[:count])


async def _confirmed(catalog: Catalog, hits: Sequence[DenseHit], selection: Selection) -> _Confirmed:
    """Keep the hits whose cube is selected and still has the text that was matched."""
    if not hits:
        return _Confirmed(())
    revisions = await catalog.eligible([hit.uid for hit in hits], selection)
    kept = [hit for hit in hits if revisions.get(hit.uid) == hit.revision]
    return _Confirmed(kept, frozenset({hit.uid for hit in hits} & revisions.keys() - {hit.uid for hit in kept}))


def _result(name: str, found: _Confirmed, started: float, *, reason: str = "") -> LegResult:
    scores = {hit.uid: hit.score for hit in found.hits}
    return LegResult(
        name, ran=True, reason=reason, outdated=found.outdated, scores=scores, duration_ms=milliseconds(started)
    )


def milliseconds(started: float) -> float:
    """Return the time since a reading of `time.perf_counter`."""
    return (time.perf_counter() - started) * 1e3
