"""Freezes cubes, and takes that back."""

from dataclasses import dataclass

from memos_interface.ports import Lifecycle, Spans
from memos_kernel.cube import MemCube
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class FreezeMemory:
    """Forbids new content and metadata; the cube is still read, found and used in prompts."""

    lifecycle: Lifecycle
    spans: Spans

    async def __call__(self, name: CubeName, *, etag: str, key: RequestKey) -> MemCube:
        """Return the header of the frozen cube.

        Raises:
            CubeNotFound, EtagMismatch, IllegalTransition, RequestIdReused: from lifecycle.
        """
        self.spans.mark("update_memory", about=str(name))
        return await self.lifecycle.freeze(name, etag=etag, request=key)


@dataclass(frozen=True, slots=True, kw_only=True)
class UnfreezeMemory:
    """Allows changes to a frozen cube again."""

    lifecycle: Lifecycle
    spans: Spans

    async def __call__(self, name: CubeName, *, etag: str, key: RequestKey) -> MemCube:
        """Return the header of the cube.

        Raises:
            CubeNotFound, EtagMismatch, IllegalTransition, RequestIdReused: from lifecycle.
        """
        self.spans.mark("update_memory", about=str(name))
        return await self.lifecycle.unfreeze(name, etag=etag, request=key)
