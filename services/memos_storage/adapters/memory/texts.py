"""Texts that have no vector of an embedder, in memory."""

from memos_kernel.cube import Kind
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.domain.values import BareText, StoredCube, TextPlace, Vector


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
        vectors = self._catalog.tables.vectors
        return any(
            newest[row.cube.uid].cube.delete_time is None
            for _, row in bare
            if embedder not in vectors.get((row.cube.uid, row.cube.revision), {})
        )

    def _bare(self, embedder: str, *, past: bool) -> list[tuple[TextPlace, StoredCube]]:
        """Return the texts without a vector or its tokens; the number of a cube is that of its place among all."""
        tables = self._catalog.tables
        doomed = {uid for items in tables.purge_cubes.values() for uid in items}
        return [
            ((number, row.cube.revision), row)
            for number, (uid, newest) in enumerate(tables.cubes.items(), 1)
            if newest.cube.kind is Kind.PLAINTEXT and uid not in doomed
            for row in tables.history[uid]
            if row.content_revision == row.cube.revision and (past or row.cube.revision == newest.content_revision)
            if not _is_done(tables.vectors.get((uid, row.cube.revision), {}).get(embedder))
        ]


def _is_done(vector: Vector | None) -> bool:
    return vector is not None and vector.tokens is not None
