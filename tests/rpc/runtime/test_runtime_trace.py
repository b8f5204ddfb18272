from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import memory_service_pb2_grpc as memory_grpc
from memos_runtime.telemetry import Telemetry
from memos_runtime.tracing import Tracing


async def test_one_call_is_one_trace_through_both_services(serve, authorized):
    exporter = InMemorySpanExporter()
    async with serve(Telemetry(tracing=Tracing.to_exporter(exporter))) as running:
        request = memory.GetMemoryRequest(name="a secret name")
        await memory_grpc.MemoryServiceStub(running.public).GetMemory(request, metadata=authorized)
    inner, client, outer = exporter.get_finished_spans()
    assert [span.resource.attributes["service.name"] for span in (outer, client, inner)] == [
        "interface",
        "interface",
        "storage",
    ]
    assert len({span.context.trace_id for span in (outer, client, inner)}) == 1
    assert client.parent.span_id == outer.context.span_id
    assert inner.parent.span_id == client.context.span_id
    assert not any("secret" in span.to_json() for span in (outer, client, inner))
