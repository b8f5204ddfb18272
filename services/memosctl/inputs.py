"""What people type, as the contract wants it: labels, times, choices."""

import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO
from zoneinfo import ZoneInfo

from memosctl.failures import usage

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from memos_api.v1.memory_service_pb2 import CubeFilter

LARGEST = 2**53
"""Largest limit of a vault."""

_SIZES = {
    "": 1,
    **{f"{unit}B": 1000**power for power, unit in enumerate("KMGT", 1)},
    **{f"{unit}iB": 1024**power for power, unit in enumerate("KMGT", 1)},
}
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Sort(StrEnum):
    """Sort of content."""

    FACT = "fact"
    PREFERENCE = "preference"
    TASK = "task"
    EVENT = "event"
    SKILL = "skill"
    PROFILE = "profile"
    DOCUMENT = "document"


class Role(StrEnum):
    """Role in a vault."""

    READER = "reader"
    WRITER = "writer"
    OWNER = "owner"


class Everybody(StrEnum):
    """Role of every principal of a tenant in a vault."""

    NONE = "none"
    READER = "reader"
    WRITER = "writer"


class Purpose(StrEnum):
    """What a vault is for."""

    USER_PRIVATE = "user-private"
    EXPERT = "expert"
    INDUSTRY_SHARED = "industry-shared"
    CONTEXTUAL_POOL = "contextual-pool"
    PIPELINE_CACHE = "pipeline-cache"


class Status(StrEnum):
    """State of a cube."""

    GENERATED = "generated"
    ACTIVATED = "activated"
    MERGED = "merged"
    ARCHIVED = "archived"
    EXPIRED = "expired"
    STALE = "stale"


class JobStatus(StrEnum):
    """State of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    DEAD = "dead"
    CANCELLED = "cancelled"


def labels(given: Sequence[str] | None) -> dict[str, str]:
    """Read `key=value` pairs."""
    pairs = [item.partition("=") for item in given or ()]
    for key, separator, _ in pairs:
        if not key or not separator:
            raise usage(f"{key!r} is not a label.", "Write --label key=value.")
    return {key: value for key, _, value in pairs}


def moment(text: str, *, option: str, past: bool = False, now: datetime | None = None) -> datetime:
    """Read an ISO 8601 date or time (local time where it has no offset), or a span such as `30d`.

    A span counts from now, into the past or the future.
    """
    if match := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        span = timedelta(**{_UNITS[match[2]]: int(match[1])})
        return (now or datetime.now(UTC)) + (-span if past else span)
    try:
        read = datetime.fromisoformat(text)
    except ValueError:
        raise usage(
            f"{option}: {text!r} is not a time.", "Write it as 2026-03-02, 2026-03-02T19:12:00+01:00 or 30d."
        ) from None
    return read if read.tzinfo else read.astimezone()


def age(text: str, *, option: str) -> timedelta:
    """Read a span such as `30d`; `never` is 0."""
    if text == "never":
        return timedelta()
    if match := re.fullmatch(r"(\d{1,6})([smhdw])", text):
        return timedelta(**{_UNITS[match[2]]: int(match[1])})
    raise usage(f"{option}: {text!r} is not an age.", "Write it as 12h, 30d, 4w or never.")


def size(text: str, *, option: str) -> int:
    """Read a number of bytes, such as `500000`, `20MiB` or `2GB`; `none` is 0."""
    if text == "none":
        return 0
    match = re.fullmatch(r"(\d{1,16}) ?(|[KMGT]i?B)", text)
    if match is None:
        raise usage(f"{option}: {text!r} is not a size.", "Write it as 500000, 20MiB, 2GB or none.")
    number = int(match[1]) * int(_SIZES[match[2]])
    if number > LARGEST:
        raise usage(f"{option}: {text!r} is too large.", f"Give at most {LARGEST} bytes, or none.")
    return number


def cube_filter(
    *,
    label: Sequence[str] | None = None,
    sort: Sequence[Sort] | None = None,
    state: Sequence[Status] | None = None,
    speaker: Sequence[str] | None = None,
    session: Sequence[str] | None = None,
    after: str | None = None,
    before: str | None = None,
    valid_at: str | None = None,
) -> "CubeFilter":
    """Return the conditions on cubes."""
    from memos_api.v1.memcube_pb2 import CubeState, SemanticType
    from memos_api.v1.memory_service_pb2 import CubeFilter

    wanted = CubeFilter(
        labels=labels(label),
        semantic_types=[SemanticType.Value(f"SEMANTIC_TYPE_{item.name}") for item in sort or ()],
        states=[CubeState.Value(f"CUBE_STATE_{item.name}") for item in state or ()],
        speakers=list(speaker or ()),
        sessions=list(session or ()),
    )
    if after:
        wanted.after.FromDatetime(moment(after, option="--after", past=True))
    if before:
        wanted.before.FromDatetime(moment(before, option="--before", past=True))
    if valid_at:
        wanted.valid_at.FromDatetime(moment(valid_at, option="--valid-at", past=True))
    return wanted


def as_of(given: str | None) -> "Timestamp | None":
    """Return the moment to read at, if one is given."""
    from google.protobuf.timestamp_pb2 import Timestamp

    if not given:
        return None
    stamp = Timestamp()
    stamp.FromDatetime(moment(given, option="--as-of", past=True))
    return stamp


def time_zone(given: str | None) -> str:
    """Return the zone that is given, or that of this machine: its name, or the offset of now if it has none."""
    if given is not None:
        return given
    named = os.environ.get("TZ", "").removeprefix(":") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    try:
        return ZoneInfo(named).key
    except (ValueError, LookupError, OSError):
        offset = f"{datetime.now().astimezone():%z}"
        return f"{offset[:3]}:{offset[3:5]}"


def is_stdin(file: Path) -> bool:
    """Return whether a file is `-`, which stands for standard input."""
    return str(file) == "-"


@contextmanager
def opened(file: Path) -> Iterator[BinaryIO]:
    """Open a file to read its bytes; `-` is standard input, which stays open.

    Raises:
        OSError: it cannot be read.
    """
    if is_stdin(file):
        yield sys.stdin.buffer
        return
    with file.open("rb") as source:
        yield source


def text_or_stdin(text: str) -> str:
    """Return the text, or all of standard input for `-`.

    Raises:
        Failure: standard input is no UTF-8.
    """
    if text != "-":
        return text
    try:
        return sys.stdin.buffer.read().decode().replace("\r\n", "\n").strip("\n")
    except UnicodeDecodeError:
        raise usage("Standard input is no UTF-8.", "Convert it first, such as with iconv.") from None
