"""Describe the models."""

from dataclasses import dataclass

from memos_inference.domain import EmbedderDescription, EngineDescription
from memos_inference.ports import Embedder, Engine


@dataclass(frozen=True, slots=True)
class DescribeModels:
    """Says which models are loaded and what they can do."""

    engine: Engine
    embedder: Embedder

    async def __call__(self) -> tuple[EngineDescription, EmbedderDescription]:
        """Return what the generating model and the embedder are."""
        return await self.engine.describe(), await self.embedder.describe()
