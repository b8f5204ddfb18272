"""Imports a transcript: batch after batch, each line either stored or reported."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from memosctl.transcripts import BadLine, Line, batches

if TYPE_CHECKING:
    from memos_api.v1.memory_service_pb2 import AddMemoriesRequest, AddMemoriesResponse

_MESSAGE_FIELD = re.compile(r"messages\[(\d+)\]\.?")


@dataclass(slots=True)
class Report:
    """What became of the lines.

    Attributes:
        added: lines that are now memories and were not before.
        known: lines that the vault held already.
        skipped: lines that the reader leaves out, such as system prompts, with the reason.
        errors: lines that were refused, with the reason.
        degraded: whether an optional part of the system was missing.
    """

    added: int = 0
    known: int = 0
    skipped: list[BadLine] = field(default_factory=list)
    errors: list[BadLine] = field(default_factory=list)
    degraded: bool = False

    def sorted_errors(self) -> list[BadLine]:
        """Return the refused lines in their order in the file."""
        return sorted(self.errors, key=lambda bad: bad.number)

    def document(self) -> dict[str, object]:
        """Return the report as JSON."""
        return {
            "added": self.added,
            "known": self.known,
            "skipped": len(self.skipped),
            "errors": [{"line": bad.number, "reason": bad.reason} for bad in self.sorted_errors()],
            "degraded": self.degraded,
        }


class LineRefused(Exception):
    """The server refuses one message of a request.

    Attributes:
        index: position of the message in the request.
    """

    def __init__(self, index: int, reason: str) -> None:
        super().__init__(reason)
        self.index = index
        self.reason = reason


Send = Callable[["AddMemoriesRequest"], "AddMemoriesResponse"]


def import_lines(
    lines: Iterable[Line | BadLine],
    *,
    vault: str,
    labels: Mapping[str, str],
    send: Send,
    advance: Callable[[int], None],
    report: Report,
) -> None:
    """Send the lines and note in `report` what became of each.

    Requests carry no id that is the same in the next run: what is known is told by the messages themselves, so that
    a memory deleted since is added again, and counted as added.

    Args:
        send: sends one request; raises LineRefused if one message is at fault.
        advance: told of lines that are dealt with.
    """

    def good() -> Iterator[Line]:
        for line in lines:
            if isinstance(line, BadLine):
                report.errors.append(line)
                advance(1)
            else:
                yield line

    for batch in batches(good()):
        _import_batch(batch, vault, labels, send, advance, report)


def _import_batch(
    batch: tuple[Line, ...],
    vault: str,
    labels: Mapping[str, str],
    send: Send,
    advance: Callable[[int], None],
    report: Report,
) -> None:
    lines = list(batch)
    while lines:
        try:
            response = send(_request(lines, vault, labels))
        except LineRefused as refused:
            bad = lines.pop(refused.index)
            report.errors.append(BadLine(bad.number, _MESSAGE_FIELD.sub("", refused.reason)))
            advance(1)
            continue
        report.added += sum(1 for item in response.added if item.created)
        report.known += sum(1 for item in response.added if not item.created)
        report.skipped += [BadLine(lines[item.index].number, item.reason) for item in response.skipped]
        report.degraded = report.degraded or response.degraded
        advance(len(lines))
        return


def refused_index(field_path: str) -> int | None:
    """Return the position of the message that an error's field names, such as `messages[3].time`."""
    match = _MESSAGE_FIELD.match(field_path)
    return int(match[1]) if match else None


def _request(lines: Sequence[Line], vault: str, labels: Mapping[str, str]) -> "AddMemoriesRequest":
    from memos_api.v1.memory_service_pb2 import AddMemoriesRequest, Message

    messages = [Message(**line.message) for line in lines]
    return AddMemoriesRequest(vault=vault, messages=messages, labels=dict(labels))
