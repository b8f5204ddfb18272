"""Conversations as JSON lines: one message a line, with the fields id, role, speaker, session, time and text."""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace

FIELDS = ("id", "role", "speaker", "session", "time", "text")
BATCH_MESSAGES = 64
BATCH_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Line:
    """A line that holds a message.

    Attributes:
        number: line number in the file, from 1.
        raw: the line's bytes.
        message: the fields that are set, and an id if neither id nor time tells the message from others.
    """

    number: int
    raw: bytes
    message: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not imported, and why."""

    number: int
    reason: str


def read(source: Iterable[bytes]) -> Iterator[Line | BadLine]:
    """Read JSON lines; empty lines are passed over.

    A message with neither id nor time gets an id from its content and how often the file has said it before, so that
    the same file read again names the same messages, whichever lines were mended or added in between.
    """
    said: Counter[str] = Counter()
    for number, raw in enumerate(source, start=1):
        if not raw.strip():
            continue
        line = _line(number, raw)
        if isinstance(line, Line) and not line.message.keys() & {"id", "time"}:
            digest = hashlib.sha256(json.dumps(line.message, sort_keys=True).encode()).hexdigest()[:16]
            said[digest] += 1
            line = replace(line, message={"id": f"line-{digest}-{said[digest]}", **line.message})
        yield line


def batches(lines: Iterable[Line]) -> Iterator[tuple[Line, ...]]:
    """Group lines into requests of at most 64 messages and 256 KiB."""
    held: list[Line] = []
    size = 0
    for line in lines:
        if held and (len(held) == BATCH_MESSAGES or size + len(line.raw) > BATCH_BYTES):
            yield tuple(held)
            held, size = [], 0
        held.append(line)
        size += len(line.raw)
    if held:
        yield tuple(held)


def _line(number: int, raw: bytes) -> Line | BadLine:
    try:
        value = json.loads(raw)
    except ValueError as error:  # not JSON, not UTF-8, or a number of thousands of digits
        return BadLine(number, f"not JSON: {error}")
    if not isinstance(value, dict):
        return BadLine(number, "not a JSON object")
    if unknown := sorted(set(value) - set(FIELDS)):
        return BadLine(number, f"unknown field {unknown[0]!r}; known are {', '.join(FIELDS)}")
    for name, content in value.items():
        if content is not None and not isinstance(content, str):
            return BadLine(number, f"field {name!r} is not a string")
        if content and not is_unicode(content):
            return BadLine(number, f"field {name!r} holds half a character, such as a cut emoji")
    message = {name: content for name, content in value.items() if content}
    if not message.get("text", "").strip():
        return BadLine(number, "no text")
    return Line(number, raw, message)


def is_unicode(text: str) -> bool:
    """Return whether every character is whole."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
