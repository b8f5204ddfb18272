"""Embed texts."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_inference.domain import Embeddings, check_texts
from memos_inference.ports import Embedder


@dataclass(frozen=True, slots=True)
class EmbedTexts:
    """Turns texts into vectors."""

    embedder: Embedder

    async def __call__(self, texts: Sequence[str]) -> Embeddings:
        """Return one vector a text.

        Raises:
            MissingField, LimitExceeded: the batch or a text is empty or too large.
        """
        check_texts(texts)
        return await self.embedder.embed(texts)
