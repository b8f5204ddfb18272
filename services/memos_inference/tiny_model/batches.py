"""Turns episodes into training batches: token ids, positions, who sees whom, and what is to be predicted.

One context carries many questions, so that most tokens pay for several answers. How the parts of a row see
each other is drawn for each row, because the model serves all three cases:

- `CHAT`: plain causal, earlier questions and answers are history for the later ones;
- `ALONE`: each question sees the memories only, at the positions it would have as the first question;
- `BLOCKS`: as `ALONE`, and each memory line sees the instruction and itself only. This is how separately
  encoded memories come together when their key-value caches are composed.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from transformers import PreTrainedTokenizerFast

from memos_inference.prompt import UNKNOWN
from memos_inference.tiny_model.episodes import Episode, EpisodeMaker, system_text
from memos_inference.tiny_model.segments import Cuts, Segmenter
from memos_inference.tiny_model.speech import Question
from memos_inference.tiny_model.tokenizer import ASSISTANT, END, SYSTEM, USER
from memos_inference.tiny_model.words import Vocabulary

CHAT, ALONE, BLOCKS = "chat", "alone", "blocks"
# Segments: 0 is seen by all, memory lines count from 1, questions from _QUESTIONS, padding sees and is seen by nobody.
_QUESTIONS, _PADDING = 1000, -1
_DECISIVE_WEIGHT = 3.0
_UNANSWERABLE_KEPT = 0.6


@dataclass(frozen=True, slots=True)
class Row:
    """One encoded episode; all arrays have one entry a token. `weights` is zero where nothing is predicted."""

    ids: list[int]
    positions: list[int]
    segments: list[int]
    weights: list[float]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows padded to one length: integer arrays of shape (rows, length), and `visible` (rows, length, length).

    `weights[r, t]` is the loss weight of predicting token t from the tokens before it.
    """

    ids: np.ndarray
    positions: np.ndarray
    visible: np.ndarray
    weights: np.ndarray


@dataclass(frozen=True, slots=True)
class Stage:
    """What is drawn at one point of the curriculum: shares, and the largest number of memories."""

    echo: float
    memories: int
    shared: float
    chat: float


def stage_at(progress: float) -> Stage:
    """The curriculum: copying first, then short contexts, then everything. `progress` runs from 0 to 1."""
    if progress < 0.03:
        return Stage(echo=0.7, memories=1, shared=0.5, chat=0.0)
    if progress < 0.08:
        return Stage(echo=0.5, memories=2, shared=0.6, chat=0.1)
    if progress < 0.20:
        return Stage(echo=0.35, memories=3, shared=0.7, chat=0.25)
    if progress < 0.28:
        return Stage(echo=0.1, memories=3, shared=0.7, chat=0.35)
    if progress < 0.40:
        return Stage(echo=0.06, memories=5, shared=0.75, chat=0.45)
    if progress < 0.75:
        return Stage(echo=0.06, memories=8, shared=0.75, chat=0.35)
    return Stage(echo=0.05, memories=9, shared=0.75, chat=0.5)


