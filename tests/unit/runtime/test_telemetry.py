import re
from pathlib import Path

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_kernel.cube import TraceRef
from memos_kernel.errors import CubeNotFound
from memos_runtime import semconv
from memos_runtime.context import current_trace, spawn
from memos_runtime.telemetry import NO_SPAN, Telemetry, current_span
from memos_runtime.tracing import Tracing

ORIGIN = TraceRef("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


@pytest.fixture
def exporter():
    return InMemorySpanExporter()


@pytest.fixture
def telemetry(exporter):
    return Telemetry("storage", tracing=Tracing.to_exporter(exporter))


def test_spans_nest_and_carry_attributes_and_links(telemetry, exporter):
    attributes = {semconv.GEN_AI_OPERATION: "search_memory"}
    with telemetry.span("outer", attributes=attributes, links=[ORIGIN]), telemetry.span("inner") as inner:
        inner.set_attribute(semconv.MEMOS_CUBE_COUNT, 3)
        inner.add_link(ORIGIN, {semconv.MEMOS_LINK: "read"})
        assert current_trace() == inner.trace
    inner, outer = exporter.get_finished_spans()
    assert inner.parent.span_id == outer.context.span_id
    assert outer.attributes["gen_ai.operation.name"] == "search_memory"
    assert {f"{span.links[0].context.span_id:016x}" for span in (inner, outer)} == {ORIGIN.span_id}
    assert current_span() is NO_SPAN


def test_every_name_of_the_conventions_is_used():
    services = Path(semconv.__file__).parents[1]
    sources = "".join(path.read_text(encoding="utf-8") for path in services.rglob("*.py"))
    assert [name for name in vars(semconv) if name.isupper() and not re.search(rf"semconv\.{name}\b", sources)] == []


def test_an_error_marks_the_span_by_reason_and_not_by_text(telemetry, exporter):
    with pytest.raises(CubeNotFound), telemetry.span("work"):
        raise CubeNotFound("secret text")
    (span,) = exporter.get_finished_spans()
    assert span.attributes["error.type"] == "CUBE_NOT_FOUND"
    assert "secret" not in span.to_json()


def test_without_an_exporter_a_span_is_one_shared_object():
    telemetry = Telemetry("storage")
    with telemetry.span("work") as span:
        span.set_attribute("a", 1)
        span.add_link(ORIGIN)
        assert span is NO_SPAN
        assert current_trace() is None


async def test_a_background_task_starts_outside_of_the_span(telemetry):
    async def look():
        return current_trace()

    with telemetry.span("call"):
        assert await spawn(look(), name="background") is None


def test_a_ratio_of_zero_records_nothing(exporter):
    telemetry = Telemetry("storage", tracing=Tracing(SimpleSpanProcessor(exporter), sample_ratio=0))
    with telemetry.span("work") as span:
        assert span.trace is None
        assert int(span.traceparent[-2:], 16) & 1 == 0
    assert exporter.get_finished_spans() == ()


def test_asking_twice_for_a_metric_gives_the_same_one_under_every_service():
    telemetry = Telemetry("storage")
    telemetry.counter("things_total", "Things.", ("kind",)).labels("a").inc()
    telemetry.for_service("other").counter("things_total", "Things.", ("kind",)).labels("a").inc()
    assert telemetry.metrics.registry.get_sample_value("memos_things_total", {"kind": "a"}) == 2
    with pytest.raises(TypeError, match="is a Counter"):
        telemetry.gauge("things_total", "Things.")
    telemetry.gauge("size", "Size.").set(3)
    telemetry.histogram("wait_seconds", "Wait.", buckets=(1, 2)).observe(1.5)
    assert telemetry.metrics.registry.get_sample_value("memos_wait_seconds_bucket", {"le": "2.0"}) == 1
