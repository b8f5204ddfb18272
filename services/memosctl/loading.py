"""Files of memories, a JSON object a line."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any

from memosctl.failures import Failure

if TYPE_CHECKING:
    from memos_client import ImportAnswer, Imported, NewMemory

_TIMES = ("valid_from", "valid_until", "expire_time", "time")


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
        Failure: a line is no JSON object, or has a field that no memory has.
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
        yield _memory(NewMemory, read, number)


def _memory(kind: "type[NewMemory]", read: dict[str, Any], number: int) -> "NewMemory":
    try:
        times = {name: datetime.fromisoformat(read[name]) for name in _TIMES if read.get(name)}
        if any(time.tzinfo is None for time in times.values()):
            raise ValueError("a time has no offset from UTC")
        return kind(**{**read, **times})
    except (TypeError, ValueError) as error:
        raise _unreadable(number, f"cannot be read: {error}") from error


def _unreadable(number: int, why: str) -> Failure:
    return Failure(
        f"Line {number} {why}.",
        "Mend it and load the file again; what is stored is not stored twice.",
        reason="BAD_LINE",
    )
