"""Audit events and spans."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from memos_kernel.cube import TraceRef
from memos_storage.domain.values import AuditEvent


class AuditSink(Protocol):
    """Where audit events end up."""

    async def append(self, events: Sequence[AuditEvent]) -> None:
        """Record events, each once however often it is sent.

        Raises:
            MemosError: not recorded.
        """
        ...


class AuditOutbox(Protocol):
    """Audit events that governance has not confirmed."""

    async def unsent(self, *, limit: int) -> list[AuditEvent]:
        """Return the oldest."""
        ...

    async def sent(self, events: Sequence[AuditEvent]) -> None:
        """Forget events that are recorded."""
        ...

    async def forget_requests(self, *, before: datetime) -> int:
        """Remove request ids older than their retention; returns how many."""
        ...


class Span(Protocol):
    """A timed piece of work."""

    def set_attribute(self, key: str, value: str | bool | int | float) -> None:
        """Set an attribute; never content."""
        ...

    def add_link(self, origin: TraceRef) -> None:
        """Link to the span that something came from."""
        ...


class Spans(Protocol):
    """Makes spans."""

    def span(self, name: str) -> AbstractContextManager[Span]:
        """Return a span that starts now."""
        ...
