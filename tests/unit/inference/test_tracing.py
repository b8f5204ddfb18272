from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_inference.adapters.tracing import TelemetryTracer
from memos_inference.domain.generation import Ended, FinishReason
from memos_kernel.cube import TraceRef
from memos_runtime.telemetry import Telemetry
from memos_runtime.tracing import Tracing

ORIGIN = TraceRef("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")
END = Ended(
    finish_reason=FinishReason.STOP,
    prompt_tokens=30,
    completion_tokens=5,
    first_token_ms=20.0,
    queue_ms=1.0,
    model="m",
)


def test_the_span_links_to_the_origin_of_each_cube_and_holds_no_content(cube):
    exporter = InMemorySpanExporter()
    tracer = TelemetryTracer(Telemetry("inference", tracing=Tracing.to_exporter(exporter)))
    cubes = [cube("secret words", origin_trace=ORIGIN), cube("without origin")]
    with tracer.generation(model="m", cubes=cubes, max_tokens=16) as ended:
        ended(END)
    (span,) = exporter.get_finished_spans()
    (link,) = span.links
    assert f"{link.context.trace_id:032x}" == ORIGIN.trace_id
    assert f"{link.context.span_id:016x}" == ORIGIN.span_id
    assert span.attributes["gen_ai.request.model"] == "m"
    assert span.attributes["gen_ai.usage.input_tokens"] == 30
    assert span.attributes["gen_ai.usage.output_tokens"] == 5
    assert span.attributes["memos.cube.count"] == 2
    assert "secret" not in span.to_json()


def test_tokens_are_counted_as_a_metric():
    telemetry = Telemetry()
    with TelemetryTracer(telemetry).generation(model="m", cubes=[], max_tokens=16) as ended:
        ended(END)
    value = telemetry.metrics.registry.get_sample_value
    assert value("memos_inference_tokens_total", {"direction": "read"}) == 30
    assert value("memos_inference_tokens_total", {"direction": "generated"}) == 5
