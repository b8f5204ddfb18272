import json
import logging

import pytest
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from memos_runtime.config import TelemetryConfig
from memos_runtime.logging import JsonFormatter, configure
from memos_runtime.telemetry import Telemetry
from memos_runtime.tracing import Tracing


@pytest.fixture
def _restored():
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    root.handlers[:], _ = before
    root.setLevel(before[1])
    logging.getLogger("memos_runtime").setLevel(logging.NOTSET)


def test_a_json_line_carries_the_trace_that_it_belongs_to():
    given = {"name": "memos_storage", "levelname": "INFO", "msg": "stored %d", "args": (3,), "n": 3}
    record = logging.makeLogRecord(given)
    telemetry = Telemetry("storage", tracing=Tracing.to_exporter(InMemorySpanExporter()))
    with telemetry.span("work") as span:
        line = json.loads(JsonFormatter().format(record))
    assert (line["message"], line["level"], line["logger"], line["n"]) == ("stored 3", "info", "memos_storage", 3)
    assert line["trace_id"] == span.trace.trace_id
    assert "trace_id" not in json.loads(JsonFormatter().format(record))


@pytest.mark.usefixtures("_restored")
def test_the_level_is_for_the_system_and_libraries_stay_quiet(capsys):
    configure(TelemetryConfig(log_level="debug", log_format="json"))
    logging.getLogger("memos_runtime.server").debug("ours")
    logging.getLogger("somebody.else").info("theirs")
    assert [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()] == ["ours"]
