"""A collector of OpenTelemetry that keeps what it gets."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2, logs_service_pb2_grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from deployment import free_port


class Collector:
    """What it got: spans and log lines, each with the service that it is of."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.spans: list[tuple[str, object]] = []
        self.lines: list[tuple[str, object]] = []

    def services_of(self, trace_id: str) -> set[str]:
        """Return the services that have taken part in a trace."""
        return {service for service, span in self.spans if span.trace_id.hex() == trace_id}


class _Traces(trace_service_pb2_grpc.TraceServiceServicer):
    def __init__(self, kept: Collector) -> None:
        self._kept = kept

    def Export(self, request, context):
        for traced in request.resource_spans:
            service = value_of(traced.resource.attributes, "service.name")
            for scope in traced.scope_spans:
                self._kept.spans += [(service, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()


class _Logs(logs_service_pb2_grpc.LogsServiceServicer):
    def __init__(self, kept: Collector) -> None:
        self._kept = kept

    def Export(self, request, context):
        for logged in request.resource_logs:
            service = value_of(logged.resource.attributes, "service.name")
            for scope in logged.scope_logs:
                self._kept.lines += [(service, line) for line in scope.log_records]
        return logs_service_pb2.ExportLogsServiceResponse()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    received = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Traces(received), server)
    logs_service_pb2_grpc.add_LogsServiceServicer_to_server(_Logs(received), server)
    server.add_insecure_port(received.address)
    server.start()
    yield received
    server.stop(None)


def value_of(attributes, key: str) -> str:
    """Return a text among the attributes of something."""
    return next((item.value.string_value for item in attributes if item.key == key), "")
