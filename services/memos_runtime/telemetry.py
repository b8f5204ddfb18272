"""Spans and metrics as the services see them. Without an exporter a span costs next to nothing."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import TracebackType
from typing import TYPE_CHECKING, Literal, Protocol, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from memos_kernel.cube import TraceRef

if TYPE_CHECKING:
    from memos_runtime.tracing import Tracing

AttributeValue = str | bool | int | float | Sequence[str]
Attributes = Mapping[str, AttributeValue]
SpanKind = Literal["internal", "server", "client", "producer", "consumer"]

TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
"""W3C Trace Context: ids of trace and span, and flags."""
_SAMPLED = 1

M = TypeVar("M", Counter, Gauge, Histogram)


class Span(Protocol):
    """A timed piece of work, recorded or not."""

    @property
    def trace(self) -> TraceRef | None:
        """Its ids, or those of the caller's span that it only passes on, if that is being recorded."""
        ...

    @property
    def traceparent(self) -> str:
        """What the next service is told (W3C Trace Context); empty if there is no trace."""
        ...

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute; never content."""
        ...

    def add_link(self, origin: TraceRef, attributes: Attributes | None = None) -> None:
        """Link to the span that something came from."""
        ...


class UnrecordedSpan(AbstractContextManager["UnrecordedSpan"]):
    """A span that is not recorded here; it passes the caller's trace on, which the caller may record."""

    __slots__ = ("traceparent",)

    def __init__(self, traceparent: str = "") -> None:
        self.traceparent = traceparent

    @property
    def trace(self) -> TraceRef | None:
        """The caller's span if the caller records it; read only when it is asked for, for most calls never do."""
        match = TRACEPARENT.fullmatch(self.traceparent)
        if match is None or not int(match[3], 16) & _SAMPLED or not int(match[1], 16) or not int(match[2], 16):
            return None
        return TraceRef(match[1], match[2])

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Do nothing."""

    def add_link(self, origin: TraceRef, attributes: Attributes | None = None) -> None:
        """Do nothing."""

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None


NO_SPAN = UnrecordedSpan()

_CURRENT: ContextVar[Span] = ContextVar("memos_span", default=NO_SPAN)


def current_span() -> Span:
    """Return the innermost span."""
    return _CURRENT.get()


def enter_span(span: Span) -> Callable[[], None]:
    """Make a span the current one; return what makes it the current one no longer."""
    token = _CURRENT.set(span)
    return lambda: _CURRENT.reset(token)


class Metrics:
    """The metrics of the process; asking twice for a name gives the same metric."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._made: dict[str, Counter | Gauge | Histogram] = {}

    def get(self, kind: type[M], name: str, make: Callable[[str, CollectorRegistry], M]) -> M:
        """Return the metric `memos_<name>`, which `make` makes the first time."""
        full = f"memos_{name}"
        if full not in self._made:
            self._made[full] = make(full, self.registry)
        made = self._made[full]
        if not isinstance(made, kind):
            raise TypeError(f"{full} is a {type(made).__name__}, not a {kind.__name__}")
        return made


class Telemetry:
    """Spans under the name of one service, and metrics of the process."""

    def __init__(
        self, service: str = "memos", *, tracing: "Tracing | None" = None, metrics: Metrics | None = None
    ) -> None:
        self._service = service
        self._tracing = tracing
        self._tracer = tracing.tracer(service) if tracing is not None else None
        self.metrics = metrics or Metrics()

    def for_service(self, service: str) -> "Telemetry":
        """Return the view of another service on the same exporter and metrics."""
        return Telemetry(service, tracing=self._tracing, metrics=self.metrics)

    @property
    def tracing(self) -> bool:
        """Whether spans are recorded at all."""
        return self._tracer is not None

    def span(
        self,
        name: str,
        *,
        kind: SpanKind = "internal",
        attributes: Attributes | None = None,
        links: Iterable[TraceRef] = (),
        parent: str | None = None,
    ) -> AbstractContextManager[Span]:
        """Return a context manager that times what is inside and yields the span.

        An error that leaves it marks the span as failed, by type and reason, never by its text.

        Args:
            name: what is done, of low cardinality.
            kind: place of the span between processes.
            attributes: see `semconv`; never content.
            links: origins of what is read or used.
            parent: traceparent of a caller in another process; None means the current span.
        """
        if self._tracer is None:
            return NO_SPAN if parent is None else UnrecordedSpan(parent)
        return self._tracer.span(name, kind=kind, attributes=attributes or {}, links=links, parent=parent)

    def counter(self, name: str, help: str, labels: Sequence[str] = ()) -> Counter:
        """Return the counter `memos_<name>`."""
        return self.metrics.get(Counter, name, lambda full, registry: Counter(full, help, labels, registry=registry))

    def gauge(self, name: str, help: str, labels: Sequence[str] = ()) -> Gauge:
        """Return the gauge `memos_<name>`."""
        return self.metrics.get(Gauge, name, lambda full, registry: Gauge(full, help, labels, registry=registry))

    def histogram(
        self, name: str, help: str, labels: Sequence[str] = (), *, buckets: Sequence[float] = Histogram.DEFAULT_BUCKETS
    ) -> Histogram:
        """Return the histogram `memos_<name>`."""
        return self.metrics.get(
            Histogram, name, lambda full, registry: Histogram(full, help, labels, registry=registry, buckets=buckets)
        )
