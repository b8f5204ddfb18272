"""The words that texts share, in memory."""

import math
from collections.abc import Mapping, Sequence

from memos_kernel.cube import Kind
from memos_storage.adapters.memory.catalog import MemoryCatalog
from memos_storage.adapters.terms import frequencies, terms, written
from memos_storage.domain.bm25 import QUERY_TERMS
from memos_storage.domain.walks import RAREST, Posting, Reached, most_texts, reached


class MemoryTermGraph:
    """Implements `ports.TermGraph` over a `MemoryCatalog`."""

    def __init__(self, catalog: MemoryCatalog) -> None:
        self._catalog = catalog

    async def walk(self, seeds: Mapping[str, float], known: str) -> dict[str, Reached]:
        """Walk from texts to others of their vaults by rare terms that are not known."""
        cubes = [row.cube for row in self._catalog.tables.cubes.values()]
        live = [cube for cube in cubes if cube.delete_time is None and cube.kind is Kind.PLAINTEXT]
        found: dict[str, Reached] = {}
        for vault in {cube.vault for cube in live if cube.uid in seeds}:
            texts = {cube.uid: frequencies(cube) for cube in live if cube.vault == vault}
            own = {term for uid in seeds if uid in texts for term in texts[uid]} - set(
                list(dict.fromkeys(terms(known)))[:QUERY_TERMS]
            )
            held = {term: sum(term in counted for counted in texts.values()) for term in own}
            documents = sum(1 for counted in texts.values() if counted)
            postings = [
                Posting(uid, term, math.log(1 + (documents - held[term] + 0.5) / (held[term] + 0.5)), counted.total())
                for uid, counted in texts.items()
                for term in own & counted.keys()
                if RAREST <= held[term] <= most_texts(documents)
            ]
            found |= reached(postings, seeds)
        return found

    def written(self, text: str, terms: Sequence[str]) -> tuple[str, ...]:
        """Return terms as they are written in a text."""
        return written(text, terms)
