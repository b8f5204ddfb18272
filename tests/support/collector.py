"""A collector of OpenTelemetry that keeps what it gets."""

from collections.abc import Iterator
from concurrent import futures
from contextlib import contextmanager

import grpc
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from deployment import free_port


class Collector(trace_service_pb2_grpc.TraceServiceServicer):
    """Its spans, each with the service that it is of."""

    def __init__(self) -> None:
        self.address = f"127.0.0.1:{free_port()}"
        self.spans: list[tuple[str, object]] = []

    def Export(self, request, context):
        for traced in request.resource_spans:
            service = value_of(traced.resource.attributes, "service.name")
            for scope in traced.scope_spans:
                self.spans += [(service, span) for span in scope.spans]
        return trace_service_pb2.ExportTraceServiceResponse()

    def services_of(self, trace_id: str) -> set[str]:
        """Return the services that have taken part in a trace."""
        return {service for service, span in self.spans if span.trace_id.hex() == trace_id}


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector."""
    received = Collector()
    server = grpc.server(futures.ThreadPoolExecutor(2))
    trace_service_pb2_grpc.add_TraceServiceServicer_to_server(received, server)
    server.add_insecure_port(received.address)
    server.start()
    yield received
    server.stop(None)


def value_of(attributes, key: str) -> str:
    """Return a text among the attributes of something."""
    return next((item.value.string_value for item in attributes if item.key == key), "")
