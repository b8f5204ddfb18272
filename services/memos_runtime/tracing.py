"""Recorded spans on the OpenTelemetry SDK; imported only where spans are exported."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Self

from opentelemetry import trace as otel
from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased

from memos_kernel.cube import TraceRef
from memos_kernel.errors import MemosError
from memos_runtime import semconv
from memos_runtime.telemetry import TRACEPARENT, Attributes, AttributeValue, Span, SpanKind, current_span, enter_span

_KINDS: Mapping[SpanKind, otel.SpanKind] = {
    "internal": otel.SpanKind.INTERNAL,
    "server": otel.SpanKind.SERVER,
    "client": otel.SpanKind.CLIENT,
    "producer": otel.SpanKind.PRODUCER,
    "consumer": otel.SpanKind.CONSUMER,
}
_NO_CONTEXT = Context()


class Tracing:
    """The span exporter of the process, shared by its services."""

    def __init__(self, processor: SpanProcessor, *, sample_ratio: float = 1.0) -> None:
        self._processor = processor
        self._sampler = ParentBased(TraceIdRatioBased(sample_ratio))

    @classmethod
    def to_endpoint(cls, endpoint: str, *, sample_ratio: float) -> Self:
        """Return tracing that sends spans in batches to an OTLP gRPC endpoint, such as `http://127.0.0.1:4317`."""
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        return cls(BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint)), sample_ratio=sample_ratio)

    @classmethod
    def to_exporter(cls, exporter: SpanExporter) -> Self:
        """Return tracing that hands every span to the exporter when it ends."""
        return cls(SimpleSpanProcessor(exporter))

    def tracer(self, service: str) -> "Tracer":
        """Return the tracer of a service; its spans carry the resource `service.name`."""
        resource = Resource.create({"service.name": service, "service.namespace": "memos"})
        provider = TracerProvider(sampler=self._sampler, resource=resource, shutdown_on_exit=False)
        provider.add_span_processor(self._processor)
        return Tracer(provider.get_tracer("memos_runtime"))

    def close(self) -> None:
        """Send what is left. Blocks for at most some seconds."""
        self._processor.force_flush()
        self._processor.shutdown()


class Tracer:
    """Makes the spans of one service."""

    def __init__(self, tracer: otel.Tracer) -> None:
        self._tracer = tracer

    def span(
        self, name: str, *, kind: SpanKind, attributes: Attributes, links: Iterable[TraceRef], parent: str | None
    ) -> "RecordedSpan":
        """Return a span that starts now; see `Telemetry.span`."""
        above = _context_of(parent if parent is not None else current_span().traceparent)
        context = otel.set_span_in_context(otel.NonRecordingSpan(above), _NO_CONTEXT) if above else _NO_CONTEXT
        made = self._tracer.start_span(
            name,
            context=context,
            kind=_KINDS[kind],
            attributes=attributes,
            links=[otel.Link(_context_of_ref(origin)) for origin in links],
        )
        return RecordedSpan(made)


class RecordedSpan(AbstractContextManager[Span]):
    """A span of the SDK; the current one while it is entered."""

    __slots__ = ("_leave", "_span", "trace", "traceparent")

    def __init__(self, span: otel.Span) -> None:
        self._span = span
        context = span.get_span_context()
        trace_id, span_id = f"{context.trace_id:032x}", f"{context.span_id:016x}"
        self.trace = TraceRef(trace_id, span_id) if span.is_recording() else None
        self.traceparent = f"00-{trace_id}-{span_id}-{int(context.trace_flags):02x}"

    def set_attribute(self, key: str, value: AttributeValue) -> None:
        """Set an attribute; never content."""
        self._span.set_attribute(key, value)

    def add_link(self, origin: TraceRef, attributes: Attributes | None = None) -> None:
        """Link to the span that something came from."""
        self._span.add_link(_context_of_ref(origin), attributes)

    def __enter__(self) -> Span:
        self._leave = enter_span(self)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave()
        if error is not None and not isinstance(error, GeneratorExit):
            reason = error.reason if isinstance(error, MemosError) else ""
            self._span.set_attribute(semconv.ERROR_TYPE, reason or type(error).__name__)
            self._span.set_status(otel.StatusCode.ERROR)
        self._span.end()


def _context_of(traceparent: str) -> otel.SpanContext | None:
    match = TRACEPARENT.fullmatch(traceparent)
    if match is None:
        return None
    context = otel.SpanContext(
        int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=otel.TraceFlags(int(match[3], 16))
    )
    return context if context.is_valid else None


def _context_of_ref(ref: TraceRef) -> otel.SpanContext:
    flags = otel.TraceFlags(otel.TraceFlags.SAMPLED)
    return otel.SpanContext(int(ref.trace_id, 16), int(ref.span_id, 16), is_remote=True, trace_flags=flags)
