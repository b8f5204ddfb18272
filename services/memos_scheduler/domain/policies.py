"""Selection policies: in which order candidates are tried (MemScheduler, MemOS, arXiv 2507.03724, section 5.2)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from memos_kernel import limits
from memos_kernel.cube import MemCube
from memos_scheduler.domain.plan import Candidate, Preference, when_said

DEFAULT_PRIORITY = 50


class SimilarityPolicy:
    """The order of retrieval."""

    def order(self, candidates: Sequence[Candidate], *, now: datetime) -> list[Preference]:
        """Return the candidates as retrieval ordered them."""
        return [Preference(candidate) for candidate in candidates]


@dataclass(frozen=True, slots=True, kw_only=True)
class UsagePolicy:
    """Similarity, and beside it use, recency and priority.

    MemOS names similarity, frequency of access, decay over time and priority tags as the signals of the
    scheduler. Similarity is the place in the answer of retrieval, from 1 for the best down to 0, since
    fused scores have no scale of their own; the weights say how much of that range each other signal is
    worth at most.
    """

    heat_weight: float = 0.2
    recency_weight: float = 0.1
    priority_weight: float = 0.1
    recency_half_life: timedelta = timedelta(days=30)

    def order(self, candidates: Sequence[Candidate], *, now: datetime) -> list[Preference]:
        """Return the candidates by their value; equal ones as retrieval ordered them."""
        valued = [
            (1.0 - index / len(candidates) + self._bonus(candidate.cube, now=now), candidate)
            for index, candidate in enumerate(candidates)
        ]
        valued.sort(key=lambda pair: -pair[0])
        return [Preference(candidate, _note(candidate.cube, now=now)) for _, candidate in valued]

    def _bonus(self, cube: MemCube, *, now: datetime) -> float:
        heat = heat_at(cube, now=now)
        recency = math.pow(0.5, _age(cube, now=now) / self.recency_half_life)
        priority = ((cube.priority or DEFAULT_PRIORITY) - DEFAULT_PRIORITY) / DEFAULT_PRIORITY
        return self.heat_weight * heat / (1.0 + heat) + self.recency_weight * recency + self.priority_weight * priority


def heat_at(cube: MemCube, *, now: datetime) -> float:
    """Return the heat of a cube, decayed since its last use."""
    if cube.usage.last_used_time is None:
        return 0.0
    idle = max(timedelta(0), now - cube.usage.last_used_time)
    return cube.usage.heat * math.pow(0.5, idle / limits.HEAT_HALF_LIFE)


def _age(cube: MemCube, *, now: datetime) -> timedelta:
    return max(timedelta(0), now - when_said(cube))


def _note(cube: MemCube, *, now: datetime) -> str:
    return f"heat {heat_at(cube, now=now):.1f}, {_age(cube, now=now).days} days old"
