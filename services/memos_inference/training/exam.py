# ruff: noqa: S311  (an exam needs no secure randomness)
"""The exam of an adapter: whether it knows its memories, and whether it spoiled anything."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from memos_inference.adapters.lora import LoraAdapter
from memos_inference.tiny_model.grammar import Fact
from memos_inference.training.answers import Asker, Item, tell_nobody
from memos_inference.training.lessons import Teacher

_TOLD = ("value", "date", "unknown_relation", "unknown_subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class Marks:
    """Shares of right answers.

    Attributes:
        recall: about the memories, which the prompt does not tell, in phrasings that nobody trained on.
        recall_before: the same without the adapter.
        unknown: "I do not know" to what nobody told.
        in_context: about memories of others in the prompt.
        in_context_before: the same without the adapter.
        corrected: about facts that the prompt tells otherwise.
        corrected_before: the same without the adapter.
    """

    recall: float
    recall_before: float
    unknown: float
    in_context: float
    in_context_before: float
    corrected: float
    corrected_before: float


@dataclass(frozen=True, slots=True, kw_only=True)
class PassMarks:
    """What an adapter has to reach to be of use: shares, and how much of a share it may cost."""

    recall: float = 0.90
    unknown: float = 0.95
    loss: float = 0.03

    def failures(self, marks: Marks) -> list[str]:
        """Return what was missed, each with its numbers."""
        least = (
            ("answers about the memories", marks.recall, self.recall),
            ("answers that nobody told, left open", marks.unknown, self.unknown),
            ("answers from the prompt", marks.in_context, marks.in_context_before - self.loss),
            ("answers from a prompt that corrects a memory", marks.corrected, marks.corrected_before - self.loss),
        )
        return [f"{name}: {found:.3f} of {wanted:.3f}" for name, found, wanted in least if found < wanted]


def examine(
    asker: Asker,
    facts: Sequence[Fact],
    adapter: LoraAdapter,
    *,
    seed: int,
    questions: int,
    tell: Callable[[], None] = tell_nobody,
) -> Marks:
    """Ask about so many of each, in words and phrasings that training does not have.

    `tell` is called now and then, and may raise to end it.
    """
    rng, teacher = random.Random(seed), Teacher(facts, heldout=True)
    recalls = [Item((), question) for question in teacher.recalls(rng, max(questions, len(facts)))]
    strangers = [Item((), question) for question in teacher.strangers(rng, questions)]
    talks: list[Item] = []
    corrections: list[Item] = []
    while len(talks) < questions:
        talk = teacher.conversation(rng, 4)
        talks += [Item(talk.memories, one) for one in talk.questions if one.kind in _TOLD]
    while len(corrections) < questions:
        told = teacher.correction(rng)
        corrections.append(Item(told.memories, told.questions[-1]))
    return Marks(
        recall=asker.share_right(recalls, adapter=adapter, tell=tell),
        recall_before=asker.share_right(recalls, tell=tell),
        unknown=asker.share_right(strangers, adapter=adapter, tell=tell),
        in_context=asker.share_right(talks[:questions], adapter=adapter, tell=tell),
        in_context_before=asker.share_right(talks[:questions], tell=tell),
        corrected=asker.share_right(corrections, adapter=adapter, tell=tell),
        corrected_before=asker.share_right(corrections, tell=tell),
    )
