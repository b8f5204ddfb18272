"""What an embedder makes of a text, and what it reads of a cube."""

from collections.abc import Sequence
from dataclasses import dataclass

from memos_kernel import limits
from memos_kernel.cube import MemCube, SourceSpan
from memos_kernel.token_codes import TokenCodes

_SPEAKERS = 3
"""Most speakers that are named; more would leave no room for what they say."""


@dataclass(frozen=True, slots=True)
class Embedding:
    """The vector of one text: float32, L2-normalised. `tokens` are those of its tokens, if they were asked for."""

    values: Sequence[float]
    tokens: TokenCodes | None = None


USERS = frozenset({"user", "human", "me", "customer"})
ASSISTANTS = frozenset({"assistant", "ai", "bot", "chatbot", "agent", "model", "tool", "system"})
"""What the two sides of a chat are called that have no names."""
_UNNAMED = USERS | ASSISTANTS


def is_named(source: SourceSpan) -> bool:
    """Return whether a speaker has a name; one that is only called by the role tells nothing."""
    return bool(source.speaker) and source.speaker != source.role and source.speaker.casefold() not in _UNNAMED


def embedded_text(cube: MemCube, text: str | None = None) -> str:
    """Return what an embedder reads of a cube: its text, or the one given, behind the name of who said it.

    Who speaks is half of what a message of a conversation means: `I moved to Oslo` is about its speaker.
    """
    said = cube.text if text is None else text
    speakers = list(dict.fromkeys(source.speaker for source in cube.sources if is_named(source)))
    if not speakers:
        return said
    whole = f"{', '.join(speakers[:_SPEAKERS])}: {said}".encode()
    return whole[: limits.TEXT_BYTES].decode(errors="ignore")
