"""The links inside a transaction, in memory."""

from memos_storage.adapters.memory.tables import Tables
from memos_storage.domain.memory_links import MOST_TOLD, StoredLink


class MemoryLinkLedger:
    """Implements `ports.LinkLedger`."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def of(self, uid: str) -> list[StoredLink]:
        """Return the links of a cube."""
        return links_of(self._tables, uid)

    def put(self, link: StoredLink) -> None:
        """Store a link, in the place of one of the same two cubes if there is one."""
        self._tables.links[link.newer_uid, link.older_uid] = link


def links_of(tables: Tables, uid: str) -> list[StoredLink]:
    """Return the links of a cube to and from others, all live, the latest first."""
    live = {uid for uid, row in tables.cubes.items() if row.cube.delete_time is None}
    found = [link for pair, link in tables.links.items() if uid in pair and live.issuperset(pair)]
    return sorted(found, key=lambda link: (link.time, link.newer_uid, link.older_uid), reverse=True)[:MOST_TOLD]
