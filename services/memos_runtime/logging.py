"""Log lines for people or programs, with the trace that they belong to. Secrets and content are never logged."""

import json
import logging
import sys
from datetime import UTC, datetime

from memos_runtime.config import TelemetryConfig
from memos_runtime.telemetry import current_span
from memos_wire.methods import SERVICES

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "trace", "taskName"}


class TextFormatter(logging.Formatter):
    """`12:00:00.123 INFO memos_storage.outbox: message`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s.%(msecs)03d %(levelname)s %(name)s: %(message)s", "%H:%M:%S")


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what is given as `extra` becomes members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        trace = current_span().trace
        if trace is not None:
            line |= {"trace_id": trace.trace_id, "span_id": trace.span_id}
        line |= extras(record)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def extras(record: logging.LogRecord) -> dict[str, object]:
    """Return what was given to a line as `extra`."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD}


def configure(config: TelemetryConfig) -> None:
    """Log to stderr in the configured form; the libraries below warnings are silent."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if config.log_format == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(logging.WARNING)
    for name in ("memos_runtime", "memosctl", *(f"memos_{service}" for service in SERVICES)):
        logging.getLogger(name).setLevel(config.log_level.upper())
