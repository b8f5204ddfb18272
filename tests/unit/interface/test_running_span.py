"""What the trace tells of a call: the operation, the vault or cube, and links to where memories came from."""

import pytest
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


def test_what_was_foretold_stands_beside_what_came(caplog):
    exporter, spans = InMemorySpanExporter(), RunningSpan()
    telemetry = Telemetry("interface", tracing=Tracing.to_exporter(exporter))
    with telemetry.span("memos.v1.ChatService/Chat", kind="server"), caplog.at_level("INFO"):
        spans.foretold(expected_ms=12.3, actual_ms=45.6)
    (made,) = exporter.get_finished_spans()
    told = ("memos.first_token.expected_ms", "memos.first_token.ms")
    assert [made.attributes[name] for name in told] == [12.3, 45.6]
    assert "expected after 12 ms, came after 46 ms" in caplog.text


@pytest.mark.parametrize(
    ("about", "names"),
    [
        ("tenants/t/vaults/notes", {"memos.vault", "gen_ai.memory.store.id"}),
        ("tenants/t/cubes/c", {"memos.cube", "gen_ai.memory.id"}),
    ],
)
def test_a_vault_and_a_cube_are_named_by_the_conventions_and_by_our_own_word(about, names):
    exporter, spans = InMemorySpanExporter(), RunningSpan()
    with Telemetry("interface", tracing=Tracing.to_exporter(exporter)).span("call"):
        spans.mark("update_memory", about=about)
    (made,) = exporter.get_finished_spans()
    assert {name for name, value in made.attributes.items() if value == about} == names


def test_without_telemetry_nothing_happens():
    spans = RunningSpan()
    spans.mark("search_memory", about="tenants/t/cubes/c")
    spans.link([ORIGIN], used_for="read")
    assert spans.trace_id() == ""
