"""Counts and times calls by service, method and status code."""

import time
from asyncio import CancelledError
from typing import Any

from prometheus_client import Histogram

from memos_kernel.errors import MemosError
from memos_runtime import semconv
from memos_runtime.context import Call
from memos_runtime.interceptors.base import Proceed
from memos_runtime.telemetry import Telemetry
from memos_wire.errors import CODES
from memos_wire.methods import Method

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 120)


class CallMetrics:
    """A histogram of durations and a gauge of running calls."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._duration = telemetry.histogram(
            semconv.METRIC_RPC_DURATION,
            "Seconds from the start of a call to its end, by status code.",
            ("service", "method", "code"),
            buckets=_BUCKETS,
        )
        self._in_flight = telemetry.gauge(semconv.METRIC_RPC_IN_FLIGHT, "Calls that run now.", ("service",))

    def wrap(self, method: Method, proceed: Proceed) -> Proceed:
        """See `Interceptor`."""
        name = method.name.rpartition("/")[2]
        running = self._in_flight.labels(method.service)
        by_code: dict[str, Histogram] = {}

        def observe(code: str, started: float) -> None:
            histogram = by_code.get(code)
            if histogram is None:
                histogram = by_code[code] = self._duration.labels(method.service, name, code)
            histogram.observe(time.perf_counter() - started)

        async def measured(call: Call) -> Any:
            started = time.perf_counter()
            code = "OK"
            running.inc()
            try:
                return await proceed(call)
            except MemosError as error:
                code = CODES[type(error)].name
                raise
            except CancelledError:
                code = "CANCELLED"
                raise
            finally:
                running.dec()
                observe(code, started)

        return measured
