"""What a memory says, as facts that questions can be asked about: the grammar of the tiny model, read backwards.

Every way of saying something that the grammar knows is rendered with marks in the place of subject, value and noun, and
looked for in the text. Several ways may fit one text. Which of them are right is for the model to say, which is asked
with the memory before it (see `reader`); so a wrong guess here costs time and nothing else.
"""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass

from memos_inference.tiny_model.grammar import Fact, Relation, Subject, contracted, relations, render
from memos_inference.tiny_model.words import real_verbs

_SUBJECT, _VALUE, _NOUN, _PAST = "\ue000", "\ue001", "\ue002", "\ue003"
_MARKS = f"[{_SUBJECT}{_VALUE}{_NOUN}{_PAST}]"
_MARKED = {
    _SUBJECT: ("subject", r"\w[\w'-]*(?: [\w'-]+){0,3}?"),
    _VALUE: ("value", r".+?"),
    _PAST: ("past", r"[\w-]+"),
}
_END = r"(?=[.!?,;]|$| \()"
_MOST = 12
"""Ways of saying that are tried of one text, those with the longest words of their own first."""


@dataclass(frozen=True, slots=True)
class _Saying:
    """One way of saying a relation. `key` are its longest words in a row, which a text has to hold."""

    relation: Relation
    text: str
    first: bool
    key: str


def facts_in(text: str, *, speaker: str = "") -> list[Fact]:
    """Return facts that a text may state, the likeliest first.

    Args:
        text: of a memory.
        speaker: who says it; without one, nothing is said in the first person.
    """
    low = text.lower()
    found: list[Fact] = []
    for saying in _sayings():
        if saying.key not in low or (saying.first and not speaker):
            continue
        match = _pattern(saying).search(text)
        fact = None if match is None else _fact(saying, match.groupdict(), speaker)
        if fact is not None and fact not in found:
            found.append(fact)
        if len(found) == _MOST:
            break
    return found


@functools.cache
def _sayings() -> list[_Saying]:
    rendered: dict[tuple[str, str, bool], _Saying] = {}
    for relation in relations():
        for say in relation.say:
            for first in (False, True):
                for pronoun in ("he", "she"):
                    subject = Subject(_SUBJECT, _SUBJECT, "I", pronoun)
                    text = render(say, Fact(relation, (_NOUN, _PAST), subject, _VALUE), name=_SUBJECT, first=first)
                    for said in (text, contracted(text)):
                        key = max(re.split(_MARKS, re.sub(rf"\ban? (?={_MARKS})", "", said)), key=len).strip().lower()
                        rendered[relation.id, said, first] = _Saying(relation, said, first, key)
    return sorted(rendered.values(), key=lambda saying: -len(saying.key))


@functools.cache
def _pattern(saying: _Saying) -> re.Pattern[str]:
    nouns = saying.relation.nouns
    closed = isinstance(nouns, tuple) and nouns
    noun = "|".join(sorted(map(re.escape, nouns), key=len, reverse=True)) if closed else r"[\w-]+"
    groups = {**_MARKED, _NOUN: ("noun", noun)}
    seen: set[str] = set()
    parts = []
    for part in re.split(f"({_MARKS})", saying.text):
        if part not in groups:
            parts.append(re.sub(r"(?:^|(?<=\\ ))an?\\ ", r"an?\\ ", re.escape(part)))
            continue
        name, pattern = groups[part]
        parts.append(f"(?P={name})" if name in seen else f"(?P<{name}>{pattern})")
        seen.add(name)
    return re.compile(rf"(?:^|\W){''.join(parts)}{_END}", re.IGNORECASE)


def _fact(saying: _Saying, found: dict[str, str | None], speaker: str) -> Fact | None:
    """Return the fact of a match; None if a question about it could not be put into words."""
    value, past = found.get("value"), found.get("past") or ""
    noun = found.get("noun") or _stems().get(past.lower(), "")
    if not value or (saying.relation.nouns and not noun):
        return None
    name = speaker if saying.first else found.get("subject") or ""
    if not name or (saying.relation.nouns == "@verb" and not past):
        return None
    return Fact(saying.relation, (noun, past), _subject(name), value)


def _subject(name: str) -> Subject:
    return Subject(name, name, "I", "he") if name == "user" else Subject(name, None, None, "he")


@functools.cache
def _stems() -> dict[str, str]:
    return {past: stem for stem, past in real_verbs()}
