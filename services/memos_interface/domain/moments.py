"""Moments that callers name: RFC 3339 with an offset, in a range that a conversation can have."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from memos_kernel import limits
from memos_kernel.errors import InvalidField

_EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
_DATE_TIME = r"\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(?:\.\d+)?"
_NAIVE = re.compile(_DATE_TIME)
_AWARE = re.compile(_DATE_TIME + r"(?:[Zz]|[+-]\d{2}:\d{2})")


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time and the offset of the clock that showed it.

    Attributes:
        time: the moment, with zone UTC.
        utc_offset: `+01:00`, so that "Tuesday evening" stays the speaker's Tuesday evening.
    """

    time: datetime
    utc_offset: str


def parse_moment(value: str, *, field: str, now: datetime) -> Moment:
    """Read a time from the caller; empty means now.

    Raises:
        InvalidField: not RFC 3339, without offset, before 1970, or more than `limits.CLOCK_AHEAD` after `now`.
    """
    if not value:
        return Moment(now, "+00:00")
    if _NAIVE.fullmatch(value):
        raise InvalidField(f"{field} has no UTC offset; write it as {value}+01:00 or {value}Z.", field=field)
    if not _AWARE.fullmatch(value):
        raise _unreadable(value, field)
    try:
        local = datetime.fromisoformat(value.upper())
        moment = Moment(local.astimezone(UTC), _offset_of(local))
    except (ValueError, OverflowError) as error:
        raise _unreadable(value, field) from error
    check_moment(moment.time, field=field, now=now)
    return moment


def check_moment(time: datetime, *, field: str, now: datetime) -> None:
    """Refuse a moment in which nothing can have been said.

    Raises:
        InvalidField: before 1970, or more than `limits.CLOCK_AHEAD` after `now`.
    """
    if time < _EARLIEST:
        raise InvalidField(f"{field} is before 1970.", field=field)
    if time > now + limits.CLOCK_AHEAD:
        hours = int(limits.CLOCK_AHEAD.total_seconds() // 3600)
        raise InvalidField(f"{field} is more than {hours} hours ahead of the server's clock.", field=field)


def _offset_of(local: datetime) -> str:
    offset = local.utcoffset() or timedelta()
    minutes = abs(offset) // timedelta(minutes=1)
    return f"{'-' if offset < timedelta() else '+'}{minutes // 60:02d}:{minutes % 60:02d}"


def _unreadable(value: str, field: str) -> InvalidField:
    return InvalidField(
        f"{field} is {value[:40]!r}; write RFC 3339 with offset, such as 2026-03-02T19:12:00+01:00.", field=field
    )
