"""Files of memories, a JSON object a line."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

from memosctl.failures import Failure
from memosctl.transcripts import is_unicode

if TYPE_CHECKING:
    from memos_client import ImportAnswer, Imported, NewMemory

    Fits = Callable[[Any], bool]

_TIMES = ("valid_from", "valid_until", "expire_time", "time")
_ITEM = re.compile(r"items\[(\d+)\]\s*")
_INT32 = 2**31


@dataclass
class Loaded:
    """What became of the lines."""

    added: int = 0
    known: int = 0
    errors: "list[Imported]" = field(default_factory=list)
    degraded: bool = False

    @property
    def total(self) -> int:
        """Lines that were answered."""
        return self.added + self.known + len(self.errors)

    def note(self, answer: "ImportAnswer") -> None:
        """Count the results of an answer."""
        for result in answer.results:
            if result.error is not None:
                self.errors.append(result)
            elif result.created:
                self.added += 1
            else:
                self.known += 1
        self.degraded = self.degraded or answer.degraded

    def document(self) -> dict[str, object]:
        """Return it as JSON."""
        errors = [{"line": bad.index + 1, "reason": str(bad.error)} for bad in self.errors]
        return {"added": self.added, "known": self.known, "errors": errors, "degraded": self.degraded}


def read_lines(lines: Iterable[bytes]) -> "Iterator[NewMemory]":
    """Yield the memory of each line; nothing of a line that is no memory is sent, nor of any after it.

    Raises:
        Failure: a line is no JSON object, has a field that no memory has, or one of another type.
    """
    from memos_client import NewMemory

    known = {item.name for item in fields(NewMemory)}
    for number, line in enumerate(lines, 1):
        try:
            read = json.loads(line)
        except ValueError as error:
            raise _unreadable(number, f"is no JSON: {error}") from error
        if not isinstance(read, dict) or not isinstance(read.get("text"), str):
            raise _unreadable(number, 'has no object with a "text"')
        if strange := sorted(set(read) - known):
            raise _unreadable(
                number, f"has fields that no memory has: {', '.join(strange)}; use {', '.join(sorted(known))}"
            )
        given = {name: value for name, value in read.items() if value not in (None, "")}
        yield NewMemory(**{"text": "", **{name: _value(name, value, number) for name, value in given.items()}})


def line_at_fault(error: Exception) -> Failure | None:
    """Return what is told of a memory that cannot be sent, by its line; None for an error of no single memory."""
    match = _ITEM.match(str(error))
    return _unreadable(int(match[1]) + 1, str(error)[match.end() :].rstrip(".")) if match else None


def _value(name: str, value: Any, number: int) -> Any:
    """Return a field of a memory as the client takes it.

    Raises:
        Failure: it is of another type, or holds half a character.
    """
    words = chain.from_iterable(value.items()) if isinstance(value, dict) else (value,)
    if not all(is_unicode(word) for word in words if isinstance(word, str)):
        raise _unreadable(number, f'has a field "{name}" with half a character, such as a cut emoji')
    if name in _TIMES:
        value = _time(value)
    fits, expected = _FIELDS.get(name, _STRING)
    if not fits(value):
        raise _unreadable(number, f'has a field "{name}" that is not {expected}')
    return value


def _time(text: Any) -> datetime | None:
    """Return the time; None if it is none that everybody understands alike."""
    try:
        read = datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return None
    return read if read.tzinfo else None


def _is_labels(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(label, str) for label in value.values())


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and {int, float}.issuperset(map(type, value))


def _is_priority(value: Any) -> bool:
    return type(value) is int and -_INT32 <= value < _INT32


def _is_sort(value: Any) -> bool:
    from memos_api.v1.memcube_pb2 import SemanticType

    return isinstance(value, str) and f"SEMANTIC_TYPE_{value}" in SemanticType.DESCRIPTOR.values_by_name


_STRING: "tuple[Fits, str]" = (lambda value: isinstance(value, str), "a string")
_FIELDS: "Mapping[str, tuple[Fits, str]]" = {
    "labels": (_is_labels, 'an object of strings, such as {"topic": "pets"}'),
    "vector": (_is_vector, "an array of numbers"),
    "priority": (_is_priority, "a whole number from 0 to 100"),
    "semantic_type": (_is_sort, "a sort of content such as PREFERENCE"),
    **dict.fromkeys(
        _TIMES, (lambda value: isinstance(value, datetime), "a time with an offset, such as 2026-03-02T19:12:00+01:00")
    ),
}
"""What a field must be, and what is told if it is not; the others are strings."""


def _unreadable(number: int, why: str) -> Failure:
    return Failure(
        f"Line {number} {why}.",
        "Mend it and load the file again; what is stored is not stored twice.",
        reason="BAD_LINE",
    )
