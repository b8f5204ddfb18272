"""Links between statements, read from the catalogue."""

from collections.abc import Sequence

from memos_storage.adapters.sql.catalog import Database
from memos_storage.adapters.sql.link_ledger import links_of, links_to
from memos_storage.domain.memory_links import StoredLink


class SqlMemoryLinks:
    """Implements `ports.MemoryLinks`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, uid: str) -> list[StoredLink]:
        """Return the links of a cube, to what it outdates and to what outdates it, the latest first."""
        return await self._database.read(lambda connection: links_of(connection, uid))

    async def to(self, uids: Sequence[str], *, least: float = 0.0) -> list[StoredLink]:
        """Return the links to what outdates these cubes, and to what may with at least some evidence."""
        return await self._database.read(lambda connection: links_to(connection, uids, least)) if uids else []
