"""What lifecycle's use cases need from outside. The grant of the call travels with every one of these calls."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from memos_kernel.cube import MemCube
from memos_kernel.names import CubeName, VaultName
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

    async def list_old(self, vault: VaultName, *, made_before: datetime, limit: int) -> tuple[MemCube, ...]:
        """Return headers of a vault's cubes that were made before a moment and are not frozen, at most `limit`."""
        ...

    async def list_idle(self, vault: VaultName, *, since: datetime, limit: int) -> tuple[MemCube, ...]:
        """Return headers of a vault's cubes in use that were neither changed nor used since a moment.

        At most `limit`, and none that is frozen.
        """
        ...

    async def retire(self, cube: MemCube, *, reason: str) -> None:
        """Delete a cube softly, if its revision is still the one that is given.

        Raises:
            EtagMismatch: another revision is stored.
            CubeNotFound: no such cube for the grant.
            CubeFrozen: it is frozen.
        """
        ...
