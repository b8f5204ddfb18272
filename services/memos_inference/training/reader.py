"""Which facts memories tell, in the model's own reading."""

from __future__ import annotations

import random
from collections.abc import Sequence

from memos_inference.tiny_model.grammar import Fact
from memos_inference.training.answers import Asker, Item
from memos_inference.training.job import Told
from memos_inference.training.lessons import Teacher
from memos_inference.training.statements import facts_in

_ASKED = 2
"""Questions about a fact that the model has to answer rightly, with the memory before it."""


def read_facts(asker: Asker, memories: Sequence[Told]) -> list[list[Fact]]:
    """Return the facts of each memory. What the model cannot read out of a memory is none."""
    rng = random.Random(0)  # noqa: S311 - the choice of questions is no secret
    guesses = [(index, fact) for index, one in enumerate(memories) for fact in facts_in(one.text, speaker=one.speaker)]
    items = [
        Item((memories[index].line,), question)
        for index, fact in guesses
        for question in Teacher([fact], heldout=False).recalls(rng, _ASKED)
    ]
    answers = asker.answers(items)
    read: list[list[Fact]] = [[] for _ in memories]
    for number, (index, fact) in enumerate(guesses):
        said = answers[number * _ASKED : (number + 1) * _ASKED]
        known = {(one.subject.name, one.topic) for one in read[index]} | {one.value for one in read[index]}
        if said == [fact.value] * _ASKED and not known & {(fact.subject.name, fact.topic), fact.value}:
            read[index].append(fact)
    return read
