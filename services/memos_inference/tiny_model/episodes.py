"""Generated conversations with questions: what the tiny model is trained and examined on.

An episode is a list of memory lines, as the prompt shows them, and questions about them. Everything follows
from the random generator that is passed in, so an episode can be drawn again from its seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta

from memos_inference.prompt import UNKNOWN, instructed
from memos_inference.tiny_model.grammar import Fact, Relation, Subject, chatter, relations
from memos_inference.tiny_model.speech import Question, Speech
from memos_inference.tiny_model.words import Vocabulary

_KIN = ("sister", "brother", "mother", "father", "son", "daughter", "cousin", "aunt", "uncle", "friend", "neighbour")
_FEMALE_KIN = ("sister", "mother", "daughter", "aunt")


@dataclass(frozen=True, slots=True)
class Episode:
    """Memory lines without the leading dash, and the questions about them."""

    memories: tuple[str, ...]
    questions: tuple[Question, ...]


@dataclass(slots=True)
class _Draft:
    """An episode in the making."""

    facts: list[Fact] = field(default_factory=list)
    cast: list[Subject] = field(default_factory=list)
    topics: list[tuple[Relation, tuple[str, str]]] = field(default_factory=list)


def system_text(memories: tuple[str, ...] | list[str]) -> str:
    """The system message that carries the memories."""
    return instructed([f"- {memory}" for memory in memories])


def _topic(fact: Fact) -> tuple[Relation, tuple[str, str]]:
    return fact.relation, fact.noun


class EpisodeMaker:
    """Draws episodes from one side of the split: `heldout` applies to words, names and question forms alike."""

    def __init__(self, *, heldout: bool) -> None:
        self._vocabulary = Vocabulary(heldout=heldout)
        self._speech = Speech(self._vocabulary, heldout=heldout)

    def draw(
        self,
        rng: random.Random,
        *,
        memories: int,
        shared: bool,
        chat: float = 0.5,
        again: float = 0.0,
        dates: float = 0.3,
    ) -> Episode:
        """Draws an episode with `memories` lines.

        `shared` lets several subjects share the relations that are told, so that only relation and subject
        together lead to an answer. `chat` is how often a line has chit-chat around its fact, `again` how often a
        fact is asked a second time in other words, `dates` how often the date of a memory is asked, where it has one.
        """
        draft = self._draft(rng, memories, shared=shared)
        dated = rng.random() < 0.85
        told: list[Fact] = []
        lines: list[str] = []
        questions: list[Question] = []
        for fact, day in zip(draft.facts[:memories], self._days(rng, memories), strict=True):
            date_told = day if dated else ""
            if memories > 2 and rng.random() < 0.06:
                lines.append(self._speech.small_talk(rng, draft.cast, date=date_told))
                questions.append(self._speech.question(rng, fact, answer=UNKNOWN, kind="unknown"))
                continue
            told.append(fact)
            extra = self._second_fact(rng, fact, draft) if rng.random() < 0.12 * chat else None
            lines.append(self._speech.line(rng, fact, draft.cast, chat=chat, extra=extra, date=date_told))
            if extra is not None:
                told.append(extra)
                questions.append(self._speech.question(rng, extra, answer=extra.value, kind="value"))
            questions.append(self._speech.question(rng, fact, answer=fact.value, kind="value"))
            if rng.random() < again:
                questions.append(self._speech.question(rng, fact, answer=fact.value, kind="value"))
            if dated and fact.relation.when and rng.random() < dates:
                questions.append(self._speech.question(rng, fact, answer=day, kind="date", when=True))
        if rng.random() < 0.03 and lines and questions[-1].kind == "value":
            lines.insert(0, self._outdated(rng, draft.facts[len(lines) - 1], draft, dated=dated))
        unanswerable = max(1, round(len(lines) * rng.choice((0.25, 0.5))))
        questions += [self._unknown(rng, told, draft) for _ in range(unanswerable)]
        rng.shuffle(questions)
        return Episode(tuple(lines), tuple(questions))

    def facts(self, rng: random.Random, count: int) -> list[Fact]:
        """`count` facts, several of which share their relation."""
        return self._draft(rng, count, shared=True).facts[:count]

    def stranger(self, rng: random.Random, told: Sequence[Fact]) -> Question:
        """A question that no fact answers: mostly the same of somebody else, or something else of the same one."""
        draft = _Draft(facts=list(told), cast=[fact.subject for fact in told], topics=[_topic(fact) for fact in told])
        while True:
            if rng.random() < 0.5:
                question = self._other_subject(rng, draft.facts, draft)
            else:
                question = self._unknown(rng, draft.facts, draft)
            if question is not None:
                return question

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
        draft.facts += [
            Fact(relation, noun, subject, self._vocabulary.value(relation.value, rng))
            for subject, (relation, noun) in pairs
        ]
        rng.shuffle(draft.facts)
        return draft

    def _cast(self, rng: random.Random, count: int, *, of_thing: bool) -> list[Subject]:
        cast: list[Subject] = []
        names: set[str] = set()
        alike = rng.random() < 0.1
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

    def _second_fact(self, rng: random.Random, fact: Fact, draft: _Draft) -> Fact | None:
        """Another fact of the same subject, of a kind that nothing else in the episode is told of."""
        taken = tuple(other.relation.group for other in draft.facts)
        relation, noun = self._topics(rng, 1, of_thing=fact.relation.of_thing, avoid=taken)[0]
        if relation.group in taken:
            return None
        return Fact(relation, noun, fact.subject, self._vocabulary.value(relation.value, rng))

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
        day = str(date(2018, 1, 1) + timedelta(days=rng.randrange(365))) if dated else ""
        return self._speech.line(rng, old, draft.cast, chat=0.0, date=day)

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
        return self._speech.question(
            rng, fact, answer=UNKNOWN, kind=kind, when=bool(relation.when) and rng.random() < 0.15
        )
