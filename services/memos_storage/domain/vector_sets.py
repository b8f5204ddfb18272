"""Vectors in memory, searched exactly: those the vector index has not taken yet, and a copy of those it has."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime

import numpy as np
import numpy.typing as npt

from memos_kernel.moments import micros
from memos_kernel.names import VaultName
from memos_storage.domain.values import DenseHit, Floats, Point, PointId, Scope

_FIRST_ROWS = 64


class VectorSet:
    """Points of any embedders. A search is one matrix product: about 1 ms for 10,000 vectors of 384 elements."""

    def __init__(self) -> None:
        self._matrices: dict[tuple[str, int], _Matrix] = {}

    def __len__(self) -> int:
        return sum(len(matrix.points) for matrix in self._matrices.values())

    def add(self, points: Iterable[Point]) -> None:
        """Take in points; of one cube the newest revision stays, and of one revision the latest outbox entry."""
        for point in points:
            key = (point.vector.embedder, point.vector.values.size)
            if key not in self._matrices:
                self._matrices[key] = _Matrix(point.vector.values.size)
            self._matrices[key].put(point)

    def drop(self, sequences: Collection[int]) -> None:
        """Forget points by the outbox entries that they came from."""
        if not sequences:
            return
        for matrix in self._matrices.values():
            for point in [point for point in matrix.points if point.sequence in sequences]:
                matrix.remove(point.uid)

    def remove(self, embedder: str, ids: Iterable[PointId]) -> None:
        """Forget points; unknown ids are left out."""
        matrices = [matrix for (name, _), matrix in self._matrices.items() if name == embedder]
        for id in ids:
            for matrix in matrices:
                matrix.remove_revision(id)

    def held(self, embedder: str, ids: Iterable[PointId]) -> list[PointId]:
        """Return those that it holds."""
        matrices = [matrix for (name, _), matrix in self._matrices.items() if name == embedder]
        return [id for id in ids if any(matrix.holds(id) for matrix in matrices)]

    def clear(self) -> None:
        """Forget everything."""
        self._matrices = {}

    def search(
        self, embedder: str, query: Floats, scope: Scope, *, limit: int, until: datetime | None = None
    ) -> list[DenseHit]:
        """Return the nearest points of the scope by cosine, best first; only those recorded `until` then."""
        matrix = self._matrices.get((embedder, query.size))
        return matrix.search(query, scope, limit, until) if matrix is not None else []


@dataclass(slots=True)
class _Matrix:
    """Points of one embedder; their vectors and vaults are in arrays that grow by doubling."""

    dimensions: int
    points: list[Point] = field(default_factory=list)
    rows: dict[str, int] = field(default_factory=dict)
    codes: dict[VaultName, int] = field(default_factory=dict)
    vectors: Floats = field(init=False)
    vaults: npt.NDArray[np.int32] = field(init=False)
    recorded: npt.NDArray[np.int64] = field(init=False)

    def __post_init__(self) -> None:
        self.vectors = np.zeros((_FIRST_ROWS, self.dimensions), np.float32)
        self.vaults = np.zeros(_FIRST_ROWS, np.int32)
        self.recorded = np.zeros(_FIRST_ROWS, np.int64)

    def put(self, point: Point) -> None:
        row = self.rows.get(point.uid)
        if row is None:
            row = self.rows[point.uid] = len(self.points)
            self.points.append(point)
            if row == len(self.vectors):
                self.vectors = np.concatenate([self.vectors, np.zeros_like(self.vectors)])
                self.vaults = np.concatenate([self.vaults, np.zeros_like(self.vaults)])
                self.recorded = np.concatenate([self.recorded, np.zeros_like(self.recorded)])
        elif (self.points[row].revision, self.points[row].sequence) > (point.revision, point.sequence):
            return
        self._set(row, point)

    def remove(self, uid: str) -> None:
        row = self.rows.pop(uid, None)
        if row is None:
            return
        last = self.points.pop()
        if last.uid != uid:
            self.rows[last.uid] = row
            self._set(row, last)

    def holds(self, id: PointId) -> bool:
        row = self.rows.get(id.uid)
        return row is not None and self.points[row].revision == id.revision

    def remove_revision(self, id: PointId) -> None:
        if self.holds(id):
            self.remove(id.uid)

    def search(self, query: Floats, scope: Scope, limit: int, until: datetime | None) -> list[DenseHit]:
        size = len(self.points)
        inside = [code for vault, code in self.codes.items() if scope.covers(vault)]
        if len(inside) == len(self.codes) and until is None:
            rows, scores = np.arange(size), self.vectors[:size] @ query
        else:
            kept = np.isin(self.vaults[:size], inside)
            if until is not None:
                kept &= self.recorded[:size] <= micros(until)
            rows = np.flatnonzero(kept)
            scores = self.vectors[rows] @ query
        if len(rows) > limit:
            best = np.argpartition(-scores, limit)[:limit]
            rows, scores = rows[best], scores[best]
        found = [(self.points[row], float(score)) for row, score in zip(rows, scores, strict=True)]
        hits = [DenseHit(point.uid, point.revision, score) for point, score in found]
        return sorted(hits, key=lambda hit: (-hit.score, hit.uid))

    def _set(self, row: int, point: Point) -> None:
        self.points[row] = point
        self.vectors[row] = point.vector.values
        self.vaults[row] = self.codes.setdefault(point.vault, len(self.codes))
        self.recorded[row] = micros(point.recorded)
