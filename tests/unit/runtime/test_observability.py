import asyncio
import socket
import sys
import urllib.request
from concurrent import futures

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from memos_runtime.config import TelemetryConfig
from memos_runtime.observability import Observability


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


async def test_metrics_are_there_to_scrape_with_the_lag_of_the_loop():
    address = f"127.0.0.1:{free_port()}"
    observability = Observability(TelemetryConfig(prometheus_address=address))
    await observability.start()
    observability.telemetry.counter("things_total", "Things.").inc()
    await asyncio.sleep(0.25)
    with await asyncio.to_thread(urllib.request.urlopen, f"http://{address}/metrics") as answer:
        text = answer.read().decode()
    await observability.close()
    await observability.close()
    assert "memos_things_total 1.0" in text
    assert "memos_event_loop_lag_seconds_count " in text
    assert "memos_event_loop_lag_seconds_count 0.0" not in text


async def test_spans_arrive_at_the_endpoint_before_close_returns():
    arrived = []

    class Collector(trace_service_pb2_grpc.TraceServiceServicer):
        def Export(self, request, context):
            for item in request.resource_spans:
                arrived.extend(span.name for part in item.scope_spans for span in part.spans)
            return trace_service_pb2.ExportTraceServiceResponse()

    server = grpc.server(futures.ThreadPoolExecutor(1))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(Collector(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    observability = Observability(TelemetryConfig(otlp_endpoint=f"http://127.0.0.1:{port}"))
    with observability.telemetry.for_service("storage").span("work"):
        pass
    await observability.close()
    await asyncio.to_thread(server.stop(None).wait)
    assert arrived == ["work"]


async def test_with_the_defaults_nothing_of_the_exporters_is_even_imported():
    code = (
        "import sys; from memos_runtime import config, observability;"
        "observability.Observability(config.TelemetryConfig()); sys.exit('opentelemetry' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env={"PYTHONPATH": ":".join(sys.path)})
    assert await process.wait() == 0
