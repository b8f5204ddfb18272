"""Times that a text names, with what they mean: `last Friday = 2026-03-06`."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from memos_kernel.time_zones import on_clock, zone_of
from memosctl.names import short

if TYPE_CHECKING:
    from memos_api.v1.memcube_pb2 import MemCube
    from memos_api.v1.memory_service_pb2 import NamedTime

_Clock = Callable[[datetime], datetime]


def of_text(times: Iterable["NamedTime"], cube: "MemCube") -> str:
    """Return the times that the text of a cube tells of, on the speaker's clock."""
    offset = cube.sources[0].utc_offset if cube.sources else ""
    return _all(times, lambda moment: on_clock(moment, offset))


def of_query(times: Iterable["NamedTime"], time_zone: str) -> str:
    """Return the times that a query names, in its zone."""
    zone = zone_of(time_zone)
    return _all(times, lambda moment: moment.astimezone(zone))


def _all(times: Iterable["NamedTime"], clock: _Clock) -> str:
    return ", ".join(_told(time, clock) for time in times)


def _told(time: "NamedTime", clock: _Clock) -> str:
    start, end = (None if moment is None else clock(moment) for moment in _ends(time))
    told = f"{time.text} = {_days(time, start, end)}"
    return f"{told} (by {short(time.counted_from)})" if time.counted_from else told


def _days(time: "NamedTime", start: datetime | None, end: datetime | None) -> str:
    """Return the first and the last day."""
    if start is None or end is None:
        if time.yearly:
            return "every year"
        return f"until {end.date()}" if end is not None else f"from {start.date()}" if start is not None else "any time"
    last = max(start, end - timedelta(microseconds=1)).date()
    return str(last) if start.date() == last else f"{start.date()} to {last}"


def _ends(time: "NamedTime") -> tuple[datetime | None, datetime | None]:
    return (
        time.start_time.ToDatetime(tzinfo=UTC) if time.HasField("start_time") else None,
        time.end_time.ToDatetime(tzinfo=UTC) if time.HasField("end_time") else None,
    )
