"""A conversation that meets a query in several places is likelier to hold the answer than one with a stray hit."""

from dataclasses import dataclass

import numpy as np

from memos_storage.domain.fusion import CONTEXT, LATE, LATE_CONTEXT, LEXICAL, SESSION, SPEAKER, total
from memos_storage.domain.pool import NOBODY, Pool, Seen
from memos_storage.ports import Asked

_EVIDENCE = (LEXICAL, CONTEXT, LATE, LATE_CONTEXT, SPEAKER)
BEST = 4
"""Turns of a session that speak for it, the best."""


@dataclass(frozen=True, slots=True)
class SessionStage:
    """Gives each turn the mean evidence of its session's best turns."""

    name: str = "session"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if not pool.talk:
            return ""
        evidence = total(pool, _EVIDENCE)
        of_session: dict[tuple[int, str], list[float]] = {}
        keys = [_session(pool.seen, place, uid) for place, uid in zip(pool.places, pool.uids, strict=True)]
        for key, value in zip(keys, evidence.tolist(), strict=True):
            of_session.setdefault(key, []).append(value)
        means = {key: sum(sorted(values, reverse=True)[:BEST]) / BEST for key, values in of_session.items()}
        pool.features[SESSION] = np.array([means[key] for key in keys])
        return ""


def _session(seen: Seen, place: int, uid: str) -> tuple[int, str]:
    """Return what tells the conversation of a candidate from others; one that is in none is alone."""
    if place == NOBODY or not seen.sessions[place]:
        return 0, uid
    return int(seen.vaults[place]), seen.sessions[place]
