"""Rules for single fields of a cube: the edge checks them to name the caller's field, storage to be sure."""

from collections.abc import Sequence, Sized
from datetime import UTC, datetime

from memos_kernel import limits
from memos_kernel.cube import SourceSpan
from memos_kernel.errors import InvalidField, LimitExceeded
from memos_kernel.text import check_plain, check_text

_EARLIEST = datetime(1, 1, 2, tzinfo=UTC)
_LATEST = datetime(9999, 12, 30, tzinfo=UTC)
_LANGUAGE_BYTES = 35  # the longest tag that BCP 47 makes people support
_TAG_BYTES = 64


def check_count(values: Sized, limit: int, *, field: str) -> None:
    """Refuse a list that is too long.

    Raises:
        LimitExceeded: it is.
    """
    if len(values) > limit:
        raise LimitExceeded(
            f"{field} has {len(values)} entries; the limit is {limit}.", field=field, limit=str(limit), unit="entries"
        )


def check_calendar(value: datetime | None, *, field: str) -> None:
    """Refuse a time with which nothing can be computed.

    Raises:
        InvalidField: it is in the first or last days that there are.
    """
    if value is not None and not _EARLIEST <= value <= _LATEST:
        raise InvalidField(f"{field} is at the edge of the calendar; give a real date.", field=field)


def check_expiry(value: datetime | None, *, field: str, now: datetime) -> None:
    """Refuse a time of expiry that has passed.

    Raises:
        InvalidField: it has, or is no date.
    """
    check_calendar(value, field=field)
    if value is not None and value <= now:
        raise InvalidField(f"{field} has passed; delete the cube instead.", field=field)


def check_validity(valid_from: datetime | None, valid_until: datetime | None, *, field: str) -> None:
    """Refuse a fact that ends before it starts; `field` is the path of the cube.

    Raises:
        InvalidField: valid_until is not after valid_from, or one is no date.
    """
    check_calendar(valid_from, field=f"{field}.valid_from")
    check_calendar(valid_until, field=f"{field}.valid_until")
    if valid_from is not None and valid_until is not None and valid_until <= valid_from:
        raise InvalidField(f"{field}.valid_until is not after {field}.valid_from.", field=f"{field}.valid_until")


def check_language(value: str, *, field: str) -> None:
    """Refuse what cannot be a language tag.

    Raises:
        LimitExceeded, InvalidField: it is too long or holds control characters.
    """
    check_plain(value, field=field, limit=_LANGUAGE_BYTES)


def check_priority(value: int, *, field: str) -> None:
    """Refuse a weight out of range.

    Raises:
        InvalidField: it is not 0 to `limits.PRIORITY`.
    """
    if not 0 <= value <= limits.PRIORITY:
        raise InvalidField(f"{field} is {value}; it goes from 0 to {limits.PRIORITY}.", field=field)


def check_tags(tags: Sequence[str], *, field: str) -> None:
    """Refuse tags that are too many, empty or too long.

    Raises:
        MissingField, LimitExceeded, InvalidField: with the path of the tag.
    """
    check_count(tags, limits.SENSITIVITY_TAGS, field=field)
    for index, tag in enumerate(tags):
        check_text(tag, field=f"{field}[{index}]", limit=_TAG_BYTES)


def check_sources(sources: Sequence[SourceSpan], *, field: str) -> None:
    """Refuse sources that are too many, or a span that cannot be.

    Raises:
        LimitExceeded, InvalidField: with the path of the field.
    """
    check_count(sources, limits.SOURCES, field=field)
    for index, source in enumerate(sources):
        place = f"{field}[{index}]"
        for name in ("message_id", "speaker", "session", "role", "utc_offset"):
            check_plain(getattr(source, name), field=f"{place}.{name}", limit=limits.SOURCE_FIELD_BYTES)
        check_calendar(source.event_time, field=f"{place}.event_time")
        if source.start_char < 0 or source.end_char < 0 or 0 < source.end_char < source.start_char:
            raise InvalidField(f"{place} ends before it starts.", field=f"{place}.end_char")
