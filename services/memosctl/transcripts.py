"""Conversations as JSON lines: one message a line, with the fields id, role, speaker, session, time and text."""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

FIELDS = ("id", "role", "speaker", "session", "time", "text")
BATCH_MESSAGES = 64
BATCH_BYTES = 262_144


@dataclass(frozen=True, slots=True)
class Line:
    """A line that holds a message.

    Attributes:
        number: line number in the file, from 1.
        raw: the line's bytes.
        message: the fields that are set.
    """

    number: int
    raw: bytes
    message: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that is not imported, and why."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class Batch:
    """Lines that are sent together.

    Attributes:
        request_id: the same for the same lines of the same file with the same target, so that a repeated
            import is answered from what was stored.
    """

    lines: tuple[Line, ...]
    request_id: str


def read(source: Iterable[bytes]) -> Iterator[Line | BadLine]:
    """Read JSON lines; empty lines are passed over."""
    for number, raw in enumerate(source, start=1):
        if raw.strip():
            yield _line(number, raw)


def batches(lines: Iterable[Line], *, vault: str, labels: Mapping[str, str]) -> Iterator[Batch]:
    """Group lines into requests of at most 64 messages and 256 KiB."""
    target = json.dumps([vault, sorted(labels.items())]).encode()
    held: list[Line] = []
    size = 0
    for line in lines:
        if held and (len(held) == BATCH_MESSAGES or size + len(line.raw) > BATCH_BYTES):
            yield Batch(tuple(held), request_id(held, target))
            held, size = [], 0
        held.append(line)
        size += len(line.raw)
    if held:
        yield Batch(tuple(held), request_id(held, target))


def request_id(lines: Iterable[Line], target: bytes) -> str:
    """Return 40 hex digits over the target, the lines' numbers and their bytes."""
    digest = hashlib.sha256(target)
    for line in lines:
        digest.update(b"\x00%d\x00" % line.number)
        digest.update(line.raw.strip())
    return digest.hexdigest()[:40]


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
        if content and not _is_unicode(content):
            return BadLine(number, f"field {name!r} holds half a character, such as a cut emoji")
    message = {name: content for name, content in value.items() if content}
    if not message.get("text", "").strip():
        return BadLine(number, "no text")
    return Line(number, raw, message)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
