"""Links between statements, in memory."""

from collections.abc import Sequence

from memos_kernel.memory_links import LinkKind
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.memory.link_ledger import links_of
from memos_storage.domain.memory_links import StoredLink


class MemoryMemoryLinks:
    """Implements `ports.MemoryLinks` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def of(self, uid: str) -> list[StoredLink]:
        """Return the links of a cube, to what it outdates and to what outdates it, the latest first."""
        return links_of(self._catalog.tables, uid)

    async def to(self, uids: Sequence[str], *, least: float = 0.0) -> list[StoredLink]:
        """Return the links to what outdates these cubes, and to what may with at least some evidence."""
        found = [link for uid in uids for link in links_of(self._catalog.tables, uid) if link.older_uid == uid]
        return [link for link in found if link.kind is LinkKind.SUPERSEDES or link.evidence >= least]
