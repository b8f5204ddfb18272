"""A conversation of which several turns fit is about what is asked, and so are its other turns, a little."""

from collections import defaultdict
from dataclasses import dataclass
from statistics import fmean

import numpy as np

from memos_storage.domain.fusion import SESSION, total
from memos_storage.domain.pool import NOBODY, Pool, filled
from memos_storage.ports import Asked

BEST = 2
"""Turns of a conversation that tell how well it fits, the best."""


@dataclass(frozen=True, slots=True)
class SessionStage:
    """Scores the turns of talks by the best turns of their conversations."""

    name: str = "sessions"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if not pool.talk:
            return ""
        sessions = _sessions(pool)
        of_session: dict[tuple[int, str], list[float]] = defaultdict(list)
        for session, score in zip(sessions, total(pool).tolist(), strict=True):
            of_session[session].append(score)
        fits = {session: fmean(sorted(scores)[-BEST:]) for session, scores in of_session.items()}
        known = np.array([bool(name) for _, name in sessions])
        if known.any():
            pool.features[SESSION] = filled(np.array([fits[session] for session in sessions]), known)
        return ""


def _sessions(pool: Pool) -> list[tuple[int, str]]:
    """Return the vault and the session of each candidate; the session is empty if it is in none."""
    seen = pool.seen
    vaults = seen.vaults.tolist()
    return [(vaults[place], seen.sessions[place]) if place != NOBODY else (0, "") for place in pool.places.tolist()]
