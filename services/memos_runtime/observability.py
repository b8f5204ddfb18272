"""The telemetry of a process, as configured: spans and log lines to an endpoint, metrics to scrape."""

import asyncio
import logging
import threading
from collections.abc import Callable

from prometheus_client import ProcessCollector, start_http_server

from memos_runtime.config import TelemetryConfig, host_and_port
from memos_runtime.context import spawn
from memos_runtime.loop import sample_lag
from memos_runtime.telemetry import Telemetry

_CLOSE_SECONDS = 5.0
"""Longest that the end of a process waits for an endpoint that may be away."""


async def _in_time(end: Callable[[], object]) -> None:
    """Run something that blocks for as long as is allowed; what goes on after that ends with the process."""
    thread = threading.Thread(target=end, daemon=True)
    thread.start()
    await asyncio.to_thread(thread.join, _CLOSE_SECONDS)


class Observability:
    """Owns what the process exports. With the defaults nothing leaves it, and no port is opened."""

    def __init__(self, config: TelemetryConfig) -> None:
        self._config = config
        self._tracing, self._log = None, None
        if config.otlp_endpoint:
            from memos_runtime.log_export import LogExport  # the SDK takes time to import
            from memos_runtime.tracing import Tracing

            self._log = LogExport.to_endpoint(config.otlp_endpoint) if config.otlp_logs else None
            self._tracing = Tracing.to_endpoint(config.otlp_endpoint, sample_ratio=config.sample_ratio)
        self.telemetry = Telemetry(tracing=self._tracing)
        self._stop_metrics: Callable[[], None] | None = None
        self._sampler: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Open the metrics endpoint, if there is one, and start to sample.

        Raises:
            OSError: the address is taken.
        """
        if self._log is not None:
            logging.getLogger().addHandler(self._log)
        self._sampler = spawn(sample_lag(self.telemetry), name="loop-lag")
        if self._config.prometheus_address:
            host, port = host_and_port(self._config.prometheus_address)
            registry = self.telemetry.metrics.registry
            ProcessCollector(registry=registry)  # processor time, memory and open files
            server, thread = start_http_server(port, host or "0.0.0.0", registry)  # noqa: S104 - as configured

            def stop() -> None:
                server.shutdown()
                server.server_close()
                thread.join()

            self._stop_metrics = stop

    async def close(self) -> None:
        """Stop sampling and send what is left. Can be called twice."""
        if self._sampler is not None:
            self._sampler.cancel()
        if self._stop_metrics is not None:
            await asyncio.to_thread(self._stop_metrics)
            self._stop_metrics = None
        if self._log is not None:
            logging.getLogger().removeHandler(self._log)
        ending = [each for each in (self._tracing and self._tracing.close, self._log and self._log.end) if each]
        self._tracing = self._log = None
        await asyncio.gather(*map(_in_time, ending))
