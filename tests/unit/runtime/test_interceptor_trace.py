import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_kernel.cube import TraceRef
from memos_kernel.errors import CubeNotFound
from memos_runtime.context import current_trace
from memos_runtime.interceptors.trace import Trace
from memos_runtime.telemetry import Telemetry, current_span
from memos_runtime.tracing import Tracing

GET = "/memos.v1.MemoryService/GetMemory"
INCOMING = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


async def test_a_call_becomes_a_server_span_below_the_callers(run):
    exporter = InMemorySpanExporter()
    seen = []

    async def endpoint(call):
        seen.append(current_trace())

    tracing = Tracing.to_exporter(exporter)
    await run(Trace(Telemetry(tracing=tracing)), GET, endpoint=endpoint, metadata={"traceparent": INCOMING})
    (span,) = exporter.get_finished_spans()
    assert span.name == "memos.v1.MemoryService/GetMemory"
    assert span.resource.attributes["service.name"] == "interface"
    assert f"{span.parent.span_id:016x}" == "b7ad6b7169203331"
    assert seen == [TraceRef("0af7651916cd43dd8448eb211c80319c", f"{span.context.span_id:016x}")]
    assert span.attributes["rpc.grpc.status_code"] == 0


async def test_a_failed_call_is_marked_by_code_and_reason_but_not_by_text(run):
    exporter = InMemorySpanExporter()

    async def endpoint(call):
        raise CubeNotFound("secret text")

    with pytest.raises(CubeNotFound):
        await run(Trace(Telemetry(tracing=Tracing.to_exporter(exporter))), GET, endpoint=endpoint)
    (span,) = exporter.get_finished_spans()
    assert span.attributes["rpc.grpc.status_code"] == 5
    assert span.attributes["error.type"] == "CUBE_NOT_FOUND"
    assert "secret" not in span.to_json()


async def test_a_trace_that_the_caller_does_not_sample_is_not_recorded(run):
    exporter = InMemorySpanExporter()

    async def endpoint(call):
        return current_trace()

    interceptor = Trace(Telemetry(tracing=Tracing.to_exporter(exporter)))
    unsampled = INCOMING[:-2] + "00"
    assert await run(interceptor, GET, endpoint=endpoint, metadata={"traceparent": unsampled}) is None
    assert exporter.get_finished_spans() == ()


async def test_without_an_exporter_the_callers_span_is_passed_on_and_is_the_origin(run):
    async def endpoint(call):
        return current_span().traceparent, current_trace()

    seen = await run(Trace(Telemetry()), GET, endpoint=endpoint, metadata={"traceparent": INCOMING})
    assert seen == (INCOMING, TraceRef("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"))


@pytest.mark.parametrize(
    "incoming",
    [
        "",
        "rubbish",
        INCOMING[:-2] + "00",
        INCOMING.replace("b7ad6b7169203331", "0" * 16),
        f"00-{'0' * 32}{INCOMING[35:]}",
    ],
    ids=["none", "rubbish", "not sampled", "no span", "no trace"],
)
async def test_without_an_exporter_what_is_no_recorded_span_is_no_origin(run, incoming):
    async def endpoint(call):
        return current_trace()

    assert await run(Trace(Telemetry()), GET, endpoint=endpoint, metadata={"traceparent": incoming}) is None
