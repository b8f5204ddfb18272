"""Records that cubes entered a prompt."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from memos_kernel import limits
from memos_kernel.cube import MemCube, RevisionRef
from memos_kernel.errors import CubeNotFound, EtagMismatch, LimitExceeded
from memos_kernel.ids import Clock
from memos_lifecycle.domain import move, state_after_use
from memos_lifecycle.ports import CubeStore


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordUse:
    """Adds a use to each cube, and activates those that were never used before."""

    store: CubeStore
    clock: Clock
    in_flight: int

    async def __call__(self, cubes: Sequence[RevisionRef], *, plan: str) -> tuple[MemCube, ...]:
        """Return the headers of those cubes that are still there.

        Raises:
            LimitExceeded: more than `limits.BATCH_ITEMS` cubes.
        """
        if len(cubes) > limits.BATCH_ITEMS:
            raise LimitExceeded(
                f"cubes has {len(cubes)} entries; the limit is {limits.BATCH_ITEMS}.",
                field="cubes",
                limit=str(limits.BATCH_ITEMS),
                unit="entries",
            )
        names = list(dict.fromkeys(ref.name for ref in cubes))
        used = await self.store.record_usage(names, at=self.clock.now())
        reason = f"It entered a prompt by {plan}." if plan else "It entered a prompt."
        slots = asyncio.Semaphore(self.in_flight)

        async def settle(cube: MemCube) -> MemCube:
            async with slots:
                return await self._settle(cube, reason=reason)

        return tuple(await asyncio.gather(*(settle(cube) for cube in used)))

    async def _settle(self, cube: MemCube, *, reason: str) -> MemCube:
        """Move the cube on if its use asks for it; one re-read if somebody was faster.

        A cube that is changed faster than that keeps its state: the use itself is recorded, and the next use
        will move it.
        """
        for last_try in (False, True):
            target = state_after_use(cube)
            if target is None:
                return cube
            try:
                return await self.store.apply(move(cube, target), expected_revision=cube.revision, reason=reason)
            except EtagMismatch:
                if last_try:
                    return cube
            except CubeNotFound:
                return cube
            try:
                cube = await self.store.get(cube.name)
            except CubeNotFound:
                return cube
        return cube
