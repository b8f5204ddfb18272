"""Embedding of many texts in calls of a size that shares the engine with others."""

from collections.abc import Sequence

from memos_interface.ports import Embedder, Vectors
from memos_kernel.embedding import Embedding
from memos_kernel.errors import DependencyUnavailable

_CHUNK = 64


async def embed_all(embedder: Embedder, texts: Sequence[str]) -> Vectors:
    """Return one vector a text, in order.

    Raises:
        Capacity: the model is away, or changed between two calls.
    """
    values: list[Embedding] = []
    names: set[str] = set()
    for start in range(0, len(texts), _CHUNK):
        part = await embedder.embed(texts[start : start + _CHUNK])
        values.extend(part.values)
        names.add(part.embedder)
    if len(names) > 1:
        raise DependencyUnavailable(
            "The embedder changed during the call; try again.", retry_after=1.0, dependency="inference"
        )
    return Vectors(tuple(values), names.pop() if names else "")
