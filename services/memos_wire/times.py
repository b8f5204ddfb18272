"""Times between the domain (aware datetimes, timedeltas) and the wire."""

from datetime import UTC, datetime, timedelta

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from memos_kernel.errors import InvalidField
from memos_kernel.moments import micros


def to_timestamp(value: datetime | None) -> Timestamp | None:
    """Return the wire form, or None."""
    if value is None:
        return None
    seconds, rest = divmod(micros(value), 1_000_000)  # Timestamp.FromDatetime costs three times as much
    return Timestamp(seconds=seconds, nanos=rest * 1_000)


def from_timestamp(stamp: Timestamp, *, field: str) -> datetime:
    """Return the moment, with zone UTC.

    Raises:
        InvalidField: outside the years 1 to 9999.
    """
    try:
        return stamp.ToDatetime(tzinfo=UTC)
    except (ValueError, OverflowError) as error:
        raise InvalidField(f"{field} is not a time between the years 1 and 9999.", field=field) from error


def optional_time(message: Message, name: str, *, field: str = "") -> datetime | None:
    """Return a time that may be left out; `field` is what an error calls it, if not by its name.

    Raises:
        InvalidField: outside the years 1 to 9999.
    """
    stamp: Timestamp = getattr(message, name)
    return from_timestamp(stamp, field=field or name) if message.HasField(name) else None


def to_duration(value: timedelta | None) -> Duration | None:
    """Return the wire form, or None."""
    if value is None:
        return None
    duration = Duration()
    duration.FromTimedelta(value)
    return duration


def optional_duration(message: Message, name: str, *, field: str = "") -> timedelta | None:
    """Return a duration that may be left out; `field` is what an error calls it, if not by its name.

    Raises:
        InvalidField: more days than there can be, or parts of a microsecond.
    """
    duration: Duration = getattr(message, name)
    if not message.HasField(name):
        return None
    try:
        if abs(duration.nanos) >= 1_000_000_000 or duration.nanos % 1_000:
            raise ValueError("finer than a microsecond, or not normalised")
        return duration.ToTimedelta()
    except (ValueError, OverflowError) as error:
        raise InvalidField(f"{field or name} is no duration of whole microseconds.", field=field or name) from error
