"""Freezes a cube, and takes that back."""

from dataclasses import dataclass

from memos_kernel.cube import MemCube
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey
from memos_kernel.states import freeze, unfreeze
from memos_lifecycle.ports import CubeStore
from memos_lifecycle.usecases.decision import decide


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeCube:
    """Forbids changes to a cube; its state stays as it is."""

    store: CubeStore

    async def __call__(self, name: CubeName, *, etag: str, reason: str, request: RequestKey) -> MemCube:
        """Return the header as stored.

        Raises:
            CubeNotFound, EtagMismatch, RequestIdReused: see `decide`.
            IllegalTransition: the cube is expired or stale, or frozen already.
        """
        reason = reason or "Frozen by request."
        return await decide(self.store, name, freeze, etag=etag, reason=reason, request=request)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeCube:
    """Allows changes to a frozen cube again."""

    store: CubeStore

    async def __call__(self, name: CubeName, *, etag: str, reason: str, request: RequestKey) -> MemCube:
        """Return the header as stored.

        Raises:
            CubeNotFound, EtagMismatch, RequestIdReused: see `decide`.
            IllegalTransition: the cube is not frozen.
        """
        reason = reason or "Unfrozen by request."
        return await decide(self.store, name, unfreeze, etag=etag, reason=reason, request=request)
