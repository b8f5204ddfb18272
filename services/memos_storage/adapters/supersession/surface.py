"""What the words of a statement tell: of whom it is, whether it is sure and holds, and whether it brings news."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from memos_storage.adapters.terms import terms

_WORD = re.compile(r"[^\W\d_][\w'’.-]*")
_NUMBERED = re.compile(r"\W*(?:the\s+|our\s+|my\s+)?([^\W\d_]+)[\s-]+(?:no\.?\s*|#)?(\d[\d.]*)\b", re.IGNORECASE)
_OPENED = re.compile(
    r"\W*(?:the|an?|our|my|his|her|their|your)\s+(?:\w+\s+of\s+(?:the\s+)?|(?-i:(?=[A-Z])))|\W*(?:\w+\s+of\s+)",
    re.IGNORECASE,
)
_PLACED = re.compile(r"\b(?:at|for|in|near)\s+(?:the\s+)?([A-Z][\w'’-]*)")
_TOKEN = re.compile(r"\w+")
_SAID = re.compile(r"['’](?:s|m|re)\b|(?<!\w)-(?=\w)|(?<=\w)-(?!\w)|\w+|[^\w\s.,;:!?\"'’‘“”()…、。，；：！？「」–—-]")
"""A word, or a sign that is no punctuation: `C#`, `-5`, `$5`, `A+`, an emoji."""
_EMPTY = frozenset(("a", "an", "the", "is", "are", "am", "be", "being", "that", "really", "very", "just")) | {
    mark + end for mark in "'’" for end in ("s", "m", "re")
}
_BETWEEN = re.compile(r"\|(?![^(]*\))")
"""A bar that is in no brackets."""
_SENTENCE = re.compile(r"[.!?:;]\s*$")
_ENDS = re.compile(r"[.!?]+(?=\s|$)|[。！？]+")
_POSSESSIVE = re.compile(r"['’]s$")
_FLAGS = ("news", "hedged", "past", "added", "denied", "addressed", "first_person", "happened", "holds")


@dataclass(frozen=True, slots=True)
class Surface:
    """One statement.

    Attributes:
        terms: as the lexical index counts them.
        said: all words in their order, by their stems, but for those that say nothing by themselves, such as `is`, and
            the signs between them, such as `$`.
        names: words written as names, folded.
        persons: words for persons that stand for others than the speaker, such as `sister`.
        numbers: as they are written.
        subject: terms of the name that it begins with, or after words such as `the` and `the sister of`; none if it
            begins otherwise.
        of: the subject stands behind `of`, as in `the sister of Nora`.
        places: terms of the names behind words such as `at`.
        numbered: word and number that it begins with, such as `heron 7` or `the line 4`; empty if it begins otherwise.
        of_another: it begins with somebody else: `My sister ...`, `Tom's boss ...`.
        flags: which kinds of words of `words.toml` it has.
        words: how many.
        sentences: how many.
        exclaims: it has an exclamation mark.
    """

    terms: frozenset[str]
    said: tuple[str, ...]
    names: frozenset[str]
    persons: frozenset[str]
    numbers: frozenset[str]
    subject: frozenset[str]
    of: bool
    places: frozenset[str]
    numbered: tuple[str, str]
    of_another: bool
    flags: Mapping[str, bool]
    words: int
    sentences: int
    exclaims: bool


@lru_cache(maxsize=4_096)
def surface_of(text: str) -> Surface:
    """Return what the words of a text tell."""
    kinds, words = _kinds(), frozenset(_TOKEN.findall(text.casefold()))
    names = _names(text, kinds["opening"], kinds["first_person"])
    opened = _OPENED.match(text)
    opening = "" if opened is None else opened[0]
    return Surface(
        terms=frozenset(terms(text)),
        said=_said(text),
        names=names,
        persons=kinds["person"].found(text, words),
        numbers=kinds["number"].found(text, words),
        subject=_subject(text[len(opening) :], names),
        of=" of " in opening.casefold(),
        places=frozenset(term for name in _PLACED.findall(text) for term in terms(name)),
        numbered=_numbered(text),
        of_another=_of_another().match(text) is not None,
        flags={name: kinds[name].is_in(text, words) for name in _FLAGS},
        words=len(text.split()),
        sentences=len(_ENDS.findall(text)),
        exclaims="!" in text,
    )


def first_name(text: str) -> str:
    """Return the first name in a text with all its words, such as `Kestrel Labs`; empty if it has none."""
    kinds = _kinds()
    names = _names(text, kinds["opening"], kinds["first_person"])
    found: list[str] = []
    end = 0
    for match in _WORD.finditer(text):
        word = _POSSESSIVE.sub("", match[0]).strip(".-'’")
        is_name = _plain(match[0]) in names and match[0][0].isupper() and not kinds["opening"].is_whole(word)
        if is_name and (not found or text[end : match.start()] == " "):
            found.append(word)
            end = match.end()
        if found and (not is_name or word != match[0]):  # a point or a possessive ends a name
            break
    return " ".join(found)


def _names(text: str, opening: "_Kind", first_person: "_Kind") -> frozenset[str]:
    found = set()
    for match in _WORD.finditer(text):
        word = match[0]
        if not word[0].isupper() or first_person.is_whole(word):
            continue
        begins = not match.start() or _SENTENCE.search(text, 0, match.start()) is not None
        if not (begins and opening.is_whole(word)):
            found.add(_plain(word))
    return frozenset(found)


def _said(text: str) -> tuple[str, ...]:
    """Return what the lexical index makes of each word, and the words that it leaves out, such as `under`."""
    found = []
    for word in _SAID.findall(text.casefold()):
        if word not in _EMPTY:
            found += terms(word) or [word]
    return tuple(found)


def _subject(told: str, names: frozenset[str]) -> frozenset[str]:
    first = _WORD.search(told)
    word = _plain(first[0]) if first is not None else ""
    return frozenset(terms(word)) if word in names else frozenset()


def _numbered(text: str) -> tuple[str, str]:
    found = _NUMBERED.match(text)
    return ("", "") if found is None else (found[1].casefold(), found[2])


def _plain(word: str) -> str:
    return _POSSESSIVE.sub("", word).casefold().strip(".'’-")


@dataclass(frozen=True, slots=True)
class _Kind:
    """A kind of words: plain ones, which are looked up, and patterns of others, which takes longer."""

    words: frozenset[str]
    pattern: re.Pattern[str] | None

    def is_in(self, text: str, words: frozenset[str]) -> bool:
        """Return whether a text has one; `words` are all of its words, folded."""
        return not self.words.isdisjoint(words) or (self.pattern is not None and self.pattern.search(text) is not None)

    def is_whole(self, word: str) -> bool:
        """Return whether a word is one."""
        matched = self.pattern is not None and self.pattern.fullmatch(word) is not None
        return matched or word.casefold() in self.words

    def found(self, text: str, words: frozenset[str]) -> frozenset[str]:
        """Return those that a text has, folded."""
        matches = () if self.pattern is None else self.pattern.findall(text)
        return self.words & words | {match.casefold() for match in matches}


@cache
def _kinds() -> dict[str, _Kind]:
    return {name: _kind(*_listed(name)) for name in _lists()}


def _kind(alternatives: list[str], unspaced: str) -> _Kind:
    plain = frozenset(one for one in alternatives if _TOKEN.fullmatch(one))
    others = "|".join(one for one in alternatives if one not in plain)
    patterns = [*([rf"\b(?:{others})\b"] if others else []), *([unspaced] if unspaced else [])]
    return _Kind(plain, re.compile("|".join(patterns), re.IGNORECASE) if patterns else None)


@cache
def _of_another() -> re.Pattern[str]:
    words = "|".join(_listed("person")[0])
    return re.compile(rf"\W*(?:my|our|his|her|their|\w+['’]s)\s+(?:\w+\s+)?(?:{words})\b", re.IGNORECASE)


def _listed(name: str) -> tuple[list[str], str]:
    """Return the alternatives of a kind; those in brackets belong to one."""
    entry = _lists()[name]
    return [part.strip() for part in _BETWEEN.split(entry["words"])], entry["unspaced"]


@cache
def _lists() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(__file__).with_name("words.toml")).read_text(encoding="utf-8"))
