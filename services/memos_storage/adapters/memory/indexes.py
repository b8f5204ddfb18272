"""The lexical index and the vector index in memory."""

import math
from collections import Counter
from collections.abc import Sequence
from datetime import datetime

import numpy as np

from memos_kernel.cube import MemCube
from memos_kernel.errors import DependencyUnavailable
from memos_kernel.names import VaultName
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.terms import frequencies, terms
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import DenseHit, Point, PointId, Scope, Scored, Vector

K1, B = 1.2, 0.75


class MemoryLexicalIndex:
    """Implements `ports.LexicalIndex` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def search(self, query: str, scope: Scope, filter: CubeFilter, *, limit: int, now: datetime) -> list[Scored]:
        """Return the cubes that share terms with the query, best first."""
        wanted = list(dict.fromkeys(terms(query)))
        by_vault: dict[VaultName, list[MemCube]] = {}
        for row in self._catalog.tables.cubes.values():
            if row.cube.delete_time is None and scope.covers(row.cube.vault):
                by_vault.setdefault(row.cube.vault, []).append(row.cube)
        scored = [item for cubes in by_vault.values() for item in _bm25(cubes, wanted)]
        matching = {cube.uid for cubes in by_vault.values() for cube in cubes if filter.matches(cube, now=now)}
        kept = [item for item in scored if item.uid in matching]
        return sorted(kept, key=lambda item: (-item.score, item.uid))[:limit]


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

    async def search(self, query: Vector, scope: Scope, *, limit: int) -> list[DenseHit]:
        """Return the nearest cubes of the scope, best first, by cosine."""
        self._check()
        hits = [
            DenseHit(point.uid, point.revision, float(np.dot(point.vector.values, query.values)))
            for (embedder, _), point in self._points.items()
            if embedder == query.embedder and point.vector.values.size == query.values.size
            if scope.covers(point.vault)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))[:limit]

    def _check(self) -> None:
        if self.away:
            raise DependencyUnavailable("The vector index does not answer.", dependency="milvus")


def _bm25(cubes: Sequence[MemCube], wanted: Sequence[str]) -> list[Scored]:
    counted = {cube.uid: found for cube in cubes if (found := frequencies(cube))}
    if not counted:
        return []
    mean = sum(found.total() for found in counted.values()) / len(counted)
    holders = Counter(term for found in counted.values() for term in found)
    idf = {term: math.log(1 + (len(counted) - holders[term] + 0.5) / (holders[term] + 0.5)) for term in wanted}
    best = sum(idf.values())
    scored: list[Scored] = []
    for uid, found in counted.items():
        norm = K1 * (1 - B + B * found.total() / mean)
        score = sum(idf[term] * found[term] / (found[term] + norm) for term in wanted if term in found)
        if score:
            scored.append(Scored(uid, score / best))
    return scored
