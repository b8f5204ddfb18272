"""What the trace tells of a call: the operation, the vault or cube, and links to where memories came from."""

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_interface.adapters.telemetry_spans import RunningSpan
from memos_kernel.cube import TraceRef
from memos_runtime.telemetry import Telemetry
from memos_runtime.tracing import Tracing

ORIGIN = TraceRef("a" * 32, "b" * 16)


def test_the_running_span_is_marked_and_linked_once_to_each_origin():
    exporter, spans = InMemorySpanExporter(), RunningSpan()
    telemetry = Telemetry("interface", tracing=Tracing.to_exporter(exporter))
    with telemetry.span("memos.v1.MemoryService/SearchMemories", kind="server") as running:
        spans.mark("search_memory")
        spans.mark("create_memory", about="tenants/t/vaults/notes")
        spans.link([ORIGIN, None, ORIGIN], used_for="search")
        assert spans.trace_id() == running.trace.trace_id
    (made,) = exporter.get_finished_spans()
    assert made.attributes["gen_ai.operation.name"] == "create_memory"
    assert made.attributes["memos.vault"] == "tenants/t/vaults/notes"
    (link,) = made.links
    assert f"{link.context.trace_id:032x}" == ORIGIN.trace_id
    assert dict(link.attributes) == {"memos.link": "search"}


def test_without_telemetry_nothing_happens():
    spans = RunningSpan()
    spans.mark("search_memory", about="tenants/t/cubes/c")
    spans.link([ORIGIN], used_for="read")
    assert spans.trace_id() == ""
