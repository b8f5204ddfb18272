"""Describe the models."""

from dataclasses import dataclass

from memos_inference.domain.models import EmbedderDescription, EngineDescription
from memos_inference.ports import Cache, Copies, Embedder, Engine
from memos_inference.usecases.choose_embedder import ServedEmbedders
from memos_kernel.speed import Speed


@dataclass(frozen=True, slots=True)
class DescribeModels:
    """Says which models are loaded and what they can do."""

    engine: Engine
    embedder: Embedder
    caches: Copies[Cache]

    async def __call__(self) -> tuple[EngineDescription, EmbedderDescription, Speed | None]:
        """Return what the generating model and the embedder are, and how long caches take to come, by their bytes."""
        return await self.engine.describe(), await self.embedder.describe(), self.caches.fetching


@dataclass(frozen=True, slots=True)
class DescribeEmbedder:
    """Says which embedder answers to an id, and which one is to come."""

    embedders: ServedEmbedders

    async def __call__(self, id: str) -> tuple[EmbedderDescription, str]:
        """Return the embedder, and the id of the one that all texts are to have vectors of.

        Raises:
            DependencyUnavailable: one of them is not loaded.
        """
        chosen = await self.embedders.named(id)
        return await chosen.describe(), await self.embedders.target()
