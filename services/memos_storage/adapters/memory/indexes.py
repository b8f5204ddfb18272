"""The lexical index and the vector index in memory."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from memos_kernel.cube import MemCube
from memos_kernel.errors import DependencyUnavailable
from memos_kernel.names import VaultName
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.terms import frequencies, terms
from memos_storage.domain.bm25 import K1, B, idf
from memos_storage.domain.purges import Reach
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import DenseHit, Point, PointId, Scope, Scored, Vector


class MemoryLexicalIndex:
    """Implements `ports.LexicalIndex` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def search(self, query: str, selection: Selection, *, limit: int) -> list[Scored]:
        """Return the cubes that share terms with the query, best first."""
        wanted = list(dict.fromkeys(terms(query)))
        matching = await self._catalog.eligible(list(self._catalog.tables.cubes), selection)
        by_vault = {vault: cubes for vault, cubes in self._by_vault().items() if selection.scope.covers(vault)}
        scored = [item for cubes in by_vault.values() for item in _bm25(cubes, wanted, among=cubes)]
        kept = [item for item in scored if item.uid in matching]
        return sorted(kept, key=lambda item: (-item.score, item.uid))[:limit]

    async def score(self, query: str, cubes: Sequence[MemCube]) -> list[Scored]:
        """Return those of these cubes that share terms with the query, scored as if their texts were in the index."""
        wanted = list(dict.fromkeys(terms(query)))
        by_vault = self._by_vault()
        return [item for cube in cubes for item in _bm25([cube], wanted, among=by_vault.get(cube.vault, []))]

    def _by_vault(self) -> dict[VaultName, list[MemCube]]:
        found: dict[VaultName, list[MemCube]] = {}
        for row in self._catalog.tables.cubes.values():
            if row.cube.delete_time is None:
                found.setdefault(row.cube.vault, []).append(row.cube)
        return found


class MemoryVectorIndex:
    """Implements `ports.VectorIndex`. `away` makes it refuse every call; `losses` is for tests to count up."""

    def __init__(self) -> None:
        self.away = False
        self.losses = 0
        self._points: dict[tuple[str, PointId], Point] = {}

    @property
    def healthy(self) -> bool:
        """Whether it answers now."""
        return not self.away

    @property
    def reason(self) -> str:
        """Why it is not healthy."""
        return "the vector index is away" if self.away else ""

    async def put(self, points: Sequence[Point]) -> None:
        """Add points."""
        self._check()
        self._points.update({(point.vector.embedder, point.id): point for point in points})

    async def remove(self, embedder: str, ids: Sequence[PointId]) -> None:
        """Remove; unknown ids are left out."""
        self._check()
        for id in ids:
            self._points.pop((embedder, id), None)

    async def contents(self, embedder: str, dimensions: int, *, after: str, until: str | None) -> list[PointId]:
        """Return what it holds of the cubes with `after` < uid <= `until`."""
        self._check()
        return [
            id
            for (name, id), point in self._points.items()
            if name == embedder and point.vector.values.size == dimensions
            if after < id.uid and (until is None or id.uid <= until)
        ]

    async def held(self, embedder: str, dimensions: int, ids: Sequence[PointId]) -> list[PointId]:
        """Return those that it holds."""
        self._check()
        return [id for id in ids if (embedder, id) in self._points]

    async def scrub(self, embedder: str, dimensions: int, *, now: datetime) -> Reach:
        """There are no files."""
        self._check()
        return Reach(f"vector index, {embedder}", "It is in memory alone.")

    async def search(self, query: Vector, scope: Scope, *, limit: int, until: datetime | None = None) -> list[DenseHit]:
        """Return the nearest cubes of the scope, best first, by cosine; only points recorded `until` then."""
        self._check()
        hits = [
            DenseHit(point.uid, point.revision, float(np.dot(point.vector.values, query.values)))
            for (embedder, _), point in self._points.items()
            if embedder == query.embedder and point.vector.values.size == query.values.size
            if scope.covers(point.vault) and (until is None or point.recorded <= until)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))[:limit]

    def _check(self) -> None:
        if self.away:
            raise DependencyUnavailable("The vector index does not answer.", dependency="milvus")


def _bm25(cubes: Sequence[MemCube], wanted: Sequence[str], *, among: Sequence[MemCube]) -> list[Scored]:
    """Score texts with the statistics of others."""
    counted = [found for cube in among if (found := frequencies(cube))]
    mean = sum(found.total() for found in counted) / len(counted) if counted else None
    holders = Counter(term for found in counted for term in found)
    telling = {term: idf(len(counted), holders[term]) for term in wanted}
    best = sum(telling.values())
    scored: list[Scored] = []
    for cube in cubes:
        found = frequencies(cube)
        norm = K1 * (1 - B + B * (found.total() / mean if mean else 1.0))
        score = sum(telling[term] * found[term] / (found[term] + norm) for term in wanted if term in found)
        if score:
            scored.append(Scored(cube.uid, score / best))
    return scored
