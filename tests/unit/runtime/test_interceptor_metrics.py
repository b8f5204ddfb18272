import asyncio

import pytest

from memos_kernel.errors import CubeNotFound
from memos_runtime.interceptors.metrics import CallMetrics
from memos_runtime.telemetry import Telemetry

GET = "/memos.v1.MemoryService/GetMemory"


def count(telemetry, code):
    labels = {"service": "interface", "method": "GetMemory", "code": code}
    return telemetry.metrics.registry.get_sample_value("memos_rpc_server_duration_seconds_count", labels)


@pytest.mark.parametrize(
    ("error", "code"), [(None, "OK"), (CubeNotFound("no"), "NOT_FOUND"), (asyncio.CancelledError(), "CANCELLED")]
)
async def test_a_call_is_counted_under_its_code(run, error, code):
    telemetry = Telemetry()

    async def endpoint(call):
        if error:
            raise error

    interceptor = CallMetrics(telemetry)
    if error is None:
        await run(interceptor, GET, endpoint=endpoint)
    else:
        with pytest.raises(type(error)):
            await run(interceptor, GET, endpoint=endpoint)
    assert count(telemetry, code) == 1


async def test_running_calls_are_shown(run):
    telemetry = Telemetry()

    async def endpoint(call):
        return telemetry.metrics.registry.get_sample_value("memos_rpc_server_in_flight", {"service": "interface"})

    assert await run(CallMetrics(telemetry), GET, endpoint=endpoint) == 1
    assert await endpoint(None) == 0
