"""Memories written down again: from what a cache holds, and from what a model with an adapter says."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from memos_inference.prompt import UNKNOWN

VALUE = "{value}"
"""Mark in a statement where the answer belongs."""

CERTAIN = 0.8
"""Share of the phrasings of a question that have to get the same answer."""

PHRASINGS = 5


@dataclass(frozen=True, slots=True)
class Probe:
    """How to ask for a fact, and how to state it.

    Attributes:
        say: a statement with `VALUE` in it.
        ask: phrasings of the question.
    """

    say: str
    ask: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Recovered:
    """A memory that was written down again, and how sure that is, from 0 to 1."""

    text: str
    confidence: float


def settled(probe: Probe, answers: Sequence[str]) -> Recovered | None:
    """Return the fact of a probe; None if the answers to its phrasings differ too much, or say that nobody knows."""
    if not answers:
        return None
    answer, count = Counter(answer.strip() for answer in answers).most_common(1)[0]
    if not answer or answer == UNKNOWN or count < CERTAIN * len(answers):
        return None
    return Recovered(probe.say.replace(VALUE, answer), count / len(answers))
