"""A prompt has room for so many tokens: the best memories that fit, not so many memories."""

from memos_kernel.cube import MemCube
from memos_storage.usecases.ranking.rank_candidates import StageResult

BYTES_A_TOKEN = 4
"""Of UTF-8; an estimate, for storage has no model. A text counts as at least one token."""


class Budget:
    """Takes texts in their order as long as they fit; one that does not is passed over. 0 tokens are no limit."""

    def __init__(self, tokens: int) -> None:
        self._limit = tokens
        self._left = tokens
        self._smallest = 0

    @property
    def spent(self) -> bool:
        """Whether nothing fits any more."""
        return bool(self._limit) and self._left == 0

    def takes(self, cube: MemCube) -> bool:
        """Return whether a cube fits, and take it."""
        if not self._limit:
            return True
        tokens = max(1, -(-len(cube.text.encode()) // BYTES_A_TOKEN))
        if tokens > self._left:
            self._smallest = min(self._smallest or tokens, tokens)
            return False
        self._left -= tokens
        return True

    def result(self, taken: int) -> StageResult:
        """Return what became of it."""
        reason = ""
        if not taken and self._smallest:
            reason = f"no memory fits into {self._limit} tokens; the smallest that was found has about {self._smallest}"
        return StageResult("token_budget", ran=True, reason=reason, candidates=taken)
