"""What the words of a statement tell: of whom it is, whether it is sure and holds, and whether it brings news."""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from memos_storage.adapters.terms import terms

_WORD = re.compile(r"[^\W\d_][\w'’.-]*")
_SENTENCE = re.compile(r"[.!?:;]\s*$")
_ENDS = re.compile(r"[.!?。！？]+(?=\s|$)")
_POSSESSIVE = re.compile(r"['’]s$")
_FLAGS = ("news", "hedged", "past", "added", "denied", "addressed", "first_person", "happened", "holds")


@dataclass(frozen=True, slots=True)
class Surface:
    """One statement.

    Attributes:
        terms: as the lexical index counts them.
        names: words written as names, folded.
        persons: words for persons that stand for others than the speaker, such as `sister`.
        numbers: as they are written.
        subject: terms of the name that it begins with; none if it begins otherwise.
        of_another: it begins with somebody else: `My sister ...`, `Tom's boss ...`.
        flags: which kinds of words of `words.toml` it has.
        words: how many.
        sentences: how many.
        exclaims: it has an exclamation mark.
    """

    terms: frozenset[str]
    names: frozenset[str]
    persons: frozenset[str]
    numbers: frozenset[str]
    subject: frozenset[str]
    of_another: bool
    flags: Mapping[str, bool]
    words: int
    sentences: int
    exclaims: bool


@lru_cache(maxsize=4_096)
def surface_of(text: str) -> Surface:
    """Return what the words of a text tell."""
    patterns = _patterns()
    names = _names(text, patterns["opening"], patterns["first_person"])
    return Surface(
        terms=frozenset(terms(text)),
        names=names,
        persons=frozenset(match.casefold() for match in patterns["person"].findall(text)),
        numbers=frozenset(match.casefold() for match in patterns["number"].findall(text)),
        subject=_subject(text, names),
        of_another=_of_another().match(text) is not None,
        flags={name: patterns[name].search(text) is not None for name in _FLAGS},
        words=len(text.split()),
        sentences=len(_ENDS.findall(text)),
        exclaims="!" in text,
    )


def _names(text: str, opening: re.Pattern[str], first_person: re.Pattern[str]) -> frozenset[str]:
    found = set()
    for match in _WORD.finditer(text):
        word = match[0]
        if not word[0].isupper() or first_person.fullmatch(word):
            continue
        begins = not match.start() or _SENTENCE.search(text, 0, match.start()) is not None
        if not (begins and opening.fullmatch(word)):
            found.add(_plain(word))
    return frozenset(found)


def _subject(text: str, names: frozenset[str]) -> frozenset[str]:
    first = _WORD.search(text)
    word = _plain(first[0]) if first is not None else ""
    return frozenset(terms(word)) if word in names else frozenset()


def _plain(word: str) -> str:
    return _POSSESSIVE.sub("", word).casefold().strip(".'’-")


@cache
def _patterns() -> dict[str, re.Pattern[str]]:
    return {name: _compiled(*_listed(name)) for name in _lists()}


@cache
def _of_another() -> re.Pattern[str]:
    words, _ = _listed("person")
    return re.compile(rf"\W*(?:my|our|his|her|their|\w+['’]s)\s+(?:\w+\s+)?(?:{words})\b", re.IGNORECASE)


def _compiled(words: str, unspaced: str) -> re.Pattern[str]:
    either = rf"\b(?:{words})\b" + (f"|{unspaced}" if unspaced else "")
    return re.compile(either, re.IGNORECASE)


def _listed(name: str) -> tuple[str, str]:
    entry = _lists()[name]
    return "|".join(part.strip() for part in entry["words"].split("|")), entry["unspaced"]


@cache
def _lists() -> dict[str, dict[str, str]]:
    return tomllib.loads((Path(__file__).with_name("words.toml")).read_text(encoding="utf-8"))
