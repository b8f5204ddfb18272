"""The grammar of facts, read from `relations.toml` and `chatter.toml`, and how it is put into words."""

from __future__ import annotations

import functools
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent

_PRONOUNS = {
    "first": {"he": "I", "him": "me", "his": "my", "himself": "myself"},
    "she": {"he": "she", "him": "her", "his": "her", "himself": "herself"},
    "he": {"he": "he", "him": "him", "his": "his", "himself": "himself"},
}
# "me" where a template puts the subject behind a preposition or a verb with an object.
_OBJECT = re.compile(r"\b(by|to|for|of|from|with|gave|lend|lent|cost|calls?|frightens) I\b")
_CONTRACTIONS = tuple(
    (re.compile(pattern), short)
    for pattern, short in (
        (r"\bI am\b", "I'm"),
        (r"\bI have (?=\w+(?:ed|en)\b)", "I've "),
        (r"\bI will\b", "I'll"),
        (r"\bI would\b", "I'd"),
        (r"\b([Ii]t|[Hh]e|[Ss]he|[Tt]hat|[Nn]ame|[Tt]here) is\b", r"\1's"),
        (r"\b(do|does|did|is|was|has) not\b", r"\1n't"),
    )
)
_ARTICLE = re.compile(r"\ba\(n\) (?=(\W*\w))", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Relation:
    """One kind of fact. The texts are templates; see the head of `relations.toml`."""

    id: str
    value: str
    say: tuple[str, ...]
    ask: tuple[str, ...]
    embed: tuple[str, ...]
    when: tuple[str, ...]
    nouns: tuple[str, ...] | str
    group: str
    of_thing: bool


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom a fact is about. `name` is the third-person form ("Anna", "Anna's sister", "the office")."""

    name: str
    speaker: str | None
    first_person: str | None
    pronoun: str
    full_name: str | None = None

    @property
    def is_speaker(self) -> bool:
        """Whether the subject itself says "I"."""
        return self.first_person == "I"


@dataclass(frozen=True, slots=True)
class Fact:
    """A relation of a subject. `noun` is the relation's noun or verb, with the verb's past form."""

    relation: Relation
    noun: tuple[str, str]
    subject: Subject
    value: str

    @property
    def topic(self) -> tuple[str, str]:
        """What is told, apart from of whom."""
        return self.relation.id, self.noun[0]


@functools.cache
def relations() -> tuple[Relation, ...]:
    """All relations of `relations.toml`."""
    return tuple(_relation(entry) for entry in _load("relations.toml")["relation"])


def _relation(entry: dict[str, Any]) -> Relation:
    nouns = entry.get("nouns", ())
    return Relation(
        id=entry["id"],
        value=entry["value"],
        say=tuple(entry["say"]),
        ask=tuple(entry["ask"]),
        embed=tuple(entry["embed"]),
        when=tuple(entry.get("when", ())),
        nouns=nouns if isinstance(nouns, str) else tuple(nouns),
        group=entry.get("group", entry["id"]),
        of_thing=entry.get("subject") == "thing",
    )


@functools.cache
def chatter() -> dict[str, tuple[str, ...]]:
    """The lists of `chatter.toml` by name."""
    return {name: tuple(texts) for name, texts in _load("chatter.toml").items()}


@functools.cache
def forms(texts: tuple[str, ...], *, heldout: bool) -> tuple[str, ...]:
    """The question forms of one side of the split, without their mark."""
    return tuple(text.removeprefix("*") for text in texts if text.startswith("*") == heldout)


def render(template: str, fact: Fact, *, name: str, first: bool) -> str:
    """Fills a template with a fact.

    `first` renders it in the first person of the subject ("I", or "my sister"); otherwise `name` stands for the
    subject.
    """
    subject = fact.subject
    if first:
        name = subject.first_person or name
    speaks = first and subject.is_speaker
    pronouns = _PRONOUNS["first" if speaks else subject.pronoun]
    text = re.sub(r"<([^|>]*)\|([^>]*)>", r"\2" if speaks else r"\1", template)
    slots = {"S": name, "S's": "my" if speaks else f"{name}'s", "v": fact.value, **pronouns}
    slots["n"], slots["n:ed"] = fact.noun
    text = re.sub(r"\{([^}]+)\}", lambda match: slots[match.group(1)], text)
    if speaks:
        text = _OBJECT.sub(r"\1 me", text)
    return _ARTICLE.sub(lambda match: "an " if match.group(1).lower() in "aeiou" else "a ", text)


def contracted(text: str) -> str:
    """`text` as it is spoken: "I'm", "doesn't", "her name's"."""
    for pattern, short in _CONTRACTIONS:
        text = pattern.sub(short, text)
    return text


def capitalised(text: str, *, keep: str = "") -> str:
    """`text` with a capital first letter, unless it begins with the value `keep`, which is quoted verbatim."""
    return text if keep and text.startswith(keep) else text[:1].upper() + text[1:]


def _load(name: str) -> dict[str, Any]:
    with (HERE / name).open("rb") as file:
        return tomllib.load(file)
