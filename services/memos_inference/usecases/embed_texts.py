"""Embed texts."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from memos_inference.domain.models import Embeddings, TokenUse, check_texts
from memos_inference.usecases.choose_embedder import ServedEmbedders
from memos_kernel.token_codes import no_tokens


@dataclass(frozen=True, slots=True)
class EmbedTexts:
    """Turns texts into vectors. Without `with_tokens` those of tokens are not made, whoever asks for them."""

    embedders: ServedEmbedders
    with_tokens: bool = True

    async def __call__(
        self, texts: Sequence[str], *, embedder: str = "", tokens: TokenUse = TokenUse.NONE
    ) -> Embeddings:
        """Return one vector a text, of the embedder that is named if it is served, else of the main one.

        Raises:
            MissingField, LimitExceeded: the batch or a text is empty or too large.
        """
        check_texts(texts)
        served = await self.embedders.named(embedder)
        if self.with_tokens or tokens is TokenUse.NONE:
            return await served.embed(texts, tokens=tokens)
        plain = await served.embed(texts)
        return replace(plain, texts=[replace(text, tokens=no_tokens()) for text in plain.texts])