class RowMaker:
    """Draws and encodes training rows."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        self._segmenter = Segmenter(tokenizer.backend_tokenizer)
        self._maker = EpisodeMaker(heldout=False)
        self._vocabulary = Vocabulary(heldout=False)
        self._backend = tokenizer.backend_tokenizer
        ids: dict[str, int] = self._backend.get_vocab()
        self._system, self._user, self._assistant, self._end = (ids[token] for token in (SYSTEM, USER, ASSISTANT, END))
        self._newline = self._backend.encode("\n").ids[0]

    def draw(self, rng: random.Random, stage: Stage) -> Row:
        """One training row of the stage."""
        if rng.random() < stage.echo:
            episode = self._echo(rng)
        else:
            memories = 0 if rng.random() < 0.02 else rng.randint(1, stage.memories)
            shared = rng.random() < stage.shared
            episode = self._maker.draw(rng, memories=memories, shared=shared, chat=stage.chat, again=0.5, dates=0.9)
            episode = _with_fewer_unanswerable(rng, episode)
        view = rng.choices((CHAT, ALONE, BLOCKS), (0.15, 0.7, 0.15))[0]
        told = [question.answer for question in episode.questions if question.answer != UNKNOWN]
        return self.encode(episode, view, cuts=self._segmenter.cuts(rng, told))

    def encode(self, episode: Episode, view: str, *, cuts: Cuts | None = None) -> Row:
        """Encodes an episode; without `cuts` token for token what the chat template gives."""
        texts = [system_text(episode.memories)]
        for question in episode.questions:
            texts += [question.text, question.answer]
        head, *turns = [self._segmenter.ids(text, cuts or {}) for text in texts]
        ids = [self._system, *head, self._end]
        segments = self._memory_segments(ids) if view == BLOCKS else [0] * len(ids)
        positions, weights = list(range(len(ids))), [0.0] * len(ids)
        start = len(ids)
        for number in range(len(turns) // 2):
            asked = [self._user, *turns[2 * number], self._end, self._assistant]
            answer = [*turns[2 * number + 1], self._end]
            first = start if view != CHAT else len(ids)
            length = len(asked) + len(answer)
            positions += range(first, first + length)
            segments += [0 if view == CHAT else _QUESTIONS + number] * length
            # The first token decides which memory is copied; in a date, which begins as all dates do, each token does.
            decisive = len(answer) - 1 if episode.questions[number].kind == "date" else 1
            weights += [0.0] * len(asked) + [_DECISIVE_WEIGHT] * decisive + [1.0] * (len(answer) - decisive)
            ids += asked + answer
        return Row(ids, positions, segments, weights)

    def _memory_segments(self, ids: list[int]) -> list[int]:
        # The head has two line ends before the first memory: one after the instruction, one after "Memories:".
        line, segments = -2, []
        for token in ids:
            line += token == self._newline
            segments.append(max(line + 1, 0))
        segments[-1] = 0
        return segments

    def _echo(self, rng: random.Random) -> Episode:
        """Pure copying: a question is the first word of a line, the answer is the rest of that line."""
        word = self._vocabulary.word if rng.random() < 0.4 else self._vocabulary.proper
        lines = [[word(rng) for _ in range(rng.randint(3, 9))] for _ in range(rng.randint(1, 4))]
        questions = [Question(line[0], " ".join(line[1:]), "echo") for line in lines]
        rng.shuffle(questions)
        return Episode(tuple(" ".join(line) for line in lines), tuple(questions))


def _with_fewer_unanswerable(rng: random.Random, episode: Episode) -> Episode:
    """An unsure model gives the answer that is most often right, and should rather name a value than pass."""
    kept = [
        question for question in episode.questions if question.answer != UNKNOWN or rng.random() < _UNANSWERABLE_KEPT
    ]
    return replace(episode, questions=tuple(kept or episode.questions))


def collate(rows: list[Row], pad: int) -> Batch:
    """Pads rows to the longest and says which token sees which."""
    length = max(len(row.ids) for row in rows)

    def padded(name: str, fill: float, kind: type) -> np.ndarray:
        return np.array([getattr(row, name) + [fill] * (length - len(row.ids)) for row in rows], dtype=kind)

    segments = padded("segments", _PADDING, np.int64)
    query, key = segments[:, :, None], segments[:, None, :]
    visible = (key == 0) | (key == query) | ((query >= _QUESTIONS) & (key > 0) & (key < _QUESTIONS))
    visible &= np.tril(np.ones((length, length), dtype=bool))
    visible |= np.eye(length, dtype=bool)
    return Batch(
        padded("ids", pad, np.int64), padded("positions", 0, np.int64), visible, padded("weights", 0, np.float32)
    )


def batches(maker: RowMaker, rng: random.Random, stage: Stage, *, pad: int, tokens: int) -> Iterator[Batch]:
    """A few batches of about `tokens` tokens each, with rows of like length together."""
    rows = sorted((maker.draw(rng, stage) for _ in range(96)), key=lambda row: len(row.ids))
    groups: list[list[Row]] = []
    group: list[Row] = []
    for row in rows:
        if group and (len(group) + 1) * len(row.ids) > tokens:
            groups.append(group)
            group = []
        group.append(row)
    groups.append(group)
    rng.shuffle(groups)
    for group in groups:
        yield collate(group, pad)
