"""Stretches of the calendar, and how near a moment is to them."""

import math
from calendar import monthrange
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta

_TOLD_AFTER, _TOLD_BEFORE = 10.0, 5.0
"""Days after a time by which what is told of it has become e times rarer, and before it."""
_AHEAD = 0.5
"""How much a moment counts that is just before the time: what is planned is told before."""

_YEARLY = 2000
"""Year in which times of every year are kept; it has a 29 February."""

SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}
"""First month of each, of three, north of the equator."""

_DAY, _WEEK = timedelta(days=1), timedelta(days=7)


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end`; without a year it is of every year (`yearly`)."""

    start: datetime
    end: datetime
    yearly: bool = False

    def in_year(self, year: int) -> "Span":
        """Return that of a year; in one without a 29 February the 28th stands for it."""
        if self.end - self.start > _DAY:
            return date_span(year, self.start.month, 0, self.start)
        start = self.start.replace(year=year, day=min(self.start.day, monthrange(year, self.start.month)[1]))
        return Span(start, start + _DAY)

    def around(self, moment: datetime) -> list["Span"]:
        """Return those of the years around a moment, one of every year without those in which there is no such day."""
        if not self.yearly:
            return [self]
        spans = [self.in_year(year) for year in _years_around(moment, 8)]
        return [span for span in spans if span.start.day == self.start.day]

    def nearest_to(self, moment: datetime) -> "Span":
        """Return it, if it is of every year that of the year in which it is nearest to a moment."""
        return min(self.around(moment), key=lambda span: abs(span.start - moment))


def closeness(moment: datetime | None, spans: Sequence[Span]) -> float:
    """Return how near a moment is to the nearest of some times: 1 within it, less the longer after or before it."""
    if moment is None:
        return 0.0
    return max((_near(moment, span) for span in spans), default=0.0)


def overlap(told: Span, spans: Sequence[Span]) -> float:
    """Return how well a time that a text tells of fits the best of some times: 1 within it, 0 outside.

    Of a longer one that has it within the square root of its share counts: `in 2022` says little of a day.
    """
    return max((_overlap(told, span) for span in spans), default=0.0)


def _near(moment: datetime, span: Span) -> float:
    if span.yearly:
        return max((_near(moment, span.in_year(year)) for year in _years_around(moment)), default=0.0)
    if moment < span.start:
        return _AHEAD * math.exp(-((span.start - moment) / _DAY) / _TOLD_BEFORE)
    return math.exp(-max(0.0, (moment - span.end) / _DAY) / _TOLD_AFTER)


def _overlap(told: Span, span: Span) -> float:
    if span.yearly:
        return max((_overlap(told, span.in_year(year)) for year in _years_around(told.start)), default=0.0)
    both = (min(told.end, span.end) - max(told.start, span.start)) / (told.end - told.start)
    return math.sqrt(max(0.0, both))


def _years_around(moment: datetime, far: int = 1) -> list[int]:
    return [year for year in range(moment.year - far, moment.year + far + 1) if MINYEAR <= year < MAXYEAR]


def date_span(year: int, month: int, day: int, now: datetime) -> Span:
    """Return a day, or a month or year if `day` or these are 0, in the zone of `now`; without a year of every year.

    Raises:
        ValueError: there is no such date.
    """
    zone, yearly = now.tzinfo or UTC, not year
    year = year or _YEARLY
    if not month:
        return Span(datetime(year, 1, 1, tzinfo=zone), datetime(year + 1, 1, 1, tzinfo=zone))
    start = datetime(year, month, day or 1, tzinfo=zone)
    return Span(start, start + timedelta(days=1 if day else monthrange(year, month)[1]), yearly)


def back(unit: str, count: int, now: datetime) -> Span:
    """Return the `day`, `week`, `weekend`, `month` or `year` that many before the present one; after it below zero.

    Raises:
        ValueError, OverflowError: it is outside of the calendar.
    """
    today = _midnight(now)
    if unit == "day":
        return Span(today - count * _DAY, today - (count - 1) * _DAY)
    if unit == "year":
        return date_span(now.year - count, 0, 0, now)
    if unit == "month":
        months = now.year * 12 + now.month - 1 - count
        return date_span(months // 12, months % 12 + 1, 0, now)
    monday = today - now.weekday() * _DAY - count * _WEEK
    return Span(monday + (5 * _DAY if unit == "weekend" else timedelta()), monday + _WEEK)


def weekday(number: int, weeks: int, now: datetime) -> Span:
    """Return a day of the week that many weeks before the present one."""
    return back("day", now.weekday() - number + 7 * weeks, now)


def weekday_before(number: int, now: datetime) -> Span:
    """Return the last such day of the week before today."""
    return back("day", (now.weekday() - number) % 7 or 7, now)


def weekday_after(number: int, now: datetime) -> Span:
    """Return the next such day of the week after today."""
    return back("day", -((number - now.weekday()) % 7 or 7), now)


def month_of(number: int, months: int, *, turn: int, now: datetime) -> Span:
    """Return a month, or some from it on: the last one before the present one, the one around it or the next one.

    Args:
        number: of its first month, from 1.
        months: how many belong to it.
        turn: 1 for the last that is over, 0 for the one around now or else that of this year, -1 for the next one.
    """
    spans = [months_from(year, number, months, now) for year in range(now.year - 2, now.year + 2)]
    if turn > 0:
        return [span for span in spans if span.end <= now][-1]
    if turn < 0:
        return next(span for span in spans if span.start > now)
    return next((span for span in spans if span.start <= now < span.end), spans[2])


def months_from(year: int, number: int, months: int, now: datetime) -> Span:
    """Return some months, the first of which is one of a year."""
    last = year * 12 + number - 1 + months - 1
    start, end = date_span(year, number, 0, now), date_span(last // 12, last % 12 + 1, 0, now)
    return Span(start.start, end.end)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
