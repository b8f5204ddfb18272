"""Log lines as records of OpenTelemetry, with the trace that they belong to; imported only where they are exported."""

import logging
from typing import Self

from opentelemetry._logs import Logger as OtelLogger
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor
from opentelemetry.sdk._logs.export import BatchLogRecordProcessor
from opentelemetry.sdk.resources import Resource
from opentelemetry.trace import TraceFlags

from memos_runtime.logging import extras
from memos_runtime.telemetry import current_span
from memos_wire.methods import SERVICES

_SEVERITIES = {
    logging.DEBUG: SeverityNumber.DEBUG,
    logging.INFO: SeverityNumber.INFO,
    logging.WARNING: SeverityNumber.WARN,
    logging.ERROR: SeverityNumber.ERROR,
    logging.CRITICAL: SeverityNumber.FATAL,
}
_PACKAGE = "memos_"


class LogExport(logging.Handler):
    """Hands every line of the log to a processor, under the name of the service that wrote it."""

    def __init__(self, processor: LogRecordProcessor) -> None:
        super().__init__()
        self._processor = processor
        self._loggers: dict[str, OtelLogger] = {}

    @classmethod
    def to_endpoint(cls, endpoint: str) -> Self:
        """Return what sends lines in batches to an OTLP gRPC endpoint, such as `http://127.0.0.1:4317`."""
        from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter

        return cls(BatchLogRecordProcessor(OTLPLogExporter(endpoint=endpoint)))

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        try:
            self._emit(record)
        except Exception:
            self.handleError(record)

    def _emit(self, record: logging.LogRecord) -> None:
        if record.name.startswith("opentelemetry"):
            return  # what the exporter says of itself would be sent by it
        trace = current_span().trace
        self._logger(record.name).emit(
            LogRecord(
                timestamp=int(record.created * 1e9),
                trace_id=int(trace.trace_id, 16) if trace else None,
                span_id=int(trace.span_id, 16) if trace else None,
                trace_flags=TraceFlags(TraceFlags.SAMPLED) if trace else None,
                severity_text=record.levelname,
                severity_number=_SEVERITIES.get(record.levelno, SeverityNumber.UNSPECIFIED),
                body=record.getMessage(),
                attributes=_attributes(record),
            )
        )

    def end(self) -> None:
        """Send what is left, and stop. Blocks for at most some seconds.

        Not in `close`, which the standard library calls of every handler when a library configures its own logging.
        """
        self._processor.force_flush()
        self._processor.shutdown()
        self.close()

    def _logger(self, name: str) -> OtelLogger:
        package = name.partition(".")[0].removeprefix(_PACKAGE)
        service = package if package in SERVICES else "memos"
        if service not in self._loggers:
            resource = Resource.create({"service.name": service, "service.namespace": "memos"})
            provider = LoggerProvider(resource=resource, shutdown_on_exit=False)
            provider.add_log_record_processor(self._processor)
            self._loggers[service] = provider.get_logger("memos_runtime")
        return self._loggers[service]


def _attributes(record: logging.LogRecord) -> dict[str, str]:
    found = {"logger": record.name, **{name: str(value) for name, value in extras(record).items()}}
    if record.exc_info and record.exc_info[0] is not None:
        found["exception.type"] = record.exc_info[0].__name__
        found["exception.stacktrace"] = logging.Formatter().formatException(record.exc_info)
    return found
