"""Times that a text names, on the calendar of who says it."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from memos_storage.domain.times import (
    SEASONS,
    Span,
    back,
    date_span,
    month_of,
    weekday,
    weekday_after,
    weekday_before,
)

MOST = 16
"""Most times of a query that are compared."""
MOST_TOLD = 8
"""Most times of a text that are kept, the first ones."""

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_COUNTS = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12, "a couple of": 2, "couple of": 2, "a few": 3, "several": 3,
    "一": 1, "两": 2, "二": 2, "三": 3, "四": 4, "五": 5, "六": 6, "七": 7, "八": 8, "九": 9, "十": 10, "几": 3,
}  # fmt: skip
"""How many; of those that are vague the usual number."""
_TURNS = {"last": 1, "past": 1, "previous": 1, "this": 0, "current": 0, "next": -1, "coming": -1}
_DAYS_BACK = {
    "today": 0, "tonight": 0, "this morning": 0, "this afternoon": 0, "this evening": 0, "yesterday": 1,
    "last night": 1, "last evening": 1, "the day before yesterday": 2, "tomorrow": -1, "the day after tomorrow": -2,
}  # fmt: skip
_CHINESE = {
    "今天": ("day", 0), "今晚": ("day", 0), "昨天": ("day", 1), "昨晚": ("day", 1), "前天": ("day", 2),
    "明天": ("day", -1), "后天": ("day", -2), "上周末": ("weekend", 1), "上周": ("week", 1), "上星期": ("week", 1),
    "本周末": ("weekend", 0), "这周末": ("weekend", 0), "这周": ("week", 0), "本周": ("week", 0),
    "下周末": ("weekend", -1), "下周": ("week", -1), "下星期": ("week", -1), "上个月": ("month", 1),
    "这个月": ("month", 0), "本月": ("month", 0), "下个月": ("month", -1), "去年": ("year", 1), "前年": ("year", 2),
    "今年": ("year", 0), "明年": ("year", -1),
}  # fmt: skip
_CHINESE_DAYS = "一二三四五六日"
_CHINESE_UNITS = {"天": "day", "周": "week", "星期": "week", "个月": "month", "年": "year"}

_MONTH = rf"(?P<month>{'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in _MONTHS)})\b(?:\.(?=\s*\d))?"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
COUNT = rf"(?P<count>\d{{1,3}}|{'|'.join(sorted(filter(str.isascii, _COUNTS), key=len, reverse=True))})"
"""How many, such as `two` or `a couple of`, as group `count`."""
_UNIT = r"(?P<unit>day|week|month|year)s?"
_WORD = "(?P<word>" + "|".join(_DAYS_BACK).replace(" ", r"\s+") + ")"
_TURN = rf"(?P<turn>{'|'.join(_TURNS)})"
_WEEKDAY = rf"(?P<weekday>{'|'.join(_DAYS)})"
_SEASON = rf"(?P<season>{'|'.join(SEASONS)})"

_WILL_BE = re.compile(
    r"\b(?:will|won['’]t|going to|gonna|plan(?:s|ning)?|hop(?:e|es|ing)|upcoming|can['’]t wait|looking forward"
    r"|scheduled|about to)\b|['’]ll\b|\b(?:am|is|are|['’]m|['’]re|['’]s) \w+ing\b",
    re.IGNORECASE,
)
"""What makes a sentence one of the future, as far as it leaves open whether a day has been or will be."""
_HAS_BEEN = re.compile(
    r"\b(?:was|were|did|had|went|got|took|made|saw|met|came|left|began|bought|won|lost|\w{2,}ed)\b|了|过", re.IGNORECASE
)
_HINT = re.compile(
    rf"\d|day|week|month|year|ago|night|this\s|{'|'.join(name[:3] for name in _MONTHS)}|{'|'.join(SEASONS)}"
    r"|[天晚周年月前后]|星期",
    re.IGNORECASE,
)
"""Without any of these a text names no time: most need not be searched for every phrase."""
_SENTENCE_END = re.compile(r"[.!?;\n。！？；]")
_SENTENCE = 300
"""Characters around a phrase that its sentence is looked for in."""


@dataclass(frozen=True, slots=True)
class NamedTime:
    """A phrase of a text, characters `start` to before `end`, and the time that it names."""

    start: int
    end: int
    span: Span


_Reading = Callable[[re.Match[str], datetime], Span]


def named_times(text: str, *, now: datetime, most: int = MOST) -> list[NamedTime]:
    """Return the first times that a text names, in its order, none within another.

    Args:
        text: of a query or a memory.
        now: relative ones count from it, in its time zone.
        most: how many.
    """
    found = list[NamedTime]()
    if _HINT.search(text) is None:
        return found
    for pattern, reading in _PHRASES:
        for match in pattern.finditer(text):
            if len(found) < most * 4 and not any(match.start() < one.end and one.start < match.end() for one in found):
                span = _read(reading, match, now)
                if span is not None:
                    found.append(NamedTime(*match.span(), span))
    return sorted(found, key=lambda one: one.start)[:most]


def spans_in(text: str, *, now: datetime) -> list[Span]:
    """Return the times that a query names; a month or day without a year is of every year."""
    return list(dict.fromkeys(one.span for one in named_times(text, now=now)))


def told_times(text: str, *, said: datetime) -> tuple[NamedTime, ...]:
    """Return the times that a memory tells of.

    A month or day without a year is the nearest one to when it was said, but what has been was the last one.
    """
    named = named_times(text, now=said, most=MOST_TOLD)
    return tuple(NamedTime(one.start, one.end, _of_its_year(one, text, said)) for one in named)


def _of_its_year(one: NamedTime, text: str, said: datetime) -> Span:
    nearest = one.span.nearest_to(said)
    if not one.span.yearly or nearest.start <= said:
        return nearest
    has_been, will_be = (_sentence_has(pattern, text, one.start, one.end) for pattern in (_HAS_BEEN, _WILL_BE))
    return one.span.in_year(nearest.start.year - 1) if has_been and not will_be else nearest


def _read(reading: _Reading, match: re.Match[str], now: datetime) -> Span | None:
    try:
        return reading(match, now)
    except (ValueError, OverflowError):  # no such date, or outside of the calendar
        return None


def _date(match: re.Match[str], now: datetime) -> Span:
    parts = match.groupdict()
    month = int(parts["number"]) if parts.get("number") else _month(parts.get("month"))
    return date_span(int(parts.get("year") or 0), month, int(parts.get("day") or 0), now)


def _season(match: re.Match[str], now: datetime) -> Span:
    return month_of(SEASONS[match["season"].casefold()], 3, turn=0, now=now.replace(year=int(match["year"]), day=1))


def _month(name: str | None) -> int:
    return 0 if name is None else 1 + [full[:3] for full in _MONTHS].index(name[:3].casefold())


def count_of(told: str) -> int:
    """Return the number of what `COUNT` has matched."""
    given = " ".join(told.casefold().split())
    return _COUNTS.get(given) or int(given)


def _ago(match: re.Match[str], now: datetime) -> Span:
    return back(match["unit"].casefold(), count_of(match["count"]), now)


def _ahead(match: re.Match[str], now: datetime) -> Span:
    return back(match["unit"].casefold(), -count_of(match["count"]), now)


def _ahead_if_it_will_be(match: re.Match[str], now: datetime) -> Span:
    if not _will_be(match):  # it took so long
        raise ValueError
    return _ahead(match, now)


def _word(match: re.Match[str], now: datetime) -> Span:
    return back("day", _DAYS_BACK[" ".join(match["word"].casefold().split())], now)


def _turned(match: re.Match[str], now: datetime) -> Span:
    """Read `last week`, `this Friday`, `next May`."""
    turn, parts = _TURNS[match["turn"].casefold()], match.groupdict()
    if parts["weekday"]:
        number = _DAYS.index(parts["weekday"].casefold())
        if turn > 0:
            return weekday_before(number, now)
        return weekday_after(number, now) if match["turn"].casefold() == "coming" else weekday(number, turn, now)
    if parts["season"]:
        return month_of(SEASONS[parts["season"].casefold()], 3, turn=turn, now=now)
    if parts["month"]:
        return month_of(_month(parts["month"]), 1, turn=turn, now=now)
    return back(parts["unit"].casefold(), turn, now)


def _second(match: re.Match[str], now: datetime) -> Span:
    """Read `the week before last`, `the month after next`."""
    return back(match["unit"].casefold(), 2 if match["last"] else -2, now)


def _on_weekday(match: re.Match[str], now: datetime) -> Span:
    number = _DAYS.index(match["weekday"].casefold())
    return weekday_after(number, now) if _will_be(match) else weekday_before(number, now)


def _weekend(match: re.Match[str], now: datetime) -> Span:
    """Read `at the weekend`: the last one that has begun, or the next one."""
    return back("weekend", 0 if _will_be(match) or now.weekday() >= 5 else 1, now)


def _chinese(match: re.Match[str], now: datetime) -> Span:
    unit, count = _CHINESE[match["chinese"]]
    if match["weekday"]:
        return weekday(_CHINESE_DAYS.index(match["weekday"].replace("天", "日")), count, now)
    return back(unit, count, now)


def _chinese_ago(match: re.Match[str], now: datetime) -> Span:
    count, sign = count_of(match["count"]), 1 if match["side"] == "前" else -1
    return back(_CHINESE_UNITS[match["unit"]], sign * count, now)


def _will_be(match: re.Match[str]) -> bool:
    """Return whether the sentence of a match is of the future."""
    return _sentence_has(_WILL_BE, match.string, *match.span())


def _sentence_has(pattern: re.Pattern[str], text: str, start: int, end: int) -> bool:
    """Return whether the sentence around some characters has something."""
    before = [one.end() for one in _SENTENCE_END.finditer(text, max(0, start - _SENTENCE), start)]
    behind = _SENTENCE_END.search(text, end, end + _SENTENCE)
    stop = end + _SENTENCE if behind is None else behind.start()
    return pattern.search(text, before[-1] if before else max(0, start - _SENTENCE), stop) is not None


def _phrases() -> Iterator[tuple[re.Pattern[str], _Reading]]:
    """Return what to look for, the longest first: what one has read no other reads again."""
    told: tuple[tuple[str, _Reading], ...] = (
        (rf"\b{_YEAR}-(?P<number>[01]\d)(?:-{_DAY})?", _date),
        (rf"{_YEAR}\s*年(?:\s*(?P<number>1?\d)\s*月(?:\s*(?P<day>[0-3]?\d)\s*[日号])?)?", _date),
        (r"(?P<number>1?\d)\s*月(?:\s*(?P<day>[0-3]?\d)\s*[日号])?", _date),
        (rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?", _date),
        (rf"\b{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?(?!\d)", _date),
        (rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}", _date),
        (rf"\b{_SEASON},?\s+(?:of\s+|in\s+)?{_YEAR}", _season),
        (rf"\b{COUNT}\s+{_UNIT}\s+ago\b", _ago),
        (rf"\b{COUNT}\s+{_UNIT}\s+(?:from\s+(?:now|today)|later\s+today)\b", _ahead),
        (rf"\bin\s+{COUNT}\s+{_UNIT}(?:['’]s?\s+time)\b", _ahead),
        (rf"\bin\s+{COUNT}\s+{_UNIT}\b", _ahead_if_it_will_be),
        (r"\bthe\s+(?P<unit>weekend|week|month|year)\s+(?:(?P<last>before\s+last)|after\s+next)\b", _second),
        (rf"\b{_WORD}\b", _word),
        (
            rf"\b{_TURN}\s+(?:(?P<unit>weekend|week|month|year)|{_WEEKDAY}|{_SEASON}|{_MONTH})",
            _turned,
        ),
        (rf"\b(?:in|of|since|during|early|late|mid|until|by|around)\s+{_MONTH}", _date),
        (rf"\bon\s+{_WEEKDAY}\b", _on_weekday),
        (r"\b(?:at|on|over|during|for)\s+the\s+weekend\b", _weekend),
        (rf"\b{_YEAR}\b(?!-)", _date),
        (
            rf"(?P<count>\d{{1,3}}|[{''.join(name for name in _COUNTS if not name.isascii())}])\s*"
            r"(?P<unit>天|周|星期|个月|年)(?:以|之)?(?P<side>[前后])",
            _chinese_ago,
        ),
        (
            rf"(?P<chinese>{'|'.join(sorted(_CHINESE, key=len, reverse=True))})"
            rf"(?P<weekday>(?<=[周期])[{_CHINESE_DAYS}天])?",
            _chinese,
        ),
    )
    for pattern, reading in told:
        yield re.compile(pattern, re.IGNORECASE), reading


_PHRASES = tuple(_phrases())
