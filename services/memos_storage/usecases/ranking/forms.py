"""What tells something looks otherwise than small talk: longer, no question, in the first person, by the user."""

import re
from dataclasses import dataclass

import numpy as np

from memos_storage.domain.fusion import ASKS, FIRST_PERSON, LENGTH, ROLE, TELLS_TIME
from memos_storage.domain.pool import Pool
from memos_storage.domain.turns import Mark, Role
from memos_storage.ports import Asked

_ASKS_WHEN = re.compile(
    r"\bwhen\b|\b(?:what|which) (?:date|day|month|year|time)\b|\bhow long\b|什么时候|何时|哪[天年]|多久", re.IGNORECASE
)


@dataclass(frozen=True, slots=True)
class FormStage:
    """Tells by length, marks and role how likely a text is to hold what is asked for."""

    name: str = "form"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        if not pool.known.all():  # what is not live has no form; then none has
            return "of some texts only the words are known"
        seen, places = pool.seen, pool.places
        pool.features[LENGTH] = np.log1p(seen.lengths[places])
        marks = [(ASKS, Mark.ASKS), (FIRST_PERSON, Mark.FIRST_PERSON)]
        if _ASKS_WHEN.search(asked.text):
            marks.append((TELLS_TIME, Mark.TELLS_TIME))
        for name, mark in marks:
            pool.features[name] = ((seen.marks[places] & int(mark)) != 0).astype(np.float64)
        roles = seen.roles[places]
        pool.features[ROLE] = (roles == Role.USER).astype(np.float64) - (roles == Role.ASSISTANT)
        return ""
