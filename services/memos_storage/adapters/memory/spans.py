"""Spans in memory."""

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from memos_kernel.cube import TraceRef


@dataclass(slots=True)
class MemorySpan:
    """Implements `ports.Span` by remembering."""

    name: str
    attributes: dict[str, str | bool | int | float] = field(default_factory=dict)
    links: list[TraceRef] = field(default_factory=list)

    def set_attribute(self, key: str, value: str | bool | int | float) -> None:
        """Remember an attribute."""
        self.attributes[key] = value

    def add_link(self, origin: TraceRef) -> None:
        """Remember a link."""
        self.links.append(origin)


class MemorySpans:
    """Implements `ports.Spans` by remembering."""

    def __init__(self) -> None:
        self.made: list[MemorySpan] = []

    def span(self, name: str) -> AbstractContextManager[MemorySpan]:
        """Return a span."""
        self.made.append(MemorySpan(name))
        return nullcontext(self.made[-1])
