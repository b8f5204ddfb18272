"""A small ranker of the features: trained on the other conversations of the same data it tells what these can yield.

Trained on all of them it can be kept, and given to a system as `storage.ranker_file`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn
from torch.nn.functional import log_softmax

from memos_storage.domain.learned import FARTHEST, FEATURE_SET, RANKED, LearnedRanker, columns_of
from retrieval import Found

HIDDEN, EPOCHS, BATCH, RATE, DECAY = 24, 10, 16, 3e-3, 3e-2


@dataclass(frozen=True, slots=True)
class _Example:
    """A search: columns of its hits, shape (hits, columns), and 1 for those that are evidence, shape (hits,)."""

    columns: torch.Tensor
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
    examples = [[_example(one) for one in talk] for talk in talks]
    found = []
    for left_out, talk in enumerate(talks):
        others = [example for place, part in enumerate(examples) if place != left_out for example in part]
        ranker = _train(others, seed)
        found += [_ordered(one, example, ranker) for one, example in zip(talk, examples[left_out], strict=True)]
    return found


def trained(found: Sequence[Found], *, seed: int = 1) -> LearnedRanker:
    """Return a ranker that is trained on these searches."""
    return _train([_example(one) for one in found], seed).learned()


def _example(found: Found) -> _Example:
    rows = [[row.get(name, 0.0) for name in FEATURE_SET] for row in found.features[:RANKED]]
    columns = columns_of(np.array(rows, dtype=np.float64).reshape(len(rows), len(FEATURE_SET)))
    wanted = [id in found.question.evidence for id in found.ids[:RANKED]]
    return _Example(torch.tensor(columns, dtype=torch.float32), torch.tensor(wanted, dtype=torch.float32))


class _Ranker(nn.Module):
    """Scores rows of features; these are brought to mean 0 and spread 1 of the training data."""

    def __init__(self, rows: torch.Tensor) -> None:
        super().__init__()
        self.mean = nn.Buffer(rows.mean(dim=0))
        self.spread = nn.Buffer(rows.std(dim=0).clamp_min(1e-3))
        width = rows.shape[1]
        self.hidden = nn.Linear(width, HIDDEN)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(HIDDEN, 1, bias=False)
        self.direct = nn.Linear(width, 1, bias=False)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        """Return the scores of rows, shape (rows,)."""
        known = ((rows - self.mean) / self.spread).clamp(-FARTHEST, FARTHEST)
        return (self.out(self.dropout(torch.tanh(self.hidden(known)))) + self.direct(known)).squeeze(-1)

    def learned(self) -> LearnedRanker:
        """Return it as a system runs it."""
        parts = {
            "mean": self.mean,
            "spread": self.spread,
            "direct": self.direct.weight[0],
            "hidden": self.hidden.weight,
            "bias": self.hidden.bias,
            "out": self.out.weight[0],
        }
        return LearnedRanker(**{name: part.detach().double().numpy() for name, part in parts.items()})


def _train(examples: Sequence[_Example], seed: int) -> _Ranker:
    """Train by the softmax over the hits of a question: the evidence shall have all of it."""
    torch.manual_seed(seed)
    examples = [one for one in examples if one.wanted.any()]
    ranker = _Ranker(torch.cat([one.columns for one in examples]))
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
    return -(log_softmax(ranker(one.columns), dim=0) * one.wanted / one.wanted.sum()).sum()


@torch.inference_mode()
def _ordered(found: Found, example: _Example, ranker: _Ranker) -> Found:
    order = torch.argsort(-ranker(example.columns), stable=True).tolist()
    return replace(
        found, ids=[found.ids[place] for place in order], sessions=[found.sessions[place] for place in order]
    )
