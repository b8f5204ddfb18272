"""Finds the cubes that fit a query best."""

import asyncio
from dataclasses import dataclass, replace

from memos_interface.domain import audit
from memos_interface.domain.search import SearchAnswer, SearchQuery, check_search
from memos_interface.ports import AuditTrail, Embedder, MemoryStore, Spans, Vectors
from memos_kernel.errors import Capacity
from memos_kernel.permission import Principal

DENSE = "dense"


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchMemories:
    """Embeds the query and searches. While the embedder is away the other legs run, and the answer says so.

    `embed_timeout` is in seconds; a model that takes longer counts as away.
    """

    embedder: Embedder
    store: MemoryStore
    audit_trail: AuditTrail
    spans: Spans
    embed_timeout: float

    async def __call__(self, query: SearchQuery, *, caller: Principal) -> SearchAnswer:
        """Return hits, best first.

        Raises:
            RequestError: by field.
            VaultNotFound, Capacity: from storage.
        """
        top_k = check_search(query)
        self.spans.mark("search_memory")
        vectors, missing = await self._embed(query.query)
        answer = await self.store.search(query, vectors, top_k=top_k)
        self.spans.link((hit.cube.origin_trace for hit in answer.hits), used_for="search")
        found = [str(hit.cube.name) for hit in answer.hits]
        self.audit_trail.note(caller.name, audit.SEARCH, found or [str(caller.name.parent)])
        return _without_dense(answer, missing) if missing else answer

    async def _embed(self, text: str) -> tuple[Vectors | None, str]:
        try:
            async with asyncio.timeout(self.embed_timeout):
                return await self.embedder.embed_query(text), ""
        except TimeoutError:
            return None, f"The embedder did not answer within {self.embed_timeout:g} s."
        except Capacity as error:
            return None, error.message


def _without_dense(answer: SearchAnswer, reason: str) -> SearchAnswer:
    """Say in the answer why the dense leg did not run."""
    legs = tuple(replace(leg, reason=reason) if leg.name == DENSE and not leg.ran else leg for leg in answer.legs)
    return replace(answer, legs=legs, degraded=True)
