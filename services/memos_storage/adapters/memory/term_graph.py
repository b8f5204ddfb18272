"""The words that texts share, in memory."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence, Set

from memos_kernel.cube import Kind
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.supersession.surface import first_name
from memos_storage.adapters.terms import frequencies, wanted_terms, written
from memos_storage.domain.bm25 import idf
from memos_storage.domain.walks import RAREST, RareTerm, Walk, most_texts, most_told, rarest, walk


class MemoryTermGraph:
    """Implements `ports.TermGraph` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def walk(self, seeds: Mapping[str, float], known: str) -> Walk:
        """Walk from texts to others of their vaults by rare terms that are not known."""
        leading: list[RareTerm] = []
        left_out = set(wanted_terms(known))
        for texts in self._vaults(seeds.keys()):
            documents = sum(1 for counted in texts.values() if counted)
            for term in {term for uid in seeds if uid in texts for term in texts[uid]} - left_out:
                found = [(uid, counted.total()) for uid, counted in texts.items() if term in counted]
                if RAREST <= len(found) <= most_texts(documents):
                    leading.append(RareTerm(term, idf(documents, len(found)), found))
        return walk(leading, seeds)

    async def rare_terms(self, uids: Sequence[str], *, most: int) -> dict[str, dict[str, float]]:
        """Return the rarest terms of texts, and the IDF of each in its vault."""
        found: dict[str, dict[str, float]] = {}
        for texts in self._vaults(frozenset(uids)):
            for uid in texts.keys() & set(uids):
                held = {term: sum(term in counted for counted in texts.values()) for term in texts[uid]}
                documents = sum(1 for counted in texts.values() if counted)
                most_held = most_told(documents)
                if rare := {term: idf(documents, count) for term, count in held.items() if count <= most_held}:
                    found[uid] = rarest(rare, most)
        return found

    def written(self, text: str, terms: Sequence[str]) -> tuple[str, ...]:
        """Return terms as they are written in a text."""
        return written(text, terms)

    def first_name(self, text: str) -> str:
        """Return the first name in a text."""
        return first_name(text)

    def _vaults(self, uids: Set[str]) -> Iterator[dict[str, Counter[str]]]:
        """Yield, for each vault of these cubes, its live texts with their terms."""
        cubes = [row.cube for row in self._catalog.tables.cubes.values()]
        live = [cube for cube in cubes if cube.delete_time is None and cube.kind is Kind.PLAINTEXT]
        for vault in {cube.vault for cube in live if cube.uid in uids}:
            yield {cube.uid: frequencies(cube) for cube in live if cube.vault == vault}
