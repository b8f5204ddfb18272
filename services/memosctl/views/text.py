"""Small pieces of text: times, durations, states, one-line excerpts."""

from datetime import UTC
from typing import TYPE_CHECKING, Any

from rich.text import Text

if TYPE_CHECKING:
    from google.protobuf.timestamp_pb2 import Timestamp

    from memos_api.v1.memcube_pb2 import MemCube


def moment(value: "Timestamp") -> str:
    """Return a time as `2026-03-02 19:12` in UTC; unset is empty."""
    return _written(value, "%Y-%m-%d %H:%M")


def second(value: "Timestamp") -> str:
    """Return a time as `2026-03-02 19:12:07` in UTC, for what follows each other fast; unset is empty."""
    return _written(value, "%Y-%m-%d %H:%M:%S")


def day(value: "Timestamp") -> str:
    """Return the date of a time in UTC; unset is empty."""
    return moment(value).split(" ")[0]


def said(cube: "MemCube") -> str:
    """Return when and by whom a cube's content was said, such as `2026-03-02 Nora`."""
    if not cube.sources:
        return ""
    source = cube.sources[0]
    return f"{day(source.event_time)} {source.speaker}".strip()


def content(cube: "MemCube") -> str:
    """Return a cube's text on one line, or what its payload is."""
    kind = cube.WhichOneof("payload")
    if kind == "plaintext":
        return " ".join(cube.plaintext.text.split())
    return f"({kind})" if kind else ""


def excerpt(text: str, *, width: int = 100) -> str:
    """Return at most `width` characters."""
    return text if len(text) <= width else text[: width - 1].rstrip() + "…"


def milliseconds(value: float) -> str:
    """Return a duration such as `12 ms` or `1.20 s`."""
    return f"{value:.0f} ms" if value < 1000 else f"{value / 1000:.2f} s"


def enum_word(kind: Any, value: int) -> str:
    """Return an enum value as a word: `VAULT_TYPE_USER_PRIVATE` as `user-private`.

    One that only a newer system knows is `unknown`.
    """
    if value not in kind.values():
        return "unknown"
    name: str = kind.Name(value)
    return name.removeprefix(kind.Name(0).removesuffix("UNSPECIFIED")).lower().replace("_", "-")


def verdict(right: bool) -> Text:
    """Return `right` in green or `wrong` in red."""
    return Text("right", style="green") if right else Text("wrong", style="red")


def _written(value: "Timestamp", form: str) -> str:
    is_set = value.seconds or value.nanos
    return value.ToDatetime(tzinfo=UTC).strftime(form) if is_set else ""


def degraded(is_so: bool) -> list[Text]:
    """Return the line that says that an optional part was missing, if one was."""
    return [Text("degraded: an optional part was missing; run memosctl doctor", style="yellow")] if is_so else []
