"""Expires cubes that are past their time."""

import asyncio
from dataclasses import dataclass

from memos_kernel.cube import MemCube, State
from memos_kernel.errors import CubeFrozen, CubeNotFound, EtagMismatch, IllegalTransition, LimitExceeded
from memos_kernel.ids import Clock
from memos_lifecycle.domain import Sweep, is_due, move
from memos_lifecycle.ports import CubeStore

LIMIT = 1_000
LIMIT_DEFAULT = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepExpired:
    """Moves due cubes of the grant's vaults to EXPIRED, each by compare-and-set."""

    store: CubeStore
    clock: Clock
    in_flight: int

    async def __call__(self, *, limit: int) -> Sweep:
        """Look at no more than `limit` cubes (0 means `LIMIT_DEFAULT`).

        Raises:
            LimitExceeded: `limit` is not between 0 and `LIMIT`.
        """
        limit = batch_of(limit)
        now = self.clock.now()
        due = await self.store.list_due(at=now, limit=limit)
        slots = asyncio.Semaphore(self.in_flight)

        async def expire(cube: MemCube) -> bool:
            async with slots:
                return is_due(cube, now=now) and await self._expire(cube)

        expired = sum(await asyncio.gather(*(expire(cube) for cube in due)))
        # Skipped cubes stay due: a full batch of them alone must not send the caller round in circles.
        more = len(due) == limit and expired > 0
        return Sweep(expired=expired, skipped=len(due) - expired, more=more, time=now)

    async def _expire(self, cube: MemCube) -> bool:
        assert cube.expire_time is not None
        reason = f"Its expire time {cube.expire_time.isoformat(timespec='seconds')} has come."
        try:
            await self.store.apply(move(cube, State.EXPIRED), expected_revision=cube.revision, reason=reason)
        except (EtagMismatch, CubeNotFound, CubeFrozen, IllegalTransition):
            return False
        return True


def batch_of(limit: int) -> int:
    """Return how many cubes a sweep looks at.

    Raises:
        LimitExceeded: `limit` is not between 0 and `LIMIT`.
    """
    if not 0 <= limit <= LIMIT:
        raise LimitExceeded(
            f"limit is {limit}; give 1 to {LIMIT}, or 0 for {LIMIT_DEFAULT}.",
            field="limit",
            limit=str(LIMIT),
            unit="cubes",
        )
    return limit or LIMIT_DEFAULT
