"""Carries out the policy of a vault."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from memos_kernel.cube import MemCube, State
from memos_kernel.errors import CubeFrozen, CubeNotFound, EtagMismatch, IllegalTransition
from memos_kernel.ids import Clock
from memos_kernel.names import VaultName
from memos_lifecycle.domain import VaultSweep, move
from memos_lifecycle.ports import CubeStore
from memos_lifecycle.usecases.sweep_expired import batch_of

_OVERTAKEN = (EtagMismatch, CubeNotFound, CubeFrozen, IllegalTransition)


@dataclass(frozen=True, slots=True, kw_only=True)
class SweepVault:
    """Deletes cubes that are too old, and archives those that nobody changed or used for long, by compare-and-set.

    MemOS (arXiv 2507.03724, section 5.2): memories that are not used for long move to the archive, from where use
    brings them back.
    """

    store: CubeStore
    clock: Clock
    in_flight: int

    async def __call__(
        self, vault: VaultName, *, cold_after: timedelta | None, delete_after: timedelta | None, limit: int
    ) -> VaultSweep:
        """Look at no more than `limit` cubes for each rule (0 means `sweep_expired.LIMIT_DEFAULT`).

        Raises:
            LimitExceeded: `limit` is not between 0 and `sweep_expired.LIMIT`.
            VaultNotFound: there is no such vault for the grant.
        """
        limit, now = batch_of(limit), self.clock.now()
        old: Sequence[MemCube] = ()
        idle: Sequence[MemCube] = ()
        deleted = archived = 0
        if delete_after is not None:
            old = await self.store.list_old(vault, made_before=now - delete_after, limit=limit)
            reason = f"It is older than {delete_after}, which is the age that the vault keeps cubes to."
            deleted = await self._each(old, lambda cube: self._retire(cube, reason))
        if cold_after is not None:
            idle = await self.store.list_idle(vault, since=now - cold_after, limit=limit)
            why = f"Nobody changed or used it for {cold_after}."
            archived = await self._each(idle, lambda cube: self._archive(cube, why))
        return VaultSweep(
            archived=archived,
            deleted=deleted,
            skipped=len(old) + len(idle) - deleted - archived,
            # Skipped cubes stay due: a full batch of them alone must not send the caller round in circles.
            more=(len(old) == limit and deleted > 0) or (len(idle) == limit and archived > 0),
        )

    async def _each(self, cubes: Sequence[MemCube], work: Callable[[MemCube], Awaitable[object]]) -> int:
        """Do it to each, and return to how many it could be done."""
        slots = asyncio.Semaphore(self.in_flight)

        async def one(cube: MemCube) -> bool:
            async with slots:
                try:
                    await work(cube)
                except _OVERTAKEN:
                    return False
                return True

        return sum(await asyncio.gather(*map(one, cubes)))

    async def _retire(self, cube: MemCube, reason: str) -> None:
        await self.store.retire(cube, reason=reason)

    async def _archive(self, cube: MemCube, reason: str) -> None:
        await self.store.apply(move(cube, State.ARCHIVED), expected_revision=cube.revision, reason=reason)
