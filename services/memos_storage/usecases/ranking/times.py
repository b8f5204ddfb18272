"""A query that says when, such as `in May 2023` or `last week`, means what was said then or soon after."""

from dataclasses import dataclass

import numpy as np

from memos_kernel.moments import moment
from memos_storage.domain.fusion import TIME
from memos_storage.domain.pool import Pool, filled
from memos_storage.domain.times import closeness, spans_in
from memos_storage.ports import Asked


@dataclass(frozen=True, slots=True)
class TimeStage:
    """Compares the times that the query names with those of the turns."""

    name: str = "time"

    async def __call__(self, pool: Pool, asked: Asked) -> str:
        """See `Stage`."""
        spans = spans_in(asked.text, now=asked.now)
        if spans:
            times = pool.seen.times[pool.places[pool.known]].tolist()
            near = {time: closeness(moment(time), spans) for time in set(times)}
            values = np.zeros(len(pool))
            values[pool.known] = [near[time] for time in times]
            pool.features[TIME] = filled(values, pool.known)
        return ""
