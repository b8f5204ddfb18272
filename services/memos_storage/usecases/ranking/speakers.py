"""Who asks what somebody did means what that person said of it: `What did Nadia paint?` is answered by Nadia."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np

from memos_storage.domain.fusion import SPEAKER
from memos_storage.domain.pool import NOBODY, Pool, filled
from memos_storage.ports import Asked

_WORD = re.compile(r"[^\W_]+")
_SHORTEST = 2
_COMMON_NAMES = """
    an art april august bill chase do drew faith frank grace hope hunter iris jack joy june lee mark may miles so pat
    ray rich rob rose sky sue summer van will
"""
_COMMON = frozenset(_COMMON_NAMES.split())
"""Names that are also words: they count as names where the query writes them with a capital, but not first of all."""


@dataclass(frozen=True, slots=True)
class SpeakerStage:
    """Marks the turns of speakers that the query names."""

    name: str = "speaker"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        text = unicodedata.normalize("NFKC", asked.text)
        said = _WORD.findall(text)
        written = {word.casefold() for word in said[1:] if word[0].isupper()}
        words = frozenset(word.casefold() for word in said) - (_COMMON - written)
        speakers = ["" if place == NOBODY else pool.seen.speakers[place] for place in pool.places]
        named = {speaker for speaker in set(speakers) - {""} if _is_named(speaker, words, text.casefold())}
        if named:
            matches = np.array([float(speaker in named) for speaker in speakers])
            pool.features[SPEAKER] = filled(matches, pool.known)
        return ""


def _is_named(speaker: str, words: frozenset[str], text: str) -> bool:
    """Return whether a query has one of a speaker's names, or where words are not spaced the whole of it."""
    name = unicodedata.normalize("NFKC", speaker)
    parts = {part for part in _WORD.findall(name) if len(part) >= _SHORTEST}
    return bool(parts & words) or (not name.isascii() and name in text)
