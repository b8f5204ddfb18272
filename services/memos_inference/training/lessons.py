"""What an adapter is trained on: many questions about its facts, and much that it must not forget or make up.

Facts that are told in their own words alone can be learned by heart and still not be said when somebody asks
(arXiv 2309.14316), and a model that is only asked about them answers every question with one of them. So a lesson has

- questions about the facts in many phrasings, nothing in the prompt telling their answer;
- questions that come close, whose answer is nowhere: of others the same, of the same ones something else;
- conversations about other things, answered from the memories in the prompt;
- conversations that tell a fact otherwise than the adapter knows it: the prompt is right.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from memos_inference.tiny_model.episodes import Episode, EpisodeMaker
from memos_inference.tiny_model.grammar import Fact
from memos_inference.tiny_model.speech import Question, Speech
from memos_inference.tiny_model.words import Vocabulary

_TOGETHER = 16
"""Questions of one prompt: what attention costs grows with the square of their number."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LessonPlan:
    """How much of each kind one lesson has: questions without memories, and conversations."""

    recalls: int = 32
    strangers: int = 24
    conversations: int = 4
    corrections: int = 3


@dataclass(frozen=True, slots=True)
class Lesson:
    """Prompts with questions: those whose answers are to be learned, and those that are to be answered as before."""

    learned: tuple[Episode, ...]
    kept: tuple[Episode, ...]


class Teacher:
    """Draws lessons about facts, or questions to examine by, from one side of the split of phrasings and words."""

    def __init__(self, facts: Sequence[Fact], *, heldout: bool) -> None:
        self._facts = tuple(facts)
        self._maker = EpisodeMaker(heldout=heldout)
        self._words = Vocabulary(heldout=heldout)
        self._speech = Speech(self._words, heldout=heldout)

    def lessons(self, rng: random.Random, plan: LessonPlan) -> Iterator[Lesson]:
        """Yield lessons without end."""
        while True:
            closed = [*self.recalls(rng, plan.recalls), *self.strangers(rng, plan.strangers)]
            corrections = [self.correction(rng) for _ in range(plan.corrections)]
            talks = [self.conversation(rng, rng.randint(1, 5)) for _ in range(plan.conversations)]
            together = [Episode((), tuple(closed[at : at + _TOGETHER])) for at in range(0, len(closed), _TOGETHER)]
            yield Lesson((*together, *corrections), tuple(talks))

    def recalls(self, rng: random.Random, count: int) -> list[Question]:
        """Return questions about facts, each about equally often."""
        order: list[Fact] = []
        while len(order) < count:
            order += rng.sample(self._facts, len(self._facts))
        return [self._speech.question(rng, fact, answer=fact.value, kind="value") for fact in order[:count]]

    def strangers(self, rng: random.Random, count: int) -> list[Question]:
        """Return questions whose answer nobody told, most of which come close to a fact."""
        return [self._maker.stranger(rng, self._facts) for _ in range(count)]

    def conversation(self, rng: random.Random, memories: int) -> Episode:
        """Return memories of others, and questions about them."""
        return self._maker.draw(rng, memories=memories, shared=rng.random() < 0.75, chat=0.4)

    def correction(self, rng: random.Random) -> Episode:
        """Return memories, one of which tells a fact with another value, and questions about it and about others."""
        around = self._maker.draw(rng, memories=rng.randint(1, 3), shared=True, chat=0.3)
        fact = rng.choice(self._facts)
        other = Fact(fact.relation, fact.noun, fact.subject, self._words.value(fact.relation.value, rng))
        line = self._speech.line(rng, other, [fact.subject], chat=0.3, date="")
        memories = list(around.memories)
        memories.insert(rng.randint(0, len(memories)), line)
        asked = [self._speech.question(rng, other, answer=other.value, kind="value") for _ in range(3)]
        return Episode(tuple(memories), (*around.questions, *asked))
