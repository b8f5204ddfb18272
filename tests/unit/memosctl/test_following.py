"""Commands that follow a job: how it ends is how they end."""

import asyncio
import json
import signal
import threading

import pytest

from memos_api.internal.v1 import scheduler_service_pb2
from memos_api.v1 import job_pb2, job_service_pb2

REJECTED = "ADAPTER_REJECTED: It knows 3 of 10 facts; 8 are asked for."


def watched(**fields: object) -> scheduler_service_pb2.WatchJobResponse:
    job = job_pb2.Job(name="tenants/t/jobs/j1", **fields)
    return scheduler_service_pb2.WatchJobResponse(response=job_service_pb2.WatchJobResponse(job=job))


def end(server, **fields: object) -> None:
    """Has every job of the server end like that."""

    async def watch(message: object):
        yield watched(state=job_pb2.JOB_STATE_RUNNING)
        yield watched(**fields)

    server.behind.WatchJob = watch


@pytest.mark.parametrize("command", [("convert", "text", "c", "-v", "notes"), ("jobs", "watch", "j1")])
def test_a_job_that_failed_ends_the_command_with_its_reason(memosctl, server, command) -> None:
    end(server, state=job_pb2.JOB_STATE_DEAD, last_error=REJECTED)

    result = memosctl.run(*command)

    assert result.exit_code == 1
    assert f"error: Job j1 failed: {REJECTED}" in result.stderr
    assert "memosctl jobs retry j1" in result.stderr


def test_a_job_that_failed_is_an_error_for_programs_too(memosctl, server) -> None:
    end(server, state=job_pb2.JOB_STATE_DEAD, last_error=REJECTED)

    result = memosctl.run("convert", "adapter", "c", "-v", "notes", "--json")

    assert result.exit_code == 1
    assert [json.loads(line)["job"]["state"] for line in result.stdout.splitlines()] == [
        "JOB_STATE_RUNNING", "JOB_STATE_DEAD",
    ]  # fmt: skip
    error = json.loads(result.stderr)["error"]
    assert (error["reason"], error["metadata"]) == ("ADAPTER_REJECTED", {"job": "tenants/t/jobs/j1"})


def test_a_job_that_was_cancelled_is_no_success(memosctl, server) -> None:
    end(server, state=job_pb2.JOB_STATE_CANCELLED)

    result = memosctl.run("convert", "activation", "c", "-v", "notes")

    assert result.exit_code == 1
    assert "Job j1 was cancelled" in result.stderr


def test_a_job_that_succeeded_is_a_success(memosctl, server) -> None:
    end(server, state=job_pb2.JOB_STATE_SUCCEEDED)

    assert memosctl.run("convert", "activation", "c", "-v", "notes").exit_code == 0


@pytest.mark.usefixtures("interruptible")
def test_who_interrupts_it_is_told_that_the_job_goes_on_and_how_to_follow_it(memosctl, server) -> None:
    async def watch(message: object):
        yield watched(state=job_pb2.JOB_STATE_RUNNING)
        await asyncio.sleep(0.2)  # until the main thread waits
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        await asyncio.sleep(60)

    server.behind.WatchJob = watch

    result = memosctl.run("convert", "activation", "c", "-v", "notes")

    assert result.exit_code == 130, result.stderr
    assert (
        "The job goes on. Follow it with: memosctl jobs watch j1; end it with: memosctl jobs cancel j1" in result.stderr
    )
