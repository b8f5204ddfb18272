"""Health of the services under `grpc.health.v1`, on a port of its own, in plain text, as probes want it.

Names: `live` (the process answers), the empty name (every service is ready), `<service>` (it can do its
work) and `<service>.<part>` (an optional part works).
"""

from collections.abc import Iterator, Mapping, Sequence

import grpc
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health import aio as grpc_health
from grpc_health.v1.health_pb2 import HealthCheckResponse

from memos_runtime import semconv
from memos_runtime.gate import Gate
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry

LIVE = "live"


class Health:
    """Keeps the health servicer in step with the services."""

    def __init__(self, services: Sequence[Service], gates: Mapping[str, Gate], telemetry: Telemetry) -> None:
        self._services = services
        self._gates = gates
        self._ready_gauge = telemetry.gauge(semconv.METRIC_READY, "Whether the service takes calls.", ("service",))
        self._part_gauge = telemetry.gauge(
            semconv.METRIC_PART_UP, "Whether an optional part of the service works.", ("service", "part")
        )
        self._servicer = grpc_health.HealthServicer()
        self._shown: dict[str, bool] = {}
        self._off = False

    def register(self, server: grpc.aio.Server) -> None:
        """Add the servicer to a server."""
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    async def refresh(self) -> None:
        """Ask the services, and tell those who watch what has changed."""
        ready = {service.name: self._ready(service) for service in self._services}
        shown = {"": all(ready.values()), **ready, **dict(self._parts())}
        if self._off:
            shown = dict.fromkeys(shown, False)
        for name, healthy in {LIVE: True, **shown}.items():
            if self._shown.get(name) is not healthy:
                status = HealthCheckResponse.SERVING if healthy else HealthCheckResponse.NOT_SERVING
                await self._servicer.set(name, status)
                self._shown[name] = healthy
                self._measure(name, healthy)

    async def off(self) -> None:
        """Say from now on that nothing is ready; the process still lives."""
        self._off = True
        await self.refresh()

    def _measure(self, name: str, healthy: bool) -> None:
        service, _, part = name.partition(".")
        if part:
            self._part_gauge.labels(service, part).set(healthy)
        elif service not in ("", LIVE):
            self._ready_gauge.labels(service).set(healthy)

    def _ready(self, service: Service) -> bool:
        return self._gates[service.name].state == "open" and service.ready()

    def _parts(self) -> Iterator[tuple[str, bool]]:
        for service in self._services:
            for part, healthy in service.parts.items():
                yield f"{service.name}.{part}", healthy()
