"""Find the cubes that fit a query best."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, tzinfo

from memos_kernel import limits
from memos_kernel.cube import MemCube, State
from memos_kernel.errors import InvalidField, LimitExceeded
from memos_kernel.ids import Clock
from memos_kernel.names import CubeName, VaultName
from memos_kernel.permission import Grant
from memos_kernel.states import COLD
from memos_kernel.text import check_text
from memos_kernel.token_codes import QueryTokens
from memos_storage.domain.anchors import AskedTime
from memos_storage.domain.checks import check_vector
from memos_storage.domain.filters import CubeFilter, has_ended
from memos_storage.domain.fusion import DENSE, LEXICAL, PAST, PENDING, Fused, fuse
from memos_storage.domain.paths import Topic
from memos_storage.domain.selection import Selection, check_as_of
from memos_storage.domain.times import Span
from memos_storage.domain.values import StoredCube, Vector
from memos_storage.domain.walks import Step, Way
from memos_storage.ports import Asked, Catalog, Spans, TermGraph
from memos_storage.ports import Span as TraceSpan
from memos_storage.usecases.access import narrowed, shown
from memos_storage.usecases.legs import DenseLeg, LegResult, LexicalLeg, PendingLeg, skipped
from memos_storage.usecases.links import link_origins
from memos_storage.usecases.past_leg import PastLeg
from memos_storage.usecases.ranking.budget import Budget
from memos_storage.usecases.ranking.rank_candidates import LEFT_OUT, RankCandidates, StageResult
from memos_storage.usecases.resolve_paths import ResolvePaths

DEPTH = 150
"""Least candidates asked of each leg."""

LEGS = (DENSE, LEXICAL)
"""Legs that a query can leave out."""

NO_VECTOR = "the query has no vector"


@dataclass(frozen=True, slots=True, kw_only=True)
class Query:
    """What is looked for. `vaults` empty means those of the grant, `top_k` 0 the default, `as_of` None the present.

    Attributes:
        tokens: vectors of the query's tokens.
        without: legs and stages of the ranking that do not run.
        token_budget: most tokens of all texts together, by estimate; 0 is no limit.
        paths: whether to tell how the hits hang together.
        zone: in which its times are meant.
    """

    text: str
    vector: Vector | None = None
    tokens: QueryTokens | None = None
    without: frozenset[str] = frozenset()
    token_budget: int = 0
    vaults: tuple[VaultName, ...] = ()
    top_k: int = 0
    filter: CubeFilter = field(default_factory=CubeFilter)
    as_of: datetime | None = None
    paths: bool = False
    zone: tzinfo = UTC


@dataclass(frozen=True, slots=True)
class Origin:
    """How a search came to a hit that no leg found.

    Attributes:
        source: the cube that it came from; None if that is not for the caller to see.
        words: those that led from the one to the other, as the hit writes them.
    """

    way: Way
    source: CubeName | None
    words: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Hit:
    """A cube with its fused score and the scores of the legs that found it, or where the search came to it from."""

    cube: MemCube
    fused: Fused
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class QueryTime:
    """A phrase of the query that names a time, what it means, and the cube whose time it is counted from."""

    text: str
    span: Span
    source: CubeName | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """Hits, best first, what each leg and each stage of the ranking did, and how the hits hang together if asked.

    `times` are those that the query names.
    """

    hits: tuple[Hit, ...]
    legs: tuple[LegResult, ...]
    stages: tuple[StageResult, ...] = ()
    paths: tuple[Topic, ...] = ()
    times: tuple[QueryTime, ...] = ()

    @property
    def degraded(self) -> bool:
        """Whether a leg was missing, or may have missed something."""
        return any(map(_misses, self.legs))


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchCubes:
    """Runs the legs side by side, ranks what they found and joins it to the catalogue.

    `current` tells the embedder to go by.
    """

    catalog: Catalog
    dense: DenseLeg
    pending: PendingLeg
    lexical: LexicalLeg
    past: PastLeg
    rank: RankCandidates
    graph: TermGraph
    resolve_paths: ResolvePaths
    current: Callable[[], Awaitable[str]]
    clock: Clock
    spans: Spans

    async def __call__(self, query: Query, *, grant: Grant) -> Found:
        """Return at most `top_k` cubes, each live, granted and of the revision that was matched.

        Raises:
            MissingField, InvalidField, LimitExceeded: the query.
            VaultNotFound: the grant does not cover a vault.
        """
        top_k = _check(query, {*LEGS, *self.rank.names})
        scope, now = narrowed(grant, query.vaults), self.clock.now()
        check_as_of(query.as_of, now=now)
        selection = Selection(scope=scope, filter=query.filter, now=now, as_of=query.as_of)
        with self.spans.span("storage.search") as span:
            legs = await self._run_legs(query, selection, max(DEPTH, 3 * top_k))
            vector = None if DENSE in query.without else query.vector
            cosines = await self._missing_cosines(vector, legs)
            order = fuse({leg.name: leg.scores for leg in legs}, cosines=cosines)
            asked = Asked(
                text=query.text,
                vector=vector,
                embedder=query.vector.embedder if query.vector is not None else "",
                tokens=query.tokens,
                selection=selection,
                now=_in_zone(selection.moment, query.zone),
                past=query.as_of is not None,
                changed=frozenset().union(*(leg.outdated for leg in legs if leg.name == PAST)),
                without=query.without,
            )
            ranked = await self.rank(order, asked, top_k=top_k, cosines=cosines)
            hits, budget = await self._join(ranked.order, selection, top_k, grant, query.token_budget)
            hits = await self._with_origins(hits, selection)
            paths = await self._paths(hits, query)
            times = await self._query_times(ranked.times, query.text, selection)
            self._describe(span, hits, legs)
        return Found(tuple(hits), tuple(legs), (*ranked.stages, *budget), paths, times)

    async def _run_legs(self, query: Query, selection: Selection, depth: int) -> list[LegResult]:
        (pending, dense), words = await asyncio.gather(
            self._by_vector(query, selection, depth), self._by_words(query, selection, depth)
        )
        if query.vector is not None and dense.ran and not dense.reason:
            dense = replace(dense, reason=await self._outside(query.vector))
        if selection.as_of is None:
            return [dense, pending, words]
        # After the others: what changes while they run is then among what has changed.
        vector = None if DENSE in query.without else query.vector
        past = await self.past(query.text, vector, selection, depth=depth)
        told = {} if LEXICAL in query.without else past.words
        changed = frozenset(past.leg.scores.keys() | past.words.keys())
        return [dense, pending, replace(past.leg, outdated=changed), replace(words, scores={**words.scores, **told})]

    async def _by_words(self, query: Query, selection: Selection, depth: int) -> LegResult:
        if LEXICAL in query.without:
            return skipped(LEXICAL, LEFT_OUT)
        return await self.lexical(query.text, selection, depth=depth)

    async def _by_vector(self, query: Query, selection: Selection, depth: int) -> tuple[LegResult, LegResult]:
        if DENSE in query.without:
            return skipped(PENDING, LEFT_OUT), skipped(DENSE, LEFT_OUT)
        vector = query.vector
        if vector is None:
            return skipped(PENDING, NO_VECTOR), skipped(DENSE, NO_VECTOR)
        # What waits is read before the index is asked: a row that goes over meanwhile is found twice, and not never.
        await self.pending.rows.refresh()
        pending, dense = await asyncio.gather(
            self.pending(vector, selection, depth=depth),
            self.dense(vector, selection, depth=depth),
        )
        changed = (pending.outdated | dense.outdated) - pending.scores.keys() - dense.scores.keys()
        if changed or selection.filter.states & COLD:
            # The text changed after what waits was read, or may have come out of the archive before that was searched:
            # its vector waits now, or is in the index.
            await self.pending.rows.refresh()
            again = await self.pending(vector, selection, depth=depth)
            pending = replace(again, scores={**pending.scores, **again.scores})
        return pending, dense

    async def _outside(self, vector: Vector) -> str:
        """Return why vectors of an embedder may be missing; empty if it is the one that everything has a vector of."""
        current = await self.current()
        return "" if current in ("", vector.embedder) else f"not every text has a vector of {vector.embedder} yet"

    async def _missing_cosines(self, vector: Vector | None, legs: Sequence[LegResult]) -> dict[str, float]:
        """Give those that only their words brought in the same chance as the others."""
        by_name = {leg.name: leg.scores for leg in legs}
        missing = by_name.pop(LEXICAL).keys() - set[str]().union(*by_name.values())
        if vector is None or not missing:
            return {}
        return await self.catalog.cosines(vector, sorted(missing))

    async def _join(
        self, order: Sequence[Fused], selection: Selection, top_k: int, grant: Grant, token_budget: int
    ) -> tuple[list[Hit], list[StageResult]]:
        """Return the hits, and what became of the budget if there is one."""
        hits: list[Hit] = []
        budget = Budget(token_budget)
        for start in range(0, len(order), top_k):
            part = order[start : start + top_k]
            cubes: dict[str, StoredCube] = await self.catalog.resolve([item.uid for item in part], selection)
            found = ((item, cubes[item.uid].cube) for item in part if item.uid in cubes)
            hits += [
                Hit(shown(cube, grant, now=selection.now), _as_it_holds(item, cube, now=selection.moment))
                for item, cube in found
                if budget.takes(cube)
            ]
            if len(hits) >= top_k or budget.spent:
                break
        return hits[:top_k], [budget.result(min(len(hits), top_k))] if token_budget else []

    async def _paths(self, hits: Sequence[Hit], query: Query) -> tuple[Topic, ...]:
        if not query.paths:
            return ()
        return await self.resolve_paths([hit.cube for hit in hits], past=query.as_of is not None)

    async def _with_origins(self, hits: list[Hit], selection: Selection) -> list[Hit]:
        """Tell where the search came from to those hits that no leg found."""
        steps = {hit.cube.uid: step for hit in hits if (step := hit.fused.step) is not None}
        if not steps:
            return hits
        names = {hit.cube.uid: hit.cube.name for hit in hits}
        if missing := sorted({step.source for step in steps.values()} - names.keys()):
            found = await self.catalog.resolve(missing, selection)
            names |= {uid: stored.cube.name for uid, stored in found.items()}
        return [
            hit
            if (step := steps.get(hit.cube.uid)) is None
            else replace(hit, origin=self._origin(step, hit.cube, names.get(step.source)))
            for hit in hits
        ]

    async def _query_times(self, times: Sequence[AskedTime], text: str, selection: Selection) -> tuple[QueryTime, ...]:
        """Name the cubes that times are counted from; one that is not there any more leaves no time behind."""
        sources = sorted({one.source for one in times if one.source})
        found = await self.catalog.resolve(sources, selection) if sources else {}
        return tuple(
            QueryTime(text[one.start : one.end], one.span, found[one.source].cube.name if one.source else None)
            for one in times
            if not one.source or one.source in found
        )

    def _origin(self, step: Step, cube: MemCube, source: CubeName | None) -> Origin:
        return Origin(step.way, source, self.graph.written(cube.text, step.terms))

    def _describe(self, span: TraceSpan, hits: Sequence[Hit], legs: Sequence[LegResult]) -> None:
        span.set_attribute("gen_ai.memory.search.result.count", len(hits))
        span.set_attribute("memos.search.legs", ",".join(leg.name for leg in legs if leg.ran))
        span.set_attribute("memos.degraded", any(map(_misses, legs)))
        link_origins(span, (hit.cube for hit in hits))


def _in_zone(moment: datetime, zone: tzinfo) -> datetime:
    try:
        return moment.astimezone(zone)
    except OverflowError:  # at the first or the last day that there is
        return moment


def _as_it_holds(item: Fused, cube: MemCube, *, now: datetime) -> Fused:
    """Return a candidate, superseded only if its validity has ended: somebody may have given that back."""
    if item.superseded_by is None or has_ended(cube, now):
        return item
    return replace(item, superseded_by=None)


def _misses(leg: LegResult) -> bool:
    return leg.reason not in ("", LEFT_OUT)


def _check(query: Query, known: Set[str]) -> int:
    check_text(query.text, field="query", limit=limits.QUERY_BYTES)
    if query.top_k < 0:
        raise InvalidField(f"top_k is {query.top_k}; give 0 or more.", field="top_k")
    if query.top_k > limits.TOP_K:
        raise LimitExceeded(
            f"top_k is {query.top_k}; the limit is {limits.TOP_K}.",
            field="top_k",
            limit=str(limits.TOP_K),
            unit="cubes",
        )
    if unknown := sorted(query.without - known):
        raise InvalidField(
            f"ranking.without names {', '.join(unknown)}; there are {', '.join(sorted(known))}.",
            field="ranking.without",
        )
    if query.without.issuperset(LEGS):
        raise InvalidField("ranking.without leaves no leg to find anything; keep one.", field="ranking.without")
    if query.token_budget < 0:
        raise InvalidField(
            f"ranking.token_budget is {query.token_budget}; give 0 or more.", field="ranking.token_budget"
        )
    if State.EXPIRED in query.filter.states:
        raise InvalidField("Expired cubes are never searched; list them instead.", field="filter.states")
    query.filter.check()
    if query.vector is not None:
        check_vector(query.vector, field="embedding")
    return query.top_k or limits.TOP_K_DEFAULT
