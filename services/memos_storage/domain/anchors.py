"""Times that a query tells by something else: `two weeks after the concert`, `before she moved`, `since May`."""

import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice

from memos_storage.domain.counts import COUNT, count_of
from memos_storage.domain.named_times import NamedTime, named_times, of_its_year
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
    r"(?P<event>(?:(?!(?<=\S)\s+(?:(?:and\s+)?(?:before|after|since|until|till)"
    r"|(?:what|who|where|which|how)\s+(?:did|do|does|is|are|was|were|has|have|had))\b)[^?.!,;:])+)",
    re.IGNORECASE,
)
_SIDES = {"before": "before", "after": "after", "since": "since", "until": "until", "till": "until"}
_CHINESE_SIDE = re.compile(
    r"(?P<event>(?<!\d)(?:19|20)\d\d\s*年(?:\s*\d\d?\s*月(?:\s*\d\d?\s*[日号])?)?)\s*[以之]?(?P<side>[前后])"
)
_MOST = 16
"""Most phrases of a query that are read."""
_TELLS_AN_EVENT = re.compile(
    r"(?:(?i:the|his|her|their|its|my|our|your|s?he|they|it|i|we|you)|[A-Z]\w*|\w+['’]s)\s+\w|[A-Z]\w+\Z"
)
"""It begins with `the`, a pronoun or a name: `after work` and `after a while` tell of nothing that happened once."""
_NO_TIME = re.compile(r"\b(?:look(?:s|ed|ing)?|nam(?:e|ed|es|ing)(?:\s+(?:it|him|her|them))?)\s+\Z", re.IGNORECASE)
"""Before `after`, which tells of no time then: `who looks after the children`."""
_OF_A_PERSON = re.compile(
    r"\b(?:tak(?:e|es|en|ing)|took|ask(?:s|ed|ing)?|call(?:s|ed|ing)?(?:\s+(?:it|him|her|them))?)\s+\Z", re.IGNORECASE
)
"""The same, if a person of the family is behind it."""
_FAMILY = re.compile(
    r"\w+\s+(?:(?:grand)?(?:father|mother|dad|mom|mum|parents?|son|daughter)|uncle|aunt|brother|sister)\b",
    re.IGNORECASE,
)
_SHORT = 4
"""Words of an event; what begins with `since`, is longer and tells of nothing past is a reason."""
_BEFORE = 40
"""Characters before a phrase that tell whether it is a time, and of which tense."""
_PRONOUN = re.compile(r"(?:i|you|he|she|it|we|they)\b", re.IGNORECASE)


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
    for match in islice(_SIDE.finditer(text), _MOST):
        with suppress(LookupError):  # its letters are others than those of the word: `sınce`
            yield from _anchor(match, now)
    for match in islice(_CHINESE_SIDE.finditer(text), _MOST):
        for named in named_times(match["event"], now=now):
            side = "before" if match["side"] == "前" else "after"
            yield Anchor(match["event"], side, "", 0, named.span, *match.span())


def _anchor(match: re.Match[str], now: datetime) -> Iterator[Anchor]:
    event, side = match["event"].strip(), _SIDES[match["side"].casefold()]
    named = _time_at_the_start(match, event, side, now)
    if named is None and (not _TELLS_AN_EVENT.match(event) or _tells_no_time(match, event, side)):
        return
    yield Anchor(
        event=event,
        side=side,
        unit=(match["unit"] or match["within"] or "").casefold(),
        count=count_of(match["count"]) if match["unit"] else 0,
        time=None if named is None else named.span,
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


def _time_at_the_start(match: re.Match[str], event: str, side: str, now: datetime) -> NamedTime | None:
    """Return the time that an event is or begins with, such as `May`, `last week` or `Friday`.

    What is asked tells whether it is ahead, but what something is since has been.
    """
    asked = "" if side == "since" else match.string[max(0, match.start() - _BEFORE) : match.start()]
    tense = Tense.PAST if side == "since" else tense_around(asked, len(asked), len(asked))
    for word in ("", "in ", "on "):
        start = len(asked) + len(word)
        for one in named_times(asked + word + event, now=now):
            if len(asked) <= one.start <= start < one.end:
                return NamedTime(0, one.end - start, of_its_year(one.span, tense, now))
    return None


def _tells_no_time(match: re.Match[str], event: str, side: str) -> bool:
    text, start = match.string, match.start("side")
    if match["unit"] or match["within"]:
        return False
    if side == "after":
        before = max(0, start - _BEFORE)
        if _NO_TIME.search(text, before, start) or (_OF_A_PERSON.search(text, before, start) and _FAMILY.match(event)):
            return True
    if text[: match.start()].strip() or text[match.end() : match.end() + 1] not in (",", ":"):
        return False
    reason = _PRONOUN.match(event) is not None or (side == "since" and len(event.split()) > _SHORT)
    return reason and tense_around(event, 0, 0) is not Tense.PAST  # `Since I like tea, ...`
