"""The ceiling of the features: a small ranker trained on the other conversations of the same data, and not shipped."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import log_softmax

from retrieval import Found

HIDDEN, EPOCHS, BATCH, RATE, DECAY = 24, 10, 16, 3e-3, 3e-2


@dataclass(frozen=True, slots=True)
class _Example:
    """A search: features of its hits, shape (hits, features), and 1 for those that are evidence, shape (hits,)."""

    features: torch.Tensor
    wanted: torch.Tensor


def leave_one_out(talks: Sequence[Sequence[Found]], *, seed: int = 1) -> list[Found]:
    """Return what came back in the order of a ranker that has not seen the conversation.

    Args:
        talks: the searches of each conversation, with the features of their hits.
        seed: of what is drawn in training.

    Raises:
        ValueError: there is one conversation only.
    """
    if len(talks) < 2:
        raise ValueError("A ranker that is trained on the other conversations needs two at least.")
    names = sorted({name for talk in talks for one in talk for row in one.features for name in row})
    examples = [[_example(one, names) for one in talk] for talk in talks]
    found = []
    for left_out, talk in enumerate(talks):
        others = [example for place, part in enumerate(examples) if place != left_out for example in part]
        ranker = _train(others, seed)
        found += [_ordered(one, example, ranker) for one, example in zip(talk, examples[left_out], strict=True)]
    return found


def _example(found: Found, names: Sequence[str]) -> _Example:
    """Return the features of the hits of a search, each as it is and as a z-score among the hits."""
    raw = np.array([[row.get(name, 0.0) for name in names] for row in found.features], dtype=np.float32)
    spread = raw.std(axis=0)
    rows = np.concatenate([raw, (raw - raw.mean(axis=0)) / np.where(spread, spread, 1.0)], axis=1)
    wanted = np.array([id in found.question.evidence for id in found.ids], dtype=np.float32)
    return _Example(torch.from_numpy(rows), torch.from_numpy(wanted))


class _Ranker(nn.Module):
    """Scores rows of features; these are brought to mean 0 and spread 1 of the training data."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.mean = nn.Buffer(rows.mean(dim=0))
        self.spread = nn.Buffer(rows.std(dim=0).clamp_min(1e-3))
        width = rows.shape[1]
        self.layers = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Dropout(0.2), nn.Linear(HIDDEN, 1))
        self.direct = nn.Linear(width, 1)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the scores of rows, shape (rows,)."""
        known = ((rows - self.mean) / self.spread).clamp(-5.0, 5.0)
        return (self.layers(known) + self.direct(known)).squeeze(-1)


def _train(examples: Sequence[_Example], seed: int) -> _Ranker:
    """Train by the softmax over the hits of a question: the evidence shall have all of it."""
    torch.manual_seed(seed)
    examples = [one for one in examples if one.wanted.any()]
    ranker = _Ranker(torch.cat([one.features for one in examples]))
    optimizer = torch.optim.AdamW(ranker.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    for _ in range(EPOCHS):
        order = torch.randperm(len(examples)).tolist()
        for start in range(0, len(order), BATCH):
            losses = [_loss(ranker, examples[place]) for place in order[start : start + BATCH]]
            optimizer.zero_grad()
            torch.stack(losses).mean().backward()
            optimizer.step()
        schedule.step()
    return ranker.eval()


def _loss(ranker: _Ranker, one: _Example) -> torch.Tensor:
    return -(log_softmax(ranker(one.features), dim=0) * one.wanted / one.wanted.sum()).sum()


@torch.inference_mode()
def _ordered(found: Found, example: _Example, ranker: _Ranker) -> Found:
    order = torch.argsort(-ranker(example.features), stable=True).tolist()
    return replace(
        found, ids=[found.ids[place] for place in order], sessions=[found.sessions[place] for place in order]
    )
