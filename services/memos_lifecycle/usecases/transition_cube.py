"""Moves a cube to a state."""

from dataclasses import dataclass

from memos_kernel.cube import MemCube, State
from memos_kernel.errors import EtagMismatch, Precondition
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey
from memos_lifecycle.domain import move
from memos_lifecycle.ports import CubeStore


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionCube:
    """Decides by the table of the life cycle; storage compares and sets."""

    store: CubeStore

    async def __call__(self, name: CubeName, target: State, *, etag: str, reason: str, request: RequestKey) -> MemCube:
        """Return the header as stored.

        Raises:
            CubeNotFound: no such cube for the grant.
            EtagMismatch: `etag` is set and not the newest, or somebody changed the cube meanwhile.
            IllegalTransition, CubeFrozen: the life cycle does not allow the move.
        """
        cube = await self.store.get(name)
        try:
            if etag and etag != cube.etag:
                raise EtagMismatch(f"{name} was changed meanwhile; read it again.", name=str(name))
            moved = move(cube, target)
        except (EtagMismatch, Precondition) as refusal:
            return await self._replay(cube, reason=reason, request=request, refusal=refusal)
        return await self.store.apply(
            moved,
            expected_revision=cube.revision,
            reason=reason or f"Moved to {target.name} by request.",
            request=request,
        )

    async def _replay(
        self, cube: MemCube, *, reason: str, request: RequestKey, refusal: EtagMismatch | Precondition
    ) -> MemCube:
        """Answer a repeated request as the first time, or raise the refusal.

        After its own success a repeated request looks illegal, since the cube is there already. Storage knows
        the key and answers before it compares revisions; for an unknown key the revision before this one
        never fits, so nothing can change here.
        """
        if not request or cube.revision <= 1:
            raise refusal
        try:
            return await self.store.apply(cube, expected_revision=cube.revision - 1, reason=reason, request=request)
        except EtagMismatch:
            raise refusal from None
