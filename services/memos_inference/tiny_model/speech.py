"""How people tell facts in a chat, and how others ask about them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from memos_inference.tiny_model.grammar import Fact, Subject, capitalised, chatter, contracted, forms, render
from memos_inference.tiny_model.words import Vocabulary
from memos_kernel.prompt import told


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer.

    `kind` is "value", "date", "unknown_relation" (the subject is known, the relation is not told),
    "unknown_subject" (the relation is told of others only) or "unknown" (neither is told).
    """

    text: str
    answer: str
    kind: str


class Speech:
    """Puts facts into words. `cast` are the people of the episode, who also appear in the chit-chat."""

    def __init__(self, vocabulary: Vocabulary, *, heldout: bool) -> None:
        self._vocabulary = vocabulary
        self._heldout = heldout

    def line(
        self,
        rng: random.Random,
        fact: Fact,
        cast: Sequence[Subject],
        *,
        chat: float,
        extra: Fact | None = None,
        date: str,
    ) -> str:
        """A memory line that tells `fact`, with chit-chat around it at the rate `chat`, and then `extra`.

        `date` is empty if the line has none.
        """
        subject = fact.subject
        first = subject.speaker is not None and (subject.name == "user" or rng.random() < 0.75)
        text = self._clause(rng, fact, first=first)
        if first and text.startswith("I ") and rng.random() < 0.08:
            # As people write in a chat: "Bought a lamp!"
            text = capitalised(text.removeprefix("I "))
        if rng.random() < 0.4:
            text = contracted(text)
        if rng.random() < chat:
            text = self._with_chat(rng, text, fact.value, cast, reported=not first)
        else:
            text = capitalised(text, keep=fact.value) + rng.choice(".....!")
        if extra is not None:
            text += f" {capitalised(self._clause(rng, extra, first=first), keep=extra.value)}."
        speaker = subject.speaker if first else self._speaker(rng, cast)
        return told(text, speaker=speaker or "", date=date)

    def small_talk(self, rng: random.Random, cast: Sequence[Subject], *, date: str) -> str:
        """A memory line that tells nothing."""
        text = " ".join(self._fill(rng, "sentences", cast) for _ in range(rng.choice((1, 2, 2, 3))))
        return told(text, speaker=self._speaker(rng, cast) or "", date=date)

    def question(self, rng: random.Random, fact: Fact, *, answer: str, kind: str, when: bool = False) -> Question:
        """A question about `fact` (or, with `when`, about its date) in a form of this side of the split."""
        relation, lists = fact.relation, chatter()
        if when:
            template = rng.choice(forms(relation.when, heldout=self._heldout))
        elif rng.random() < 0.25:
            # A clause is open to both sides: its wrapper decides.
            wrapper = rng.choice(forms(lists["wrappers"], heldout=self._heldout))
            template = wrapper.replace("{e}", rng.choice(relation.embed))
        else:
            template = rng.choice(forms(relation.ask, heldout=self._heldout))
        # By the first name, which every mention has: a last name that the memories lack could be somebody else's.
        text = capitalised(render(template, fact, name=fact.subject.name, first=fact.subject.name == "user"))
        if rng.random() < 0.08:
            text = rng.choice(forms(lists["prefixes"], heldout=self._heldout)) + text[0].lower() + text[1:]
        elif rng.random() < 0.05:
            text = text[0].lower() + text[1:].rstrip("?.")
        return Question(text, answer, kind)

    def _clause(self, rng: random.Random, fact: Fact, *, first: bool) -> str:
        return render(rng.choice(fact.relation.say), fact, name=self._mention(rng, fact.subject), first=first)

    def _with_chat(self, rng: random.Random, text: str, value: str, cast: Sequence[Subject], *, reported: bool) -> str:
        lead = ""
        if rng.random() < 0.6:
            lead = self._fill(rng, "reports" if reported and rng.random() < 0.5 else "leads", cast)
        text = capitalised(lead + text, keep=value)
        if rng.random() < 0.35:
            text += self._fill(rng, "tails", cast)
        text += rng.choice("...!")
        if rng.random() < 0.35:
            text = f"{self._fill(rng, 'sentences', cast)} {text}"
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
            text += f" {self._fill(rng, 'sentences', cast)}"
        return text

    def _fill(self, rng: random.Random, kind: str, cast: Sequence[Subject]) -> str:
        """One of the texts of `chatter.toml`, with its slots filled."""
        text = rng.choice(chatter()[kind])
        while "{" in text:
            text = text.replace("{w}", self._vocabulary.word(rng), 1)
            text = text.replace("{p}", self._someone(rng, cast), 1)
            text = text.replace("{c}", self._vocabulary.value("city", rng), 1)
        return text

    def _someone(self, rng: random.Random, cast: Sequence[Subject]) -> str:
        names = [subject.name for subject in cast if subject.is_speaker and subject.name != "user"]
        return rng.choice(names) if names and rng.random() < 0.5 else self._vocabulary.first_name(rng)

    def _speaker(self, rng: random.Random, cast: Sequence[Subject]) -> str | None:
        draw = rng.random()
        if draw < 0.35:
            return None
        return "user" if draw < 0.5 else self._someone(rng, cast)

    def _mention(self, rng: random.Random, subject: Subject) -> str:
        return subject.full_name if subject.full_name and rng.random() < 0.6 else subject.name
