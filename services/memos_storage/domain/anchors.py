"""Times that a query tells by something else: `two weeks after the concert`, `before she moved`, `since May`."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memos_storage.domain.counts import COUNT, count_of
from memos_storage.domain.named_times import NamedTime, named_times
from memos_storage.domain.tenses import Tense, tense_around
from memos_storage.domain.times import Span

_DAYS = {"day": 1.0, "week": 7.0, "month": 30.44, "year": 365.25}
_ABOUT = {"day": 0.0, "week": 3.0, "month": 10.0, "year": 90.0}
"""Days by which what is said to be so long after something may be earlier or later."""

EARLIEST, LATEST = datetime(1, 1, 2, tzinfo=UTC), datetime(9999, 12, 30, tzinfo=UTC)
"""Ends of a time that is open on one side."""

_SIDE = re.compile(
    rf"(?:{COUNT}\s+(?P<unit>day|week|month|year)s?\s+|\bthe\s+(?P<within>day|week|month|year)\s+|\b)"
    r"(?P<side>before|after|since|until|till)\s+"
    r"(?P<event>(?:(?!\s+(?:and\s+)?(?:before|after|since|until|till)\b)[^?.!,;:])+)",
    re.IGNORECASE,
)
_TELLS_AN_EVENT = re.compile(
    r"(?:(?i:the|his|her|their|its|my|our|your|s?he|they|it|i|we|you)|[A-Z]\w*|\w+['’]s)\s+\w|[A-Z]\w+\Z"
)
"""It begins with `the`, a pronoun or a name: `after work` and `after a while` tell of nothing that happened once."""
_NO_TIME = re.compile(
    r"\b(?:look\w*|tak(?:e|es|en|ing)|took|ask\w*|run\w*|nam(?:e|ed|es)\b.*|call(?:ed)?\b.*)\s*\Z", re.IGNORECASE
)
"""Before `after`, which tells of no time then: `who looks after the children`."""


@dataclass(frozen=True, slots=True)
class Anchor:
    """What a query counts from.

    Attributes:
        event: as the query tells it.
        side: `before`, `after`, `since` or `until`.
        unit: `day`, `week`, `month` or `year` of the distance; empty if all of one side is meant.
        count: how many of these; 0 means within one.
        time: of the event, if that is a time itself.
        start: first character of the phrase in the query.
        end: one past its last character.
    """

    event: str
    side: str
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
        before = self.side in ("before", "until")
        if not self.unit:
            return self._open(event)
        if not self.count:
            far = timedelta(days=_DAYS[self.unit])
            return Span(event.start - far, event.start) if before else Span(event.end, event.end + far)
        days, about = self.count * _DAYS[self.unit], timedelta(days=_ABOUT[self.unit])
        middle = timedelta(days=-days if before else days)
        return Span(event.start + middle - about, event.end + middle + about)

    def _open(self, event: Span) -> Span:
        """Return all before or after an event; what is told of the day of something may be of what came after it."""
        if self.side == "before":
            return Span(EARLIEST, event.start)
        if self.side == "until":
            return Span(EARLIEST, event.start if self.time is None else event.end)
        return Span(event.start if self.time is None or self.side == "since" else event.end, LATEST)


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
        event, side = match["event"].strip(), match["side"].casefold()
        named = _time_at_the_start(event, now)
        if named is None and (not _TELLS_AN_EVENT.match(event) or _tells_no_time(match)):
            continue
        yield Anchor(
            event=event,
            side="until" if side == "till" else side,
            unit=(match["unit"] or match["within"] or "").casefold(),
            count=count_of(match["count"]) if match["unit"] else 0,
            time=None if named is None else named.span.nearest_to(now),
            start=match.start(),
            end=match.start("event") + (len(event) if named is None else named.end),
        )


def between(times: Sequence[AskedTime]) -> list[AskedTime]:
    """Return times with what lies between for one that is open ahead and one that is open back: `after X, before Y`."""
    after = [one for one in times if one.span.end == LATEST]
    before = [one for one in times if one.span.start == EARLIEST]
    if len(after) != 1 or len(before) != 1 or after[0].span.start >= before[0].span.end:
        return list(times)
    ends = (*after, *before)
    both = AskedTime(
        min(one.start for one in ends),
        max(one.end for one in ends),
        Span(after[0].span.start, before[0].span.end),
        next((one.source for one in ends if one.source), ""),
    )
    return [*(one for one in times if one not in ends), both]


def _time_at_the_start(event: str, now: datetime) -> NamedTime | None:
    """Return the time that an event is or begins with, such as `May`, `last week` or `Friday`."""
    for word in ("", "in ", "on "):
        for one in named_times(word + event, now=now):
            if one.start <= len(word) and one.end > len(word) and not (word + event)[: one.start].strip():
                return NamedTime(0, one.end - len(word), one.span)
    return None


def _tells_no_time(match: re.Match[str]) -> bool:
    text, side = match.string, match["side"].casefold()
    if side == "after" and not match["unit"] and not match["within"]:
        return _NO_TIME.search(text, 0, match.start("side")) is not None
    opens = not text[: match.start()].strip() and text[match.end() : match.end() + 1] in (",", ":")
    return opens and tense_around(match["event"], 0, 0) is not Tense.PAST  # `Since I like tea, ...`
