"""Which facts memories tell, in the model's own reading."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from memos_inference.tiny_model.grammar import Fact
from memos_inference.training.answers import Asker, Item, tell_nobody
from memos_inference.training.job import Told
from memos_inference.training.lessons import Teacher
from memos_inference.training.statements import facts_in

_ASKED = 2
"""Questions about a fact that the model has to answer rightly, with the memory before it."""


_LONGEST = 1_000
"""Characters of a memory that is read; of a longer one nothing is learned."""


def newest(told: Sequence[Sequence[Fact]]) -> list[Fact]:
    """Return the facts of memories, the oldest first; of those about the same the last, which corrects the others."""
    return list({(fact.subject.name, fact.topic): fact for some in told for fact in some}.values())


def read_facts(asker: Asker, memories: Sequence[Told], *, tell: Callable[[], None] = tell_nobody) -> list[list[Fact]]:
    """Return the facts of each memory. What the model cannot read out of a memory is none.

    `tell` is called now and then, and may raise to end it.
    """
    rng = random.Random(0)  # noqa: S311 - the choice of questions is no secret
    guesses = [
        (index, fact)
        for index, one in enumerate(memories)
        if len(one.line) <= _LONGEST
        for fact in facts_in(one.text, speaker=one.speaker)
    ]
    items = [
        Item((memories[index].line,), question)
        for index, fact in guesses
        for question in Teacher([fact], heldout=False).recalls(rng, _ASKED)
    ]
    answers = asker.answers(items, tell=tell)
    read: list[list[Fact]] = [[] for _ in memories]
    for number, (index, fact) in enumerate(guesses):
        said = answers[number * _ASKED : (number + 1) * _ASKED]
        known = {(one.subject.name, one.topic) for one in read[index]} | {one.value for one in read[index]}
        if said == [fact.value] * _ASKED and not known & {(fact.subject.name, fact.topic), fact.value}:
            read[index].append(fact)
    return read
