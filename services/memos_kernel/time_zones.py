"""Time zones as callers write them."""

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

from memos_kernel.errors import InvalidField

_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)", re.ASCII)
_LONGEST = 64
_WIDEST = timedelta(hours=18)


def on_clock(moment: datetime, offset: str) -> datetime:
    """Return a moment on a clock with an offset from UTC such as `+02:00`; on that of UTC if it cannot be read."""
    try:
        return moment.astimezone(datetime.strptime(offset, "%z").tzinfo or UTC)
    except (ValueError, OverflowError):  # no offset, or at the first or the last day that there is
        return moment.astimezone(UTC)


def zone_of(name: str, *, field: str = "time_zone") -> tzinfo:
    """Return the zone of an IANA name, such as `Europe/Oslo`, or of an offset, such as `+02:00`; empty is UTC.

    Raises:
        InvalidField: there is none.
    """
    if not name:
        return UTC
    if (offset := _OFFSET.fullmatch(name)) is not None:
        apart = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        if apart <= _WIDEST:
            return timezone(apart if offset[1] == "+" else -apart)
    elif len(name) <= _LONGEST:
        try:
            return ZoneInfo(name)
        except (ValueError, LookupError, OSError):  # not a name, not there, or a folder of zones
            pass
    raise InvalidField(
        f"{field} is {name[:_LONGEST]!r}; write an IANA name such as Europe/Oslo, or an offset such as +02:00.",
        field=field,
    )
