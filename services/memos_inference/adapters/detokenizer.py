"""Text from tokens, piece by piece."""

from collections.abc import Callable, Sequence

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class Detokenizer:
    """Turns a growing list of tokens into pieces of text that join to the whole and split no character.

    A token's text depends on the token before it (spaces), and a character may be spread over several tokens. So each
    piece is what the text grows by when the last piece's tokens are decoded with the new ones, and it is held back
    while it ends inside a character.
    """

    def __init__(self, decode: Callable[[Sequence[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._context = 0
        self._given = 0

    def push(self, token: int) -> str:
        """Add a token and return what it adds to the text; empty while a character is incomplete."""
        self._ids.append(token)
        return self._grown(final=False)

    def flush(self) -> str:
        """Return what was held back."""
        return self._grown(final=True)

    def _grown(self, *, final: bool) -> str:
        before = self._decode(self._ids[self._context : self._given])
        after = self._decode(self._ids[self._context :])
        if len(after) <= len(before) or (after.endswith(_INCOMPLETE) and not final):
            return ""
        self._context, self._given = self._given, len(self._ids)
        return after[len(before) :]
