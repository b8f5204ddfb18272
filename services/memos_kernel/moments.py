"""Moments as whole numbers: microseconds since 1970 in UTC, exact and sortable everywhere."""

from datetime import UTC, datetime, timedelta
from typing import overload

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


@overload
def micros(moment: datetime) -> int: ...
@overload
def micros(moment: None) -> None: ...
def micros(moment: datetime | None) -> int | None:
    """Return an aware datetime as a number."""
    return None if moment is None else (moment - _EPOCH) // _MICROSECOND


@overload
def moment(value: int) -> datetime: ...
@overload
def moment(value: None) -> None: ...
def moment(value: int | None) -> datetime | None:
    """Return the aware datetime of a number, with zone UTC."""
    return None if value is None else _EPOCH + value * _MICROSECOND
