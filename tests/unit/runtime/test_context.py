import asyncio

import pytest

from memos_kernel.errors import CredentialInvalid, GrantInvalid
from memos_runtime.context import (
    allow,
    current_grant,
    current_peer,
    current_principal,
    current_request_key,
    current_trace,
    remaining,
    spawn,
    use_grant,
)
from memos_runtime.interceptors.deadline import Deadline

GET = "/memos.v1.MemoryService/GetMemory"


def test_outside_of_a_call_there_is_nobody():
    with pytest.raises(GrantInvalid):
        current_grant()
    with pytest.raises(CredentialInvalid):
        current_principal()
    assert (current_peer(), remaining(), current_trace()) == ("", None, None)
    assert not current_request_key()


def test_a_grant_is_used_for_the_calls_inside_and_no_longer():
    with use_grant("outer"):
        with use_grant("inner"):
            assert current_grant() == "inner"
        assert current_grant() == "outer"
    with pytest.raises(GrantInvalid):
        current_grant()


async def test_work_that_must_be_finished_has_time_that_its_caller_has_not(run):
    async def finished():
        allow(900.0)
        return remaining()

    async def endpoint(call):
        given = remaining()
        return await asyncio.create_task(finished()), remaining() <= given

    left, unchanged = await run(Deadline(), GET, endpoint=endpoint)
    assert 899 < left <= 900
    assert unchanged


async def test_what_a_call_starts_in_the_background_outlives_its_deadline_and_grant(run):
    async def background():
        with pytest.raises(GrantInvalid):
            current_grant()
        return remaining()

    async def endpoint(call):
        with use_grant("grant"):
            inherited = asyncio.create_task(asyncio.sleep(0, current_grant()))
            assert await inherited == "grant"
            assert remaining() is not None
            return await spawn(background(), name="background")

    assert await run(Deadline(), GET, endpoint=endpoint) is None
