"""Times that a text names, and how near a moment is to them."""

import math
import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import MAXYEAR, MINYEAR, UTC, datetime, timedelta

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_NUMBERS = {"a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
_MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)})\b\.?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
_PATTERNS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b{_YEAR}-(?P<number>[01]\d)(?:-{_DAY})?",
        rf"{_YEAR}\s*年(?:\s*(?P<number>1?\d)\s*月(?:\s*(?P<day>[0-3]?\d)\s*[日号])?)?",
        r"(?P<number>1?\d)\s*月(?:\s*(?P<day>[0-3]?\d)\s*[日号])?",
        rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?",
        rf"\b{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?(?!\d)",
        rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}",
        rf"\b(?:in|of|since|during|last|this|early|late|mid|until|by|around)\s+{_MONTH}",
        rf"\b{_YEAR}\b(?!-)",
    )
)
_AGO = re.compile(
    rf"\b(?P<count>\d{{1,3}}|{'|'.join(_NUMBERS)})\s+(?P<unit>day|week|month|year)s?\s+ago\b", re.IGNORECASE
)
_WORDS = re.compile(
    r"\b(?P<word>today|yesterday|last night|tonight|tomorrow)\b"
    r"|\b(?P<which>last|this|past|next)\s+(?P<unit>week|weekend|month|year)\b"
    r"|\b(?:last|on|this|past)\s+(?P<weekday>(?:mon|tues|wednes|thurs|fri|satur|sun)day)\b"
    r"|(?P<chinese>今天|昨天|前天|明天|上周|这周|上个月|这个月|去年|今年)",
    re.IGNORECASE,
)
_CHINESE = {
    "今天": ("day", 0), "昨天": ("day", 1), "前天": ("day", 2), "明天": ("day", -1), "上周": ("week", 1),
    "这周": ("week", 0), "上个月": ("month", 1), "这个月": ("month", 0), "去年": ("year", 1), "今年": ("year", 0),
}  # fmt: skip
_ENGLISH = {"today": 0, "tonight": 0, "yesterday": 1, "last night": 1, "tomorrow": -1}
_BACK = {"last": 1, "past": 1, "this": 0, "next": -1}

_TOLD_AFTER, _TOLD_BEFORE = 10.0, 5.0
"""Days after a time by which what is told of it has become e times rarer, and before it."""
_AHEAD = 0.5
"""How much a moment counts that is just before the time: what is planned is told before."""


_MOST = 16
"""Most times of a text that are compared."""
_YEARLY = 2000
"""Year in which times of every year are kept; it has a 29 February."""


@dataclass(frozen=True, slots=True)
class Span:
    """From `start` to before `end`; without a year it is of every year (`yearly`)."""

    start: datetime
    end: datetime
    yearly: bool = False


def spans_in(text: str, *, now: datetime) -> list[Span]:
    """Return the times that a text names, none within another; relative ones count from `now`, in its time zone."""
    found: list[Span] = []
    taken: list[tuple[int, int]] = []
    for pattern in _PATTERNS:
        for match in pattern.finditer(text):
            if not any(match.start() < end and start < match.end() for start, end in taken):
                span = _absolute(match, now)
                if span is not None:
                    found.append(span)
                    taken.append(match.span())
    return list(dict.fromkeys([*found, *_relative(text, now)]))[:_MOST]


def closeness(moment: datetime | None, spans: Sequence[Span]) -> float:
    """Return how near a moment is to the nearest of some times: 1 within it, less the longer after or before it."""
    if moment is None:
        return 0.0
    return max((_near(moment, span) for span in spans), default=0.0)


def _near(moment: datetime, span: Span) -> float:
    if span.yearly:
        years = [year for year in range(moment.year - 1, moment.year + 2) if MINYEAR <= year < MAXYEAR]
        return max(_near(moment, _in_year(span, year)) for year in years)
    if moment < span.start:
        return _AHEAD * math.exp(-((span.start - moment) / timedelta(days=1)) / _TOLD_BEFORE)
    return math.exp(-max(0.0, (moment - span.end) / timedelta(days=1)) / _TOLD_AFTER)


def _in_year(span: Span, year: int) -> Span:
    try:
        start = span.start.replace(year=year)
    except ValueError:  # 29 February
        start = span.start.replace(year=year, day=28)
    return Span(start, start + (span.end - span.start))


def _absolute(match: re.Match[str], now: datetime) -> Span | None:
    parts = match.groupdict()
    month = int(parts["number"]) if parts.get("number") else _month(parts.get("month"))
    day, year = int(parts.get("day") or 0), int(parts.get("year") or 0)
    try:
        return _span(year or _YEARLY, month, day, now, yearly=not year)
    except ValueError:  # no such date
        return None


def _month(name: str | None) -> int:
    return (
        0 if name is None else next(place for place, full in enumerate(_MONTHS, 1) if full[:3] == name[:3].casefold())
    )


def _span(year: int, month: int, day: int, now: datetime, *, yearly: bool) -> Span:
    zone = now.tzinfo or UTC
    if not month:
        return Span(datetime(year, 1, 1, tzinfo=zone), datetime(year + 1, 1, 1, tzinfo=zone))
    if not day:
        start = datetime(year, month, 1, tzinfo=zone)
        return Span(start, start + timedelta(days=monthrange(year, month)[1]), yearly)
    start = datetime(year, month, day, tzinfo=zone)
    return Span(start, start + timedelta(days=1), yearly)


def _relative(text: str, now: datetime) -> Iterator[Span]:
    for match in _AGO.finditer(text):
        count = match["count"].casefold()
        yield _back(match["unit"].casefold(), _NUMBERS.get(count) or int(count), now)
    for match in _WORDS.finditer(text):
        if match["word"]:
            yield _back("day", _ENGLISH[match["word"].casefold()], now)
        elif match["which"]:
            unit = match["unit"].casefold()
            yield _back("week" if unit == "weekend" else unit, _BACK[match["which"].casefold()], now)
        elif match["weekday"]:
            since = (now.weekday() - _DAYS.index(match["weekday"].casefold())) % 7 or 7
            yield _back("day", since, now)
        else:
            unit, count = _CHINESE[match["chinese"]]
            yield _back(unit, count, now)


def _back(unit: str, count: int, now: datetime) -> Span:
    """Return the day, week, month or year that many before the present one."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    if unit == "day":
        start = midnight - timedelta(days=count)
        return Span(start, start + timedelta(days=1))
    if unit == "week":
        start = midnight - timedelta(days=now.weekday() + 7 * count)
        return Span(start, start + timedelta(days=7))
    if unit == "year":
        return _span(now.year - count, 0, 0, now, yearly=False)
    months = now.year * 12 + now.month - 1 - count
    return _span(months // 12, months % 12 + 1, 0, now, yearly=False)
