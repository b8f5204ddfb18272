"""Times that a query tells by something else: `two weeks after the concert`, `before she moved`, `since May`."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memos_storage.domain.named_times import COUNT, count_of, named_times
from memos_storage.domain.times import Span

_DAYS = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}
_ABOUT = {"day": 0.0, "week": 3.0, "month": 10.0, "year": 90.0}
"""Days by which what is said to be so long after something may be earlier or later."""

EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Ends of a time that is open on one side."""

_SIDE = re.compile(
    rf"\b(?:{COUNT}\s+(?P<unit>day|week|month|year)s?\s+|the\s+(?P<within>day|week|month|year)\s+)?"
    r"(?P<side>before|after|since|until|till)\s+(?P<event>[^?.!,;:]+)",
    re.IGNORECASE,
)
_TELLS_AN_EVENT = re.compile(r"(?:(?i:the|his|her|their|its|my|our|your|s?he|they|it|i|we|you)|[A-Z]\w*|\w+['’]s)\s+\w")
"""It begins with `the`, a pronoun or a name: `after work` and `after a while` tell of nothing that happened once."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a query counts from.

    Attributes:
        event: as the query tells it.
        before: whether it is about what was before the event, else after it.
        unit: `day`, `week`, `month` or `year` of the distance; empty if all of one side is meant.
        count: how many of these; 0 means within one.
        time: of the event, if that is a time itself.
        start: first character of the phrase in the query.
        end: one past its last character.
    """

    event: str
    before: bool
    unit: str
    count: int
    time: Span | None
    start: int
    end: int

    def span(self, event: Span) -> Span:
        """Return the time that is meant, if the event was then.

        Raises:
            OverflowError: it is outside of the calendar.
        """
        if not self.unit:
            return Span(EARLIEST, event.start) if self.before else Span(event.start, LATEST)
        if not self.count:
            far = timedelta(days=_DAYS[self.unit])
            return Span(event.start - far, event.start) if self.before else Span(event.end, event.end + far)
        days, about = self.count * _DAYS[self.unit], timedelta(days=_ABOUT[self.unit])
        middle = timedelta(days=-days if self.before else days)
        return Span(event.start + middle - about, event.end + middle + about)


@dataclass(frozen=True, slots=True)
class AskedTime:
    """A time that a query names with characters `start` to before `end`, and the uid of the cube it is counted from."""

    start: int
    end: int
    span: Span
    source: str = ""


def anchors_in(text: str, *, now: datetime) -> Iterator[Anchor]:
    """Return what a query counts from.

    Args:
        text: of the query.
        now: relative times count from it, in its time zone.
    """
    for match in _SIDE.finditer(text):
        event = match["event"].strip()
        named = next((one for one in named_times(event, now=now) if not event[: one.start].strip()), None)
        if named is None and not _TELLS_AN_EVENT.match(event):
            continue
        end = match.start("event") + (len(event) if named is None else named.end)
        yield Anchor(
            event=event,
            before=match["side"].casefold() in ("before", "until", "till"),
            unit=(match["unit"] or match["within"] or "").casefold(),
            count=count_of(match["count"]) if match["unit"] else 0,
            time=None if named is None else named.span.nearest_to(now),
            start=match.start(),
            end=end,
        )
