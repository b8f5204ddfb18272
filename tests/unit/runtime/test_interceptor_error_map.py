import asyncio
import logging

import pytest

from memos_kernel.errors import CubeNotFound, DataCorrupted, InternalError
from memos_runtime.interceptors.error_map import ErrorMap

GET = "/memos.v1.MemoryService/GetMemory"


def failing(error):
    async def endpoint(call):
        raise error

    return endpoint


async def test_a_domain_error_passes_as_it_is(run):
    with pytest.raises(CubeNotFound, match="not here"):
        await run(ErrorMap(), GET, endpoint=failing(CubeNotFound("not here")))


async def test_an_unknown_exception_is_masked_and_logged_under_the_id_that_is_told(run, caplog):
    with pytest.raises(InternalError) as caught:
        await run(ErrorMap(), GET, endpoint=failing(KeyError("password=hunter2")))
    assert "hunter2" not in caught.value.message
    (record,) = caplog.records
    assert caught.value.metadata["error_id"] in record.getMessage()
    assert record.exc_info is not None


async def test_a_domain_error_that_the_table_does_not_know_is_masked(run):
    class Homemade(CubeNotFound):
        pass

    with pytest.raises(InternalError):
        await run(ErrorMap(), GET, endpoint=failing(Homemade("text")))


async def test_a_fault_of_the_system_is_logged(run, caplog):
    with caplog.at_level(logging.ERROR), pytest.raises(DataCorrupted):
        await run(ErrorMap(), GET, endpoint=failing(DataCorrupted("hash differs")))
    assert "DATA_CORRUPTED" in caplog.text


async def test_cancellation_passes(run):
    with pytest.raises(asyncio.CancelledError):
        await run(ErrorMap(), GET, endpoint=failing(asyncio.CancelledError()))
