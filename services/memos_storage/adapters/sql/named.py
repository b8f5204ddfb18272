"""The times that a text tells of, as one column: JSON of characters from and to, and microseconds from and to."""

import json
from collections.abc import Sequence

from memos_kernel.moments import micros, moment
from memos_storage.domain.named_times import NamedTime
from memos_storage.domain.times import Span


def named_to_json(named: Sequence[NamedTime]) -> str:
    """Return the value of the column; empty if there are none."""
    if not named:
        return ""
    return json.dumps([(one.start, one.end, micros(one.span.start), micros(one.span.end)) for one in named])


def named_from_json(stored: str) -> tuple[NamedTime, ...]:
    """Return the times of a value, in UTC."""
    if not stored:
        return ()
    return tuple(
        NamedTime(start, end, Span(moment(begin), moment(stop))) for start, end, begin, stop in json.loads(stored)
    )
