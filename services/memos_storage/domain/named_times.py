"""Times that a text names, on the calendar of who says it.

`dateparser`, the library for it, returns moments without their length, knows no tense (`my exam is on Friday` is last
Friday to it), takes the words `We` and `may` and any `2000` for dates, and needs ten times as long.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import islice

from memos_storage.domain.counts import CHINESE_COUNT, COUNT, count_of
from memos_storage.domain.tenses import Tense, tense_around
from memos_storage.domain.times import (
    SEASONS,
    Span,
    back,
    date_span,
    month_of,
    months_from,
    weekday,
    weekday_after,
    weekday_before,
)

MOST = 16
"""Most times of a query that are compared."""
MOST_TOLD = 8
"""Most times of a text that are kept, the first ones."""
_MOST_READ = 200
"""Most phrases of a text that are read; a longer list of dates is cut."""

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_TURNS = {"last": 1, "past": 1, "previous": 1, "this": 0, "current": 0, "next": -1, "coming": -1}
_DAYS_BACK = {
    "today": 0, "tonight": 0, "this morning": 0, "this afternoon": 0, "this evening": 0, "yesterday": 1,
    "last night": 1, "last evening": 1, "the day before yesterday": 2, "tomorrow": -1, "the day after tomorrow": -2,
}  # fmt: skip
_CHINESE = {
    "今天": ("day", 0), "今晚": ("day", 0), "昨天": ("day", 1), "昨晚": ("day", 1), "前天": ("day", 2),
    "大前天": ("day", 3), "明天": ("day", -1), "后天": ("day", -2), "大后天": ("day", -3),
    "上上周末": ("weekend", 2), "上周末": ("weekend", 1), "本周末": ("weekend", 0), "这周末": ("weekend", 0),
    "下周末": ("weekend", -1), "下下周末": ("weekend", -2),
    "上上周": ("week", 2), "上周": ("week", 1), "这周": ("week", 0), "本周": ("week", 0), "下周": ("week", -1),
    "下下周": ("week", -2), "上上星期": ("week", 2), "上星期": ("week", 1), "上个星期": ("week", 1),
    "这星期": ("week", 0), "这个星期": ("week", 0), "下星期": ("week", -1), "下个星期": ("week", -1),
    "下下星期": ("week", -2), "上上个月": ("month", 2), "上个月": ("month", 1), "这个月": ("month", 0),
    "本月": ("month", 0), "下个月": ("month", -1), "下下个月": ("month", -2), "大前年": ("year", 3),
    "前年": ("year", 2), "去年": ("year", 1), "今年": ("year", 0), "明年": ("year", -1), "后年": ("year", -2),
}  # fmt: skip
_BEFORE_CHINESE = {
    "前天": "目之以最", "前年": "目之以最", "后天": "然雨以之今", "后年": "以之今", "上周": "晚", "明天": "透聪",
    "本月": "日", "本周": "日", "去年": "过",
}  # fmt: skip
"""What makes other words of them: 目前天气, 然后天就黑了, 晚上周围, 透明天花板, 日本月饼, 过去年轻的时候."""
_CHINESE_DAYS = "一二三四五六日"
_CHINESE_UNITS = {"天": "day", "周": "week", "星期": "week", "个月": "month", "年": "year"}

_MONTH_NAMES = "|".join(
    "sep(?:t(?:ember)?)?" if name == "september" else f"{name[:3]}(?:{name[3:]})?" if name != "may" else name
    for name in _MONTHS
)
_MONTH = rf"(?P<month>{_MONTH_NAMES})\b(?:\.(?=\s*\d))?"
_FULL_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})\b"
_YEAR = r"(?P<year>(?:19|20)\d\d)"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
_UNIT = r"(?P<unit>day|week|month|year)s?"
_WORD = "(?P<word>" + "|".join(_DAYS_BACK).replace(" ", r"\s+") + ")"
_TURN = rf"(?P<turn>{'|'.join(_TURNS)})"
_WEEKDAY = rf"(?P<weekday>{'|'.join(_DAYS)})"
_SEASON = rf"(?P<season>{'|'.join(SEASONS)})"
_COUNTED = (
    "steps?|dollars?|euros?|pounds?|bucks|km|kilomet\\w+|miles?|met(?:er|re)s?|people|words|calories|points|times"
)
"""What a number that looks like a year may count."""

_MAY_BE = re.compile(
    r"\s+(?:be|have|not|i|you|he|she|it|we|they|seem|sound|also|well|only|take|need|want|go)\b", re.IGNORECASE
)
"""Behind `may`, which is no month then."""
_PERSON = re.compile(r"\b(?:i|you|he|she|it|we|they|this|that|who)\s+\Z", re.IGNORECASE)
"""Before `may` and `march`, which are verbs then."""
_NUMBERED = re.compile(
    r"(?<!\d)(?<!on )(?<!by )(?<!till )(?<!until )(?<!since )(?<!from )(?<!before )(?<!after )\d+\s+may\s+"
    r"(?!(?:and|or|but|so|at|in|on|for|with|because|this|next|last)\b)[a-z]"
)
"""With a number of something before `may`, and a verb behind it: `anyone over 18 may apply`."""
_WITHIN = re.compile(r"(?:in|since|during|early|late|mid|until)\s", re.IGNORECASE)
"""Before `may`, which is a month then."""

_HINT = re.compile(
    rf"\d|day|week|month|year|ago|night|evening|morrow|this\s|{'|'.join(name[:3] for name in _MONTHS)}"
    rf"|{'|'.join(SEASONS)}|[天晚周年月前后]|星期",
    re.IGNORECASE,
)
"""Without any of these a text names no time: most need not be searched for every phrase."""


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
    if _HINT.search(text) is None:
        return []
    found = list[NamedTime]()
    for match, reading in islice(_matches(text), _MOST_READ):
        if not any(match.start() < one.end and one.start < match.end() for one in found):
            span = _read(reading, match, now)
            if span is not None:
                found.append(NamedTime(*match.span(), span))
    return sorted(found, key=lambda one: one.start)[:most]


def _matches(text: str) -> Iterator[tuple[re.Match[str], _Reading]]:
    for pattern, reading in _PHRASES:
        for match in pattern.finditer(text):
            yield match, reading


def spans_in(text: str, *, now: datetime) -> list[Span]:
    """Return the times that a query names; a month or day without a year is of every year."""
    return list(dict.fromkeys(one.span for one in named_times(text, now=now)))


def told_times(text: str, *, said: datetime) -> tuple[NamedTime, ...]:
    """Return the times that a memory tells of.

    A month or day without a year is the nearest one to when it was said, but what has been was the last one, and what
    will be is the next one.
    """
    named = named_times(text, now=said, most=MOST_TOLD)
    return tuple(NamedTime(one.start, one.end, _of_its_year(one, text, said)) for one in named)


def _of_its_year(one: NamedTime, text: str, said: datetime) -> Span:
    return one.span if not one.span.yearly else of_its_year(one.span, tense_around(text, one.start, one.end), said)


def of_its_year(span: Span, tense: Tense, said: datetime) -> Span:
    """Return that of a year: what has been is the last that has begun, what will be the next that is not over."""
    spans, nearest = span.around(said), span.nearest_to(said)
    if tense is Tense.PAST:
        return max((span for span in spans if span.start <= said), key=lambda span: span.start, default=nearest)
    if tense is Tense.FUTURE:
        return min((span for span in spans if span.end > said), key=lambda span: span.start, default=nearest)
    return nearest


def _read(reading: _Reading, match: re.Match[str], now: datetime) -> Span | None:
    try:
        return reading(match, now)
    except (ValueError, LookupError, OverflowError):  # no such date or word, or outside of the calendar
        return None


def _date(match: re.Match[str], now: datetime) -> Span:
    parts = match.groupdict()
    month = int(parts["number"]) if parts.get("number") else _month(match)
    return date_span(int(parts.get("year") or 0), month, int(parts.get("day") or 0), now)


def _years(match: re.Match[str], now: datetime) -> Span:
    first, last = int(match["year"]), int(match["last"])
    if last < first:
        raise ValueError
    return Span(date_span(first, 0, 0, now).start, date_span(last, 0, 0, now).end)


def _decade(match: re.Match[str], now: datetime) -> Span:
    first = int(match["decade"])
    return Span(date_span(first, 0, 0, now).start, date_span(first + 10, 0, 0, now).start)


def _season(match: re.Match[str], now: datetime) -> Span:
    return months_from(int(match["year"]), SEASONS[match["season"].casefold()], 3, now)


def _month(match: re.Match[str]) -> int:
    """Return the number of the month that is named; 0 if none is.

    Raises:
        ValueError: it is a verb.
    """
    name = match.groupdict().get("month")
    if name is None:
        return 0
    end = match.end("month")
    if name == "may" and (_may_be(match, end) or _is_verb(match)):
        raise ValueError
    if name == "march" and _is_verb(match):
        raise ValueError
    return 1 + [full[:3] for full in _MONTHS].index(name[:3].casefold())


def _may_be(match: re.Match[str], end: int) -> bool:
    text, start = match.string, match.start("month")
    if match.groupdict().get("day") and match.start("day") < start:
        return _NUMBERED.search(text, max(0, start - 10), end + 12) is not None
    return _MAY_BE.match(text, end) is not None and _WITHIN.match(match[0]) is None


def _is_verb(match: re.Match[str]) -> bool:
    start = match.start("month")
    return _PERSON.search(match.string, max(0, start - 12), start) is not None


def _lies_ahead(match: re.Match[str]) -> bool:
    """Return whether the sentence of a phrase is one of what is or will be."""
    return tense_around(match.string, *match.span()) in (Tense.FUTURE, Tense.PRESENT)


def _ago(match: re.Match[str], now: datetime) -> Span:
    return back(match["unit"].casefold(), count_of(match["count"]), now)


def _ahead(match: re.Match[str], now: datetime) -> Span:
    return back(match["unit"].casefold(), -count_of(match["count"]), now)


def _ahead_if_it_will_be(match: re.Match[str], now: datetime) -> Span:
    if not _lies_ahead(match):  # it took so long
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
        this = weekday(number, turn, now)
        over = this.end <= now and _lies_ahead(match)
        return weekday_after(number, now) if over or match["turn"].casefold() == "coming" else this
    if parts["season"]:
        return month_of(SEASONS[parts["season"].casefold()], 3, turn=turn, now=now)
    if parts["month"]:
        return month_of(_month(match), 1, turn=turn, now=now)
    return back(parts["unit"].casefold(), turn, now)


def _of_another_year(match: re.Match[str], now: datetime) -> Span:
    """Read `in May last year`, `last year in May`."""
    return date_span(now.year - _TURNS[match["turn"].casefold()], _month(match), 0, now)


def _second(match: re.Match[str], now: datetime) -> Span:
    """Read `the week before last`, `the month after next`."""
    return back(match["unit"].casefold(), 2 if match["last"] else -2, now)


def _half_a_year_ago(_: re.Match[str], now: datetime) -> Span:
    return back("month", 6, now)


def _on_weekday(match: re.Match[str], now: datetime) -> Span:
    number = _DAYS.index(match["weekday"].casefold())
    return weekday_after(number, now) if _lies_ahead(match) else weekday_before(number, now)


def _weekend(match: re.Match[str], now: datetime) -> Span:
    """Read `at the weekend`: the last one that has begun, or the next one."""
    return back("weekend", 0 if now.weekday() >= 5 or _lies_ahead(match) else 1, now)


def _chinese(match: re.Match[str], now: datetime) -> Span:
    unit, count = _CHINESE[match["chinese"]]
    if match["weekday"]:
        return weekday(_CHINESE_DAYS.index(match["weekday"].replace("天", "日")), count, now)
    return back(unit, count, now)


def _chinese_month(match: re.Match[str], now: datetime) -> Span:
    _, count = _CHINESE[match["chinese"]]
    return date_span(now.year - count, int(match["number"]), int(match["day"] or 0), now)


def _chinese_ago(match: re.Match[str], now: datetime) -> Span:
    count, sign = count_of(match["count"]), 1 if match["side"] == "前" else -1
    return back(_CHINESE_UNITS[match["unit"]], sign * count, now)


def _chinese_phrase(phrase: str) -> str:
    before = _BEFORE_CHINESE.get(phrase)
    return phrase if before is None else f"(?<![{before}]){phrase}"


def _phrases() -> Iterator[tuple[re.Pattern[str], _Reading]]:
    """Return what to look for, the longest first: what one has read no other reads again."""
    month_and_day = r"(?P<number>1?\d)\s*月(?:\s*(?P<day>[0-3]?\d)\s*[日号])?"
    told: tuple[tuple[str, _Reading], ...] = (
        (rf"(?<![\w-]){_YEAR}-(?P<number>[01]\d)(?:-(?P<day>[0-3]\d))?(?![\d-])", _date),
        (rf"(?<![\w.])(?P<day>[0-3]?\d)\.\s?(?P<number>[01]?\d)\.\s?{_YEAR}\b", _date),
        (rf"\b(?:from|between|in|during)\s+{_YEAR}\s*(?:-|–|to|and|until|till)\s*(?P<last>(?:19|20)\d\d)\b", _years),
        (r"(?<![\w.,-])(?P<decade>(?:19|20)\d0)(?:['’]?s\b|\s*年代)", _decade),
        (rf"{_YEAR}\s*年(?!代|[以之]?[前后])(?:\s*{month_and_day})?", _date),
        (rf"(?P<chinese>前年|去年|今年|明年)\s*{month_and_day}", _chinese_month),
        (month_and_day, _date),
        (rf"\b{_DAY}\s+(?:of\s+)?{_MONTH}(?:,?\s+{_YEAR})?", _date),
        (rf"\b{_MONTH}\s+{_DAY}(?:,?\s+{_YEAR})?(?!\d)", _date),
        (rf"\b{_MONTH},?\s+(?:of\s+)?{_YEAR}\b", _date),
        (rf"\b(?:in\s+)?{_MONTH}\s+(?:of\s+)?(?P<turn>last|this|next)\s+year\b", _of_another_year),
        (rf"\b(?P<turn>last|this|next)\s+year\s+in\s+{_MONTH}", _of_another_year),
        (rf"\b{_SEASON},?\s+(?:of\s+|in\s+)?{_YEAR}\b", _season),
        (r"\bhalf\s+a\s+year\s+ago\b|半年前", _half_a_year_ago),
        (rf"{COUNT}\s+{_UNIT}\s+ago\b", _ago),
        (rf"{COUNT}\s+{_UNIT}\s+from\s+(?:now|today)\b", _ahead),
        (rf"\bin\s+{COUNT}\s+{_UNIT}['’]s?\s+time\b", _ahead),
        (rf"\bin\s+{COUNT}\s+{_UNIT}\b", _ahead_if_it_will_be),
        (r"\bthe\s+(?P<unit>weekend|week|month|year)\s+(?:(?P<last>before\s+last)|after\s+next)\b", _second),
        (rf"\b{_WORD}\b", _word),
        (rf"\b{_TURN}\s+(?:(?P<unit>weekend|week|month|year)|{_WEEKDAY}|{_SEASON}|{_MONTH})\b", _turned),
        (rf"\b(?:in|since|during|early|late|mid|until)\s+{_MONTH}", _date),
        (rf"\b(?:of|by|around|before|after)\s+{_FULL_MONTH}", _date),
        (rf"\bon\s+{_WEEKDAY}\b", _on_weekday),
        (r"\b(?:at|on|over|during|for)\s+the\s+weekend\b", _weekend),
        (
            r"\b(?:in|since|until|till|by|from|of|during|before|after|around|about|late|early|mid|year)\s+"
            rf"(?:the\s+year\s+)?{_YEAR}\b(?![-.]?\w|\s+(?:{_COUNTED})\b)",
            _date,
        ),
        (rf"{CHINESE_COUNT}\s*(?P<unit>天|周|星期|个月|年)(?:以|之)?(?P<side>[前后])", _chinese_ago),
        (
            rf"(?P<chinese>{'|'.join(map(_chinese_phrase, sorted(_CHINESE, key=len, reverse=True)))})"
            rf"(?P<weekday>(?<=[周期])(?:一(?![起直些样个次定])|[二三四五六](?![个次])|日(?!本)|天(?!气)))?",
            _chinese,
        ),
    )
    for pattern, reading in told:
        yield re.compile(pattern, re.IGNORECASE), reading


_PHRASES = tuple(_phrases())
