import asyncio
import logging
import logging.config
import socket
import sys
import urllib.request

from collector import collecting, value_of
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
    with collecting() as collector:
        observability = Observability(TelemetryConfig(otlp_endpoint=f"http://{collector.address}"))
        with observability.telemetry.for_service("storage").span("work"):
            pass
        await observability.close()
    assert [(service, span.name) for service, span in collector.spans] == [("storage", "work")]


async def test_log_lines_arrive_with_their_trace_and_the_service_that_wrote_them():
    with collecting() as collector:
        observability = Observability(TelemetryConfig(otlp_endpoint=f"http://{collector.address}"))
        await observability.start()
        logging.config.dictConfig({"version": 1, "disable_existing_loggers": False, "incremental": False})
        logging.getLogger().addHandler(observability._log)  # a library has configured its logging: all handlers closed
        with observability.telemetry.for_service("storage").span("work") as span:
            logging.getLogger("memos_storage.outbox").warning("it is %s", "late", extra={"rows": 7})
            try:
                raise LookupError("gone")
            except LookupError:
                logging.getLogger("memos_storage").exception("it broke")
        logging.getLogger("elsewhere").warning("a library")
        observability._log.emit(logging.makeLogRecord({"name": "elsewhere", "msg": "bad %d", "args": ("call",)}))
        await observability.close()
        logging.getLogger("memos_storage.outbox").warning("afterwards")
    (service, line), (_, broken), (other, _) = collector.lines
    assert value_of(broken.attributes, "exception.type") == "LookupError"
    assert "gone" in value_of(broken.attributes, "exception.stacktrace")
    assert (service, other) == ("storage", "memos")
    assert (line.body.string_value, line.severity_text) == ("it is late", "WARNING")
    assert (line.trace_id.hex(), line.span_id.hex()) == (span.trace.trace_id, span.trace.span_id)
    assert (value_of(line.attributes, "rows"), value_of(line.attributes, "logger")) == ("7", "memos_storage.outbox")


async def test_a_backend_for_spans_alone_gets_no_lines():
    with collecting() as collector:
        config = TelemetryConfig(otlp_endpoint=f"http://{collector.address}", otlp_logs=False)
        observability = Observability(config)
        await observability.start()
        logging.getLogger("memos_storage").warning("not sent")
        await observability.close()
    assert collector.lines == []


async def test_with_the_defaults_nothing_of_the_exporters_is_even_imported():
    code = (
        "import sys; from memos_runtime import config, observability;"
        "observability.Observability(config.TelemetryConfig()); sys.exit('opentelemetry' in sys.modules)"
    )
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, env={"PYTHONPATH": ":".join(sys.path)})
    assert await process.wait() == 0
