"""Moves a cube to a state."""

from dataclasses import dataclass

from memos_kernel.cube import MemCube, State
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey
from memos_lifecycle.domain import move
from memos_lifecycle.ports import CubeStore
from memos_lifecycle.usecases.decision import decide


@dataclass(frozen=True, slots=True, kw_only=True)
class TransitionCube:
    """Decides by the table of the life cycle; storage compares and sets."""

    store: CubeStore

    async def __call__(self, name: CubeName, target: State, *, etag: str, reason: str, request: RequestKey) -> MemCube:
        """Return the header as stored.

        Raises:
            CubeNotFound, EtagMismatch, RequestIdReused: see `decide`.
            IllegalTransition, CubeFrozen: the life cycle does not allow the move.
        """
        return await decide(
            self.store,
            name,
            lambda cube: move(cube, target),
            etag=etag,
            reason=reason or f"Moved to {target.name} by request.",
            request=request,
        )
