"""One chat is one trace through all six services, with a link to the origin of every cube it used."""

from collector import value_of
from memos_api.v1 import chat_service_pb2 as chat
from memos_api.v1 import memory_service_pb2 as memory

VAULT = "tenants/local/vaults/main"


async def test_a_chat_is_one_trace_of_six_services_linked_to_the_origin_of_each_cube(launch, tmp_path, collector):
    system = launch(tmp_path / "state", env={"MEMOS_TELEMETRY__OTLP_ENDPOINT": f"http://{collector.address}"})
    async with system.caller() as caller:
        said = [
            memory.Message(id=f"m{number}", speaker="Ada", session="s", time="2026-01-05T10:00:00+00:00", text=text)
            for number, text in enumerate(["I have a dog called Plum.", "My dog Plum loves the lake."])
        ]
        added = await caller.memory.AddMemories(memory.AddMemoriesRequest(vault=VAULT, messages=said))
        origins = {item.cube.name: item.cube.origin_trace for item in added.added}
        assert all(origin.trace_id for origin in origins.values())
        request = chat.ChatRequest(
            vaults=[VAULT], messages=[memory.Message(text="What is the name of Ada's dog?")], remember_in=VAULT
        )
        chosen = []
        async for event in caller.chat.Chat(request):
            if event.WhichOneof("event") == "plan":
                chosen = [item.cube.name for item in event.plan.chosen]
        assert chosen
    system.stop()

    trace = next(span.trace_id for _, span in collector.spans if value_of(span.attributes, "rpc.method") == "Chat")
    spans = [span for _, span in collector.spans if span.trace_id == trace]
    services = {service for service, span in collector.spans if span.trace_id == trace}
    assert services == {"interface", "governance", "scheduler", "storage", "inference", "lifecycle"}
    ids = {span.span_id for span in spans}
    assert all(span.parent_span_id in ids for span in spans if span.parent_span_id), "the trace has a hole"
    linked = {(link.trace_id.hex(), link.span_id.hex()) for span in spans for link in span.links}
    for name in chosen:
        assert (origins[name].trace_id, origins[name].span_id) in linked, name
    assert {service for service, _ in collector.lines} >= {"memos", "inference"}  # what some of them write at the start
    text = str(collector.spans) + str(collector.lines)
    assert "Plum" not in text, "content is in the telemetry"
    assert system.key not in text


async def test_without_an_endpoint_of_telemetry_a_memory_keeps_the_callers_span(caller, vault):
    trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
    request = memory.AddMemoriesRequest(vault=vault, texts=["Ada has a dog called Plum."])
    added = await caller.memory.AddMemories(request, metadata=(("traceparent", f"00-{trace}-{span}-01"),))
    origin = added.added[0].cube.origin_trace
    assert (origin.trace_id, origin.span_id) == (trace, span)
