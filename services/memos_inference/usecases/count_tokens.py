"""Count tokens."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_inference.domain.models import check_texts
from memos_inference.ports import Engine
from memos_kernel import limits


@dataclass(frozen=True, slots=True)
class CountTokens:
    """Counts tokens as the generating model reads them; an empty text has none.

    A text may be as long as the line that the longest memory becomes, which is more than a memory has itself.
    """

    engine: Engine

    async def __call__(self, texts: Sequence[str]) -> Sequence[int]:
        """Return one count a text.

        Raises:
            MissingField, LimitExceeded: the batch is empty, or it or a text is too large.
        """
        check_texts(texts, empty_allowed=True, limit=limits.LINE_BYTES)
        return await self.engine.count_tokens(texts)
