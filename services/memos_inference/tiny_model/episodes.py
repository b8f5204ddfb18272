"""Generated conversations with questions: what the tiny model is trained and examined on.

An episode is a list of memory lines, as the prompt shows them, and questions about them. Everything follows
from the random generator that is passed in, so an episode can be drawn again from its seed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import date, timedelta

from memos_inference.tiny_model.grammar import (
    Relation,
    Subject,
    capitalised,
    chatter,
    forms,
    relations,
    render,
)
from memos_inference.tiny_model.words import Vocabulary

UNKNOWN = "I do not know."
INSTRUCTION = f'Answer from the memories. Say "{UNKNOWN}" when they do not tell.'

_KIN = ("sister", "brother", "mother", "father", "son", "daughter", "cousin", "aunt", "uncle", "friend", "neighbour")
_FEMALE_KIN = ("sister", "mother", "daughter", "aunt")


@dataclass(frozen=True, slots=True)
class Question:
    """A question with its answer.

    `kind` is "value", "date", "unknown_relation" (the subject is known, the relation is not told),
    "unknown_subject" (the relation is told of others only) or "unknown" (neither is told).
    """

    text: str
    answer: str
    kind: str


@dataclass(frozen=True, slots=True)
class Episode:
    """Memory lines without the leading dash, and the questions about them."""

    memories: tuple[str, ...]
    questions: tuple[Question, ...]


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


@dataclass(slots=True)
class _Draft:
    """An episode in the making."""

    facts: list[Fact] = field(default_factory=list)
    cast: list[Subject] = field(default_factory=list)
    topics: list[tuple[Relation, tuple[str, str]]] = field(default_factory=list)


def system_text(memories: tuple[str, ...] | list[str]) -> str:
    """The system message that carries the memories."""
    lines = [f"- {memory}" for memory in memories] or ["(none)"]
    return "\n".join([INSTRUCTION, "Memories:", *lines])


class EpisodeMaker:
    """Draws episodes from one side of the split: `heldout` applies to words, names and question forms alike."""

    def __init__(self, *, heldout: bool) -> None:
        self._heldout = heldout
        self._vocabulary = Vocabulary(heldout=heldout)

    def draw(self, rng: random.Random, *, memories: int, shared: bool, chat: float = 0.5) -> Episode:
        """Draws an episode with `memories` lines.

        `shared` lets several subjects share the relations that are told, so that only relation and subject
        together lead to an answer. `chat` is how often a line has chit-chat around its fact.
        """
        draft = self._draft(rng, memories, shared=shared)
        dated = rng.random() < 0.85
        days = self._days(rng, max(memories, 1))
        facts = list(draft.facts)
        rng.shuffle(facts)
        told: list[Fact] = []
        lines: list[str] = []
        questions: list[Question] = []
        for fact, day in zip(facts[:memories], days, strict=False):
            prefix = f"{day} " if dated else ""
            if memories > 2 and rng.random() < 0.06:
                lines.append(prefix + self._small_talk(rng, draft))
                questions.append(self._ask(rng, fact, answer=UNKNOWN, kind="unknown"))
                continue
            told.append(fact)
            line, extra = self._line(rng, fact, draft, chat)
            lines.append(prefix + line)
            if extra is not None:
                told.append(extra)
                questions.append(self._ask(rng, extra, answer=extra.value, kind="value"))
            questions.append(self._ask(rng, fact, answer=fact.value, kind="value"))
            if dated and fact.relation.when and rng.random() < 0.6:
                questions.append(self._ask(rng, fact, answer=day, kind="date", when=True))
        if rng.random() < 0.06 and lines and questions[-1].kind == "value":
            lines.insert(0, self._outdated(rng, facts[len(lines) - 1], draft, dated=dated))
        for _ in range(max(1, round(len(lines) * rng.choice((0.25, 0.5))))):
            questions.append(self._unknown(rng, told, draft))
        rng.shuffle(questions)
        return Episode(tuple(lines), tuple(questions))

    # -- what is told ---------------------------------------------------------------------------------------

    def _draft(self, rng: random.Random, count: int, *, shared: bool) -> _Draft:
        """Chooses subjects and relations, and pairs them into `count` facts (one for an empty memory)."""
        count = max(count, 1)
        of_thing = rng.random() < 0.05
        draft = _Draft()
        width = rng.choice((1, 1, 2, 2, 3)) if shared else count
        people = -(-count // width) if shared else rng.randint(1, count)
        if shared and count > 1:
            people = max(people, 2)
        draft.cast = self._cast(rng, people, of_thing=of_thing)
        draft.topics = self._topics(rng, width, of_thing=of_thing)
        pairs = [(subject, topic) for topic in draft.topics for subject in draft.cast]
        if not shared:
            pairs = [(rng.choice(draft.cast), topic) for topic in draft.topics]
        elif len(pairs) > count:
            pairs = pairs[:count]
        for subject, (relation, noun) in pairs:
            draft.facts.append(Fact(relation, noun, subject, self._vocabulary.value(relation.value, rng)))
        return draft

    def _cast(self, rng: random.Random, count: int, *, of_thing: bool) -> list[Subject]:
        cast: list[Subject] = []
        names: set[str] = set()
        alike = rng.random() < 0.2
        while len(cast) < count:
            if of_thing:
                name = f"the {rng.choice(chatter()['adjectives'])}{rng.choice(chatter()['things'])}"
                subject = Subject(name, None, None, "he")
            else:
                subject = self._person(rng, like=cast[0].name if alike and cast else None)
            if subject.name not in names:
                names.add(subject.name)
                cast.append(subject)
        if not of_thing and rng.random() < 0.2:
            cast[rng.randrange(count)] = Subject("user", "user", "I", "he")
        return cast

    def _person(self, rng: random.Random, *, like: str | None) -> Subject:
        name = self._vocabulary.first_name(rng)
        if like:
            # Names that begin alike: only a model that reads the whole name tells them apart.
            name = like[:3] + self._vocabulary.pseudo(rng)
        pronoun = rng.choice(("he", "she"))
        if rng.random() < 0.12:
            kin = rng.choice(_KIN)
            pronoun = "she" if kin in _FEMALE_KIN else "he"
            return Subject(f"{name}'s {kin}", name, f"my {kin}", pronoun)
        full = f"{name} {self._vocabulary.proper(rng)}" if rng.random() < 0.15 else None
        return Subject(name, name, "I", pronoun, full)

    def _topics(
        self, rng: random.Random, count: int, *, of_thing: bool, avoid: tuple[str, ...] = ()
    ) -> list[tuple[Relation, tuple[str, str]]]:
        """Relations with their nouns, no two of one group, unless they differ in their noun."""
        choices = [relation for relation in relations() if relation.of_thing == of_thing]
        topics: list[tuple[Relation, tuple[str, str]]] = []
        groups, seen = set(avoid), set()
        while len(topics) < count:
            relation = rng.choice(choices)
            siblings = [topic for topic in topics if len(topic[0].nouns) > 3]
            if siblings and rng.random() < 0.3:
                relation = rng.choice(siblings)[0]
            elif relation.group in groups and len(groups) < 12 and not of_thing:
                continue
            noun = self._noun(rng, relation)
            if (relation.id, noun) not in seen:
                seen.add((relation.id, noun))
                groups.add(relation.group)
                topics.append((relation, noun))
        return topics

    def _noun(self, rng: random.Random, relation: Relation) -> tuple[str, str]:
        if relation.nouns == "@verb":
            return self._vocabulary.verb(rng)
        if relation.nouns == "@noun":
            return self._vocabulary.word(rng), ""
        return (rng.choice(relation.nouns), "") if relation.nouns else ("", "")

    # -- how it is told -------------------------------------------------------------------------------------

    def _line(self, rng: random.Random, fact: Fact, draft: _Draft, chat: float) -> tuple[str, Fact | None]:
        """A memory line that tells `fact`, and now and then a second fact of the same subject."""
        subject = fact.subject
        first = subject.speaker is not None and (subject.name == "user" or rng.random() < 0.75)
        speaker = subject.speaker if first else self._speaker(rng, draft)
        text = self._clause(rng, fact, first=first)
        if first and text.startswith("I ") and rng.random() < 0.08:
            # As people write in a chat: "Bought a lamp!"
            text = capitalised(text.removeprefix("I "))
        chatty = rng.random() < chat
        if chatty:
            text = self._with_chat(rng, text, fact.value, draft, reported=not first)
        else:
            text = capitalised(text, keep=fact.value) + rng.choice(".....!")
        extra = self._second_fact(rng, fact, draft) if chatty and rng.random() < 0.12 else None
        if extra is not None:
            text += f" {capitalised(self._clause(rng, extra, first=first), keep=extra.value)}."
        return (f"{speaker}: {text}" if speaker else text), extra

    def _clause(self, rng: random.Random, fact: Fact, *, first: bool) -> str:
        name = self._mention(rng, fact.subject)
        said = rng.choice(fact.relation.say)
        return render(said, subject=fact.subject, name=name, noun=fact.noun, value=fact.value, first=first)

    def _second_fact(self, rng: random.Random, fact: Fact, draft: _Draft) -> Fact | None:
        """Another fact of the same subject, of a kind that nothing else in the episode is told of."""
        taken = tuple(other.relation.group for other in draft.facts)
        relation, noun = self._topics(rng, 1, of_thing=fact.relation.of_thing, avoid=taken)[0]
        if relation.group in taken:
            return None
        return Fact(relation, noun, fact.subject, self._vocabulary.value(relation.value, rng))

    def _with_chat(self, rng: random.Random, text: str, value: str, draft: _Draft, *, reported: bool) -> str:
        lists, lead = chatter(), ""
        if rng.random() < 0.6:
            lead = self._fill(rng, rng.choice(lists["reports" if reported and rng.random() < 0.5 else "leads"]), draft)
        text = capitalised(lead + text, keep=value)
        if rng.random() < 0.35:
            text += self._fill(rng, rng.choice(lists["tails"]), draft)
        text += rng.choice("...!")
        if rng.random() < 0.35:
            text = f"{self._fill(rng, rng.choice(lists['sentences']), draft)} {text}"
        for _ in range(rng.choice((0, 0, 0, 1, 1, 2))):
            text += f" {self._fill(rng, rng.choice(lists['sentences']), draft)}"
        return text

    def _small_talk(self, rng: random.Random, draft: _Draft) -> str:
        count = rng.choice((1, 2, 2, 3))
        text = " ".join(self._fill(rng, rng.choice(chatter()["sentences"]), draft) for _ in range(count))
        speaker = self._speaker(rng, draft)
        return f"{speaker}: {text}" if speaker else text

    def _fill(self, rng: random.Random, text: str, draft: _Draft) -> str:
        while "{" in text:
            text = text.replace("{w}", self._vocabulary.word(rng), 1)
            text = text.replace("{p}", self._someone(rng, draft), 1)
            text = text.replace("{c}", self._vocabulary.value("city", rng), 1)
        return text

    def _someone(self, rng: random.Random, draft: _Draft) -> str:
        names = [subject.name for subject in draft.cast if subject.is_speaker and subject.name != "user"]
        return rng.choice(names) if names and rng.random() < 0.5 else self._vocabulary.first_name(rng)

    def _speaker(self, rng: random.Random, draft: _Draft) -> str | None:
        draw = rng.random()
        if draw < 0.35:
            return None
        return "user" if draw < 0.5 else self._someone(rng, draft)

    def _mention(self, rng: random.Random, subject: Subject) -> str:
        return subject.full_name if subject.full_name and rng.random() < 0.6 else subject.name

    def _days(self, rng: random.Random, count: int) -> list[str]:
        """Dates without repetition: in order, or as a search by relevance would return them."""
        day = date(rng.randint(2019, 2027), 1, 1) + timedelta(days=rng.randrange(365))
        days = []
        for _ in range(count):
            days.append(day.isoformat())
            day += timedelta(days=rng.choice((1, 2, 3, rng.randint(4, 60))))
        if rng.random() < 0.4:
            rng.shuffle(days)
        return days

    def _outdated(self, rng: random.Random, fact: Fact, draft: _Draft, *, dated: bool) -> str:
        """An older line with another value of `fact`, to stand in front; the newer line keeps the answer."""
        old = Fact(fact.relation, fact.noun, fact.subject, self._vocabulary.value(fact.relation.value, rng))
        # All other dates are 2019 or later.
        day = f"{date(2018, 1, 1) + timedelta(days=rng.randrange(365))} " if dated else ""
        return day + self._line(rng, old, draft, 0.0)[0]

    # -- what is asked --------------------------------------------------------------------------------------

    def _ask(
        self, rng: random.Random, fact: Fact, *, answer: str, kind: str, when: bool = False
    ) -> Question:
        """Puts a question about `fact` in a form of this side of the split."""
        relation, lists = fact.relation, chatter()
        if when:
            template = rng.choice(forms(relation.when, heldout=self._heldout))
        elif rng.random() < 0.25:
            # A clause is open to both sides: its wrapper decides.
            wrapper = rng.choice(forms(lists["wrappers"], heldout=self._heldout))
            template = wrapper.replace("{e}", rng.choice(relation.embed))
        else:
            template = rng.choice(forms(relation.ask, heldout=self._heldout))
        text = render(
            template,
            subject=fact.subject,
            name=self._mention(rng, fact.subject),
            noun=fact.noun,
            value=fact.value,
            first=fact.subject.name == "user",
        )
        text = capitalised(text)
        if rng.random() < 0.08:
            text = rng.choice(forms(lists["prefixes"], heldout=self._heldout)) + text[0].lower() + text[1:]
        elif rng.random() < 0.05:
            text = text[0].lower() + text[1:].rstrip("?.")
        return Question(text, answer, kind)

    def _unknown(self, rng: random.Random, told: list[Fact], draft: _Draft) -> Question:
        """A question whose answer the memories do not tell, mostly one that comes close."""
        draw = rng.random()
        if told and draw < 0.5:
            question = self._other_relation(rng, told, draft)
        elif told and draw < 0.85:
            question = self._other_subject(rng, told, draft)
        else:
            question = None
        if question is not None:
            return question
        relation, noun = self._topics(rng, 1, of_thing=False)[0]
        return self._ask_unknown(rng, relation, noun, self._person(rng, like=None), "unknown")

    def _other_relation(self, rng: random.Random, told: list[Fact], draft: _Draft) -> Question | None:
        """Asks something else of a subject of whom something is told."""
        subject = rng.choice(told).subject
        own = [fact for fact in told if fact.subject == subject]
        topics = {fact.topic for fact in own}
        others = [topic for topic in draft.topics if (topic[0].id, topic[1][0]) not in topics]
        same = rng.choice(own).relation
        if others and rng.random() < 0.6:
            relation, noun = rng.choice(others)
        elif len(same.nouns) > 3 and rng.random() < 0.5:
            relation, noun = same, self._noun(rng, same)
        else:
            groups = tuple(fact.relation.group for fact in own)
            relation, noun = self._topics(rng, 1, of_thing=same.of_thing, avoid=groups)[0]
        if (relation.id, noun[0]) in topics:
            return None
        return self._ask_unknown(rng, relation, noun, subject, "unknown_relation")

    def _other_subject(self, rng: random.Random, told: list[Fact], draft: _Draft) -> Question | None:
        """Asks what is told of others, of somebody of whom it is not told."""
        fact = rng.choice(told)
        knowing = {other.subject.name for other in told if other.topic == fact.topic}
        others = [subject for subject in draft.cast if subject.name not in knowing]
        if others and rng.random() < 0.3:
            subject = rng.choice(others)
        elif fact.relation.of_thing:
            subject = self._cast(rng, 1, of_thing=True)[0]
        else:
            alike = fact.subject.is_speaker and fact.subject.name != "user" and rng.random() < 0.15
            like = fact.subject.name if alike else None
            subject = self._person(rng, like=like)
        if subject.name in knowing:
            return None
        return self._ask_unknown(rng, fact.relation, fact.noun, subject, "unknown_subject")

    def _ask_unknown(
        self, rng: random.Random, relation: Relation, noun: tuple[str, str], subject: Subject, kind: str
    ) -> Question:
        fact = Fact(relation, noun, subject, self._vocabulary.value(relation.value, rng))
        return self._ask(rng, fact, answer=UNKNOWN, kind=kind, when=bool(relation.when) and rng.random() < 0.15)
