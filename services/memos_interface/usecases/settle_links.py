"""Tells what memories do to each other, and lets who knows better say so."""

from dataclasses import dataclass

from memos_interface.ports import MemoryStore, Spans
from memos_kernel.memory_links import LinkKind, MemoryLink
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey


@dataclass(frozen=True, slots=True, kw_only=True)
class ListLinks:
    """Returns the links of a cube."""

    store: MemoryStore
    spans: Spans

    async def __call__(self, name: CubeName) -> tuple[MemoryLink, ...]:
        """Return what the cube does to earlier ones and later ones do to it, the latest first.

        Raises:
            CubeNotFound: from storage.
        """
        self.spans.mark("search_memory", about=str(name))
        return await self.store.links(name)


@dataclass(frozen=True, slots=True, kw_only=True)
class SettleLink:
    """Says what one cube does to an earlier one."""

    store: MemoryStore
    spans: Spans

    async def __call__(self, newer: CubeName, older: CubeName, *, kind: LinkKind, key: RequestKey) -> MemoryLink:
        """Return the link as it is now.

        Raises:
            InvalidField, CubeNotFound, CubeFrozen, RequestIdReused: from storage.
        """
        self.spans.mark("update_memory", about=str(older))
        return await self.store.settle_link(newer, older, kind=kind, request=key)
