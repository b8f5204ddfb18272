"""Prompts with questions as one row of tokens: what the questions of a prompt share is read once for all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from memos_inference.adapters.chat_tokenizer import ChatTokenizer
from memos_inference.domain.generation import Prompt, Role, Turn
from memos_inference.tiny_model.episodes import Episode
from memos_kernel.cube import Kind, MemCube, Plaintext
from memos_kernel.names import CubeName, VaultName

_VAULT = VaultName("training", "lessons")


@dataclass(frozen=True, slots=True)
class Row:
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

    def to(self, device: torch.device) -> Row:
        """Return it on a device."""
        return Row(
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
    """Lays the questions of a prompt one after another."""

    def __init__(self, tokenizer: ChatTokenizer, *, end_id: int) -> None:
        self._tokenizer = tokenizer
        self._end = end_id

    def pack(self, episode: Episode) -> Row:
        """Return the row of a prompt. A question sees the memories, and no other question."""
        bare = prompt_of(episode.memories, "?")
        asked = [self._tokenizer.prompt_ids(prompt_of(episode.memories, one.text)) for one in episode.questions]
        head = min(self._tokenizer.told_tokens(bare, prompt) for prompt in asked)
        ids, positions, questions = list(asked[0][:head]), list(range(head)), [0] * head
        places: list[int] = []
        answers: list[int] = []
        for index, (prompt, question) in enumerate(zip(asked, episode.questions, strict=True), 1):
            answer = [*self._tokenizer.plain_ids(question.answer), self._end]
            tail = [*prompt[head:], *answer[:-1]]
            first = len(ids) + len(prompt) - head - 1
            places += range(first, first + len(answer))
            answers += answer
            ids += tail
            positions += range(head, head + len(tail))
            questions += [index] * len(tail)
        of, order = torch.tensor(questions), torch.arange(len(ids))
        visible = (order[:, None] >= order) & ((of == 0) | (of[:, None] == of))
        return Row(
            torch.tensor([ids]),
            torch.tensor([positions]),
            visible[None, None],
            (of > 0).float()[None, :, None],
            torch.tensor(places),
            torch.tensor(answers),
        )
