"""Embed texts."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_inference.domain.models import Embeddings, TokenUse, check_texts
from memos_inference.usecases.choose_embedder import ServedEmbedders


@dataclass(frozen=True, slots=True)
class EmbedTexts:
    """Turns texts into vectors."""

    embedders: ServedEmbedders

    async def __call__(
        self, texts: Sequence[str], *, embedder: str = "", tokens: TokenUse = TokenUse.NONE
    ) -> Embeddings:
        """Return one vector a text, of the embedder that is named if it is served, else of the main one.

        Raises:
            MissingField, LimitExceeded: the batch or a text is empty or too large.
        """
        check_texts(texts)
        return await (await self.embedders.named(embedder)).embed(texts, tokens=tokens)
