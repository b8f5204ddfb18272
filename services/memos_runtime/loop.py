"""The event loop of a process: uvloop, and a sampler of how late it runs."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import uvloop

from memos_runtime import semconv
from memos_runtime.telemetry import Telemetry

T = TypeVar("T")

_SAMPLE_SECONDS = 0.1
_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end on a new uvloop."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)


async def sample_lag(telemetry: Telemetry) -> None:
    """Measure for ever how much later than asked the loop wakes up: what blocks it shows here."""
    lag = telemetry.histogram(semconv.METRIC_LOOP_LAG, "Seconds that the event loop woke up late.", buckets=_BUCKETS)
    clock = asyncio.get_running_loop().time
    while True:
        due = clock() + _SAMPLE_SECONDS
        await asyncio.sleep(_SAMPLE_SECONDS)
        lag.observe(max(0.0, clock() - due))
