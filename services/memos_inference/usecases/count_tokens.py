"""Count tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_inference.domain import check_texts
from memos_inference.ports import Engine


@dataclass(frozen=True, slots=True)
class CountTokens:
    """Counts tokens as the generating model reads them; an empty text has none."""

    engine: Engine

    async def __call__(self, texts: Sequence[str]) -> Sequence[int]:
        """Return one count a text.

        Raises:
            MissingField, LimitExceeded: the batch is empty, or it or a text is too large.
        """
        check_texts(texts, empty_allowed=True)
        return await self.engine.count_tokens(texts)
