"""What held then and no more, or not yet, comes behind what holds: now, or at the time that the query names."""

from dataclasses import dataclass

import numpy as np

from memos_kernel.moments import micros
from memos_storage.domain.fusion import VALID
from memos_storage.domain.pool import Pool, filled
from memos_storage.domain.times import Span
from memos_storage.ports import Asked


@dataclass(frozen=True, slots=True)
class ValidityStage:
    """Tells which candidates hold at the time that is asked about; it comes after the stage that reads that."""

    name: str = "validity"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        valid = [pool.seen.valid[place] for place in pool.places[pool.known].tolist()]
        if any(start is not None or end is not None for start, end in valid):
            spans = [one.span for one in pool.times or ()] or [Span(asked.now, asked.now)]
            values = np.ones(len(pool))
            values[pool.known] = [any(_holds(start, end, span) for span in spans) for start, end in valid]
            pool.features[VALID] = filled(values, pool.known)
        return ""


def _holds(start: int | None, end: int | None, span: Span) -> bool:
    """Return whether something holds at some moment of a time; of one of every year it may."""
    if span.yearly:
        return True
    first, last = micros(span.start), micros(span.end)  # of a moment both are the same
    return (start is None or start < last or start <= first) and (end is None or end > first)
