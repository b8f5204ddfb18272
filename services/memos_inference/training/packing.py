"""Prompts with questions as one row of tokens: what the questions of a prompt share is read once for all of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from memos_inference.adapters.chat_tokenizer import ChatTokenizer
from memos_inference.domain.generation import Prompt, Role, Turn
from memos_inference.tiny_model.episodes import Episode
from memos_kernel.cube import Kind, MemCube, Plaintext
from memos_kernel.names import CubeName, VaultName

_VAULT = VaultName("training", "lessons")


@dataclass(frozen=True, slots=True)
class Lesson:
    """A row of tokens, whose answers are to be predicted.

    Attributes:
        ids: int64 `[1, tokens]`.
        positions: int64 `[1, tokens]`, of each token in its own prompt.
        visible: bool `[1, 1, tokens, tokens]`, which token sees which.
        adapted: float32 `[1, tokens, 1]`, 1 where the adapter works.
        places: int64 `[answers]`, after which tokens an answer's tokens come.
        answers: int64 `[answers]`, those tokens.
    """

    ids: torch.Tensor
    positions: torch.Tensor
    visible: torch.Tensor
    adapted: torch.Tensor
    places: torch.Tensor
    answers: torch.Tensor

    def to(self, device: torch.device) -> Lesson:
        """Return it on a device."""
        return Lesson(
            *(
                part.to(device)
                for part in (self.ids, self.positions, self.visible, self.adapted, self.places, self.answers)
            )
        )


def prompt_of(lines: Sequence[str], question: str) -> Prompt:
    """Return the prompt that asks a question after memory lines."""
    memories = tuple(
        MemCube(name=CubeName("training", f"m{index}"), vault=_VAULT, kind=Kind.PLAINTEXT, payload=Plaintext(line))
        for index, line in enumerate(lines)
    )
    return Prompt((Turn(Role.USER, question),), memories)


class Packer:
    """Makes lessons of prompts with questions."""

    def __init__(self, tokenizer: ChatTokenizer, *, end_id: int) -> None:
        self._tokenizer = tokenizer
        self._end = end_id

    def pack(self, episodes: Iterable[Episode]) -> Lesson:
        """Return the lesson. A question sees the memories of its prompt, and no other question."""
        ids: list[int] = []
        positions: list[int] = []
        prompts: list[int] = []
        questions: list[int] = []
        places: list[int] = []
        answers: list[int] = []
        for number, episode in enumerate(episodes):
            asked = [self._tokenizer.prompt_ids(prompt_of(episode.memories, one.text)) for one in episode.questions]
            bare = prompt_of(episode.memories, "?")
            head = min(self._tokenizer.told_tokens(bare, prompt) for prompt in asked)
            ids += asked[0][:head]
            positions += range(head)
            prompts += [number] * head
            questions += [0] * head
            for index, (prompt, question) in enumerate(zip(asked, episode.questions, strict=True), 1):
                answer = [*self._tokenizer.plain_ids(question.answer), self._end]
                tail = [*prompt[head:], *answer[:-1]]
                first = len(ids) + len(prompt) - head - 1
                places += range(first, first + len(answer))
                answers += answer
                ids += tail
                positions += range(head, head + len(tail))
                prompts += [number] * len(tail)
                questions += [index] * len(tail)
        return _lesson(ids, positions, torch.tensor(prompts), torch.tensor(questions), places, answers)


def _lesson(
    ids: Sequence[int],
    positions: Sequence[int],
    prompts: torch.Tensor,
    questions: torch.Tensor,
    places: Sequence[int],
    answers: Sequence[int],
) -> Lesson:
    order = torch.arange(len(ids))
    visible = (order[:, None] >= order) & (prompts[:, None] == prompts)
    visible &= (questions == 0) | (questions[:, None] == questions)
    return Lesson(
        torch.tensor([ids]),
        torch.tensor([positions]),
        visible[None, None],
        (questions > 0).float()[None, :, None],
        torch.tensor(places),
        torch.tensor(answers),
    )
