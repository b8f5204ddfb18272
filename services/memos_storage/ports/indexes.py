"""What is derived from the catalogue for searching, and the outbox that it follows.

The vector index has the vectors of cubes that are neither deleted nor in a state of `memos_kernel.states.COLD`.
"""

from collections.abc import AsyncIterator, Sequence, Set
from datetime import datetime
from typing import Protocol

from memos_kernel.cube import MemCube
from memos_storage.domain.purges import Reach
from memos_storage.domain.selection import Selection
from memos_storage.domain.values import (
    BareText,
    Claim,
    DenseHit,
    Point,
    PointId,
    Scope,
    Scored,
    TextPlace,
    Vector,
    Waiting,
)


class LexicalIndex(Protocol):
    """Terms of the texts, written in the catalogue's transaction. Statistics are per vault."""

    async def search(self, query: str, selection: Selection, *, limit: int) -> list[Scored]:
        """Return the `eligible` cubes that share terms with the query, best first; scores from 0 to 1."""
        ...

    async def score(self, query: str, cubes: Sequence[MemCube]) -> list[Scored]:
        """Return those of these cubes that share terms with the query, scored as if their texts were in the index."""
        ...


class Outbox(Protocol):
    """Changes that the vector index has to follow, oldest first."""

    async def waiting(self, *, known: Set[int]) -> Waiting:
        """Return what waits now, with the points of the entries that are not `known`, all of one moment."""
        ...

    async def size(self) -> int:
        """Return how many entries wait."""
        ...

    async def claim(self, *, limit: int, lease_seconds: float, now: datetime) -> Claim:
        """Lease the oldest entries. None of a cube is leased while an older one of it is held by somebody else."""
        ...

    async def settle(self, claim: Claim) -> bool:
        """Remove the entries of a claim; False if another worker has taken one over, and then nothing is removed."""
        ...

    async def postpone(self, claim: Claim, *, until: datetime) -> None:
        """Give the entries back after a failure, to be taken again from `until` on."""
        ...

    async def points(self, embedder: str, uids: Sequence[str]) -> list[Point]:
        """Return the vectors that these cubes have now, deleted and cold cubes left out."""
        ...

    def indexed(self) -> AsyncIterator[Sequence[Point]]:
        """Return the vectors of everything that the index should hold by now, in batches."""
        ...

    async def expected(self, embedder: str, *, after: str, limit: int) -> list[PointId]:
        """Return what the index should hold by now of the cubes whose uid is greater than `after`, by uid."""
        ...

    async def embedders(self) -> list[tuple[str, int]]:
        """Return the embedders that have vectors, with their dimensions."""
        ...


class BareTexts(Protocol):
    """Texts that have no vector of an embedder, those that are being erased left out."""

    async def page(
        self, tenant: str, embedder: str, *, past: bool, after: TextPlace | None, limit: int
    ) -> list[BareText]:
        """Return texts of a tenant, of deleted cubes too, in one order, from behind a place.

        `past`: those that cubes had before as well.
        """
        ...

    async def any(self, embedder: str) -> bool:
        """Return whether there is one that a search may find, in any tenant."""
        ...


class DerivedTier(Protocol):
    """A copy of something in the catalogue, which can be thrown away and made again."""

    @property
    def healthy(self) -> bool:
        """Whether it answers now."""
        ...

    async def put(self, points: Sequence[Point]) -> None:
        """Add points; one that is there stays as it is. What it returned from is durable and found.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def remove(self, embedder: str, ids: Sequence[PointId]) -> None:
        """Remove; unknown ids are left out.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def contents(self, embedder: str, dimensions: int, *, after: str, until: str | None) -> list[PointId]:
        """Return what it holds of the cubes with `after` < uid <= `until`, in any order; None is no end.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def held(self, embedder: str, dimensions: int, ids: Sequence[PointId]) -> list[PointId]:
        """Return those that it holds.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...

    async def scrub(self, embedder: str, dimensions: int, *, now: datetime) -> Reach:
        """Free its files of what was removed, as far as that can be done.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...


class VectorIndex(DerivedTier, Protocol):
    """Dense vectors; one collection an embedder."""

    @property
    def reason(self) -> str:
        """Why it is not healthy; empty if it is."""
        ...

    @property
    def losses(self) -> int:
        """How often it did not answer so far; after each it may hold something else."""
        ...

    async def search(self, query: Vector, scope: Scope, *, limit: int, until: datetime | None = None) -> list[DenseHit]:
        """Return the nearest cubes of the scope, best first, by cosine; only points recorded `until` then.

        Raises:
            DependencyUnavailable: it does not answer.
        """
        ...
