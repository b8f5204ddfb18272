"""Who asks what somebody did means what that person said of it: `What did Nadia paint?` is answered by Nadia."""

import re
import unicodedata
from dataclasses import dataclass

import numpy as np

from memos_storage.domain.fusion import SPEAKER
from memos_storage.domain.pool import NOBODY, Pool
from memos_storage.ports import Asked

_WORD = re.compile(r"[^\W_]+")
_SHORTEST = 2


@dataclass(frozen=True, slots=True)
class SpeakerStage:
    """Marks the turns of speakers that the query names."""

    name: str = "speaker"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        text = unicodedata.normalize("NFKC", asked.text).casefold()
        words = frozenset(_WORD.findall(text))
        speakers = ["" if place == NOBODY else pool.seen.speakers[place] for place in pool.places]
        named = {speaker for speaker in set(speakers) - {""} if _is_named(speaker, words, text)}
        if named:
            pool.features[SPEAKER] = np.array([float(speaker in named) for speaker in speakers])
        return ""


def _is_named(speaker: str, words: frozenset[str], text: str) -> bool:
    """Return whether a query has one of a speaker's names, or where words are not spaced the whole of it."""
    parts = {part for part in _WORD.findall(speaker) if len(part) >= _SHORTEST}
    return bool(parts & words) or (not speaker.isascii() and speaker in text)
