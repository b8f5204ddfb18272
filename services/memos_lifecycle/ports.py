"""What lifecycle's use cases need from outside. The grant of the call travels with every one of these calls."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from memos_kernel.cube import MemCube
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey

NO_KEY = RequestKey()


class CubeStore(Protocol):
    """Headers of cubes, and the compare-and-set on them. Storage is the record; lifecycle keeps none."""

    async def get(self, name: CubeName) -> MemCube:
        """Return the header of a cube.

        Raises:
            CubeNotFound: no such cube for the grant.
        """
        ...

    async def apply(
        self, cube: MemCube, *, expected_revision: int, reason: str, request: RequestKey = NO_KEY
    ) -> MemCube:
        """Store state and frozen of the cube, if its revision is the expected one; return the header as stored.

        A request key that the store knows is answered as the first time, before revisions are compared.

        Raises:
            EtagMismatch: another revision is stored.
            CubeNotFound: no such cube for the grant.
            RequestIdReused: the key was used with another body.
        """
        ...

    async def record_usage(self, names: Sequence[CubeName], *, at: datetime) -> tuple[MemCube, ...]:
        """Add one use to each cube that is still there; return their headers."""
        ...

    async def list_due(self, *, at: datetime, limit: int) -> tuple[MemCube, ...]:
        """Return headers of cubes whose expire time has come and that are not expired yet, at most `limit`."""
        ...
