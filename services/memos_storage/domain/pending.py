"""Vectors that are in the catalogue but not in the vector index yet, held in memory for exact search."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from memos_kernel.names import VaultName
from memos_storage.domain.values import DenseHit, Floats, Point, Scope


class PendingVectors:
    """A cache of the outbox; `newest` is the last entry that it knows."""

    def __init__(self) -> None:
        self.newest = 0
        self._books: dict[str, _Book] = {}

    def __len__(self) -> int:
        return sum(len(book.points) for book in self._books.values())

    def add(self, points: Iterable[Point]) -> None:
        """Take in points; a later point of the same cube takes the place of an earlier one."""
        for point in points:
            self.newest = max(self.newest, point.sequence)
            key = f"{point.vector.embedder}/{point.vector.values.size}"
            if key not in self._books:
                self._books[key] = _Book(point.vector.values.size)
            self._books[key].put(point)

    def drop(self, sequences: Collection[int]) -> None:
        """Forget entries that the index has taken."""
        for book in self._books.values():
            book.drop(sequences)

    def search(self, embedder: str, query: Floats, scope: Scope, *, limit: int) -> list[DenseHit]:
        """Return the nearest points of the scope, best first; exact."""
        book = self._books.get(f"{embedder}/{query.size}")
        return book.search(query, scope, limit) if book is not None else []


@dataclass(slots=True)
class _Book:
    """Points of one embedder; their vectors and vaults are in arrays that grow by doubling."""

    dimensions: int
    points: list[Point] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    codes: dict[VaultName, int] = field(default_factory=dict)
    matrix: Floats = field(init=False)
    vaults: npt.NDArray[np.int32] = field(init=False)

    def __post_init__(self) -> None:
        self.matrix = np.zeros((64, self.dimensions), np.float32)
        self.vaults = np.zeros(64, np.int32)

    def put(self, point: Point) -> None:
        row = self.rows.get(point.uid)
        if row is None:
            row = self.rows[point.uid] = len(self.points)
            self.points.append(point)
            if row == len(self.matrix):
                self.matrix = np.concatenate([self.matrix, np.zeros_like(self.matrix)])
                self.vaults = np.concatenate([self.vaults, np.zeros_like(self.vaults)])
        elif self.points[row].sequence > point.sequence:
            return
        self.points[row] = point
        self.matrix[row] = point.vector.values
        self.vaults[row] = self.codes.setdefault(point.vault, len(self.codes))

    def drop(self, sequences: Collection[int]) -> None:
        kept = [point for point in self.points if point.sequence not in sequences]
        if len(kept) == len(self.points):
            return
        self.points, self.rows, self.codes = [], {}, {}
        self.__post_init__()
        for point in kept:
            self.put(point)

    def search(self, query: Floats, scope: Scope, limit: int) -> list[DenseHit]:
        size = len(self.points)
        inside = np.isin(self.vaults[:size], [code for vault, code in self.codes.items() if scope.covers(vault)])
        rows = np.flatnonzero(inside)
        scores = (self.matrix[:size] if len(rows) == size else self.matrix[rows]) @ query
        if len(rows) > limit:
            best = np.argpartition(-scores, limit)[:limit]
            rows, scores = rows[best], scores[best]
        hits = [
            DenseHit(self.points[row].uid, self.points[row].revision, float(score))
            for row, score in zip(rows, scores, strict=True)
        ]
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))
