"""Texts that have no vector of an embedder, in memory."""

from memos_kernel.cube import Kind
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.domain.values import BareText, StoredCube, TextPlace


class MemoryBareTexts:
    """Implements `ports.BareTexts` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def page(
        self, tenant: str, embedder: str, *, past: bool, after: TextPlace | None, limit: int
    ) -> list[BareText]:
        """Return texts of a tenant without a vector, in one order, from behind a place."""
        found = [
            BareText(place, row)
            for place, row in self._bare(embedder, past=past)
            if row.cube.name.tenant == tenant and place > (after or (0, 0))
        ]
        return found[:limit]

    async def any(self, embedder: str) -> bool:
        """Return whether a text that a search may find has no vector, in any tenant."""
        newest = self._catalog.tables.cubes
        bare = self._bare(embedder, past=False)
        return any(newest[row.cube.uid].cube.delete_time is None for _, row in bare)

    def _bare(self, embedder: str, *, past: bool) -> list[tuple[TextPlace, StoredCube]]:
        """Return the texts without a vector; the number of a cube is that of its place among all."""
        tables = self._catalog.tables
        doomed = {uid for items in tables.purge_cubes.values() for uid in items}
        return [
            ((number, row.cube.revision), row)
            for number, (uid, newest) in enumerate(tables.cubes.items(), 1)
            if newest.cube.kind is Kind.PLAINTEXT and uid not in doomed
            for row in tables.history[uid]
            if row.content_revision == row.cube.revision and (past or row.cube.revision == newest.content_revision)
            if embedder not in tables.vectors.get((uid, row.cube.revision), {})
        ]
