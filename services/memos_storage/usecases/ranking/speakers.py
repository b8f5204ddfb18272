"""Who asks what somebody did means what that person said of it: `What did Nadia paint?` is answered by Nadia.

Of several who are named the first is the one who did it: `What did Nadia show Tom?`.
"""

import re
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass
from itertools import dropwhile, takewhile

import numpy as np

from memos_storage.domain.fusion import SPEAKER
from memos_storage.domain.pool import NOBODY, Pool, filled
from memos_storage.ports import Asked

_UNSPACED = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+")
_SHORTEST = 2
_COMMON_NAMES = """
    an art april august bill chase do drew faith frank grace hope hunter iris jack joy june lee mark may miles so pat
    ray rich rob rose sky sue summer van will
"""
_COMMON = frozenset(_COMMON_NAMES.split())
"""Names that are also words: they count as names where the query writes them with a capital, but not first of all."""

NAMED_LATER = 0.4
"""How much who is named behind somebody else counts, unless both are named alike: `Nadia and Tom`."""
_AND = re.compile(r"\s*(?:,?\s*(?:and|or)\b|[&,/、和与跟及或])\s*", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SpeakerStage:
    """Marks the turns of speakers that the query names."""

    name: str = "speaker"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        speakers = ["" if place == NOBODY else pool.seen.speakers[place] for place in pool.places]
        if named := _named(set(speakers) - {""}, unicodedata.normalize("NFKC", asked.text)):
            matches = np.array([named.get(speaker, 0.0) for speaker in speakers])
            pool.features[SPEAKER] = filled(matches, pool.known)
        return ""


def _named(speakers: Set[str], text: str) -> dict[str, float]:
    """Return the speakers that a query names, and how much each counts."""
    said = list(_WORD.finditer(text))
    written = {match[0].casefold() for match in said[1:] if match[0][0].isupper()}
    words = [match for match in said if match[0].casefold() not in _COMMON - written]
    mentions = {speaker: span for speaker in speakers if (span := _mention(speaker, words, text)) is not None}
    found, counts, end = dict[str, float](), 1.0, 0
    for speaker, span in sorted(mentions.items(), key=lambda item: item[1]):
        if found and span[0] >= end and not _AND.fullmatch(text, end, span[0]):
            counts = NAMED_LATER
        found[speaker], end = counts, max(end, span[1])
    return found


def _mention(speaker: str, words: Sequence[re.Match[str]], text: str) -> tuple[int, int] | None:
    """Return where a query first has some of a speaker's names, or where words are not spaced the whole of it."""
    name = unicodedata.normalize("NFKC", speaker)
    parts = {part for part in _WORD.findall(name) if len(part) >= _SHORTEST}

    def is_part(match: re.Match[str]) -> bool:
        return match[0].casefold() in parts

    if named := list(takewhile(is_part, dropwhile(lambda match: not is_part(match), words))):
        return named[0].start(), named[-1].end()
    start = -1 if name.isascii() else text.casefold().find(name)
    return None if start < 0 else (start, start + len(name))
