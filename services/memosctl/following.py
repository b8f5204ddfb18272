"""Follows a job, as several commands do."""

import functools
import re
from typing import TYPE_CHECKING

from memosctl.failures import Failure
from memosctl.names import short

if TYPE_CHECKING:
    from memos_api.v1.job_pb2 import Job
    from memos_client import Client
    from memosctl.command import Cli

_ERROR = re.compile(r"([A-Z_]+): (.+)", re.DOTALL)
"""What a job keeps of an error: its reason, and what is told of it."""


def follow_job(cli: "Cli", client: "Client", name: str) -> None:
    """Print a job at each change until it ends; with `--json` one JSON value a line.

    Raises:
        Failure: it failed, or somebody cancelled it.
    """
    from memos_api.v1.job_pb2 import Job
    from memos_api.v1.job_service_pb2 import WatchJobRequest
    from memosctl.documents import document
    from memosctl.views import jobs

    job = Job()
    try:
        for response in client.stream(WatchJobRequest(name=name)):
            job = response.job
            cli.output.event(document(response), functools.partial(jobs.line, job))
    except KeyboardInterrupt:
        follow, end = (f"memosctl jobs {verb} {short(name)}" for verb in ("watch", "cancel"))
        cli.output.note(f"The job goes on. Follow it with: {follow}; end it with: {end}")
        raise
    _require_success(job)


def _require_success(job: "Job") -> None:
    from memos_api.v1.job_pb2 import JOB_STATE_CANCELLED, JOB_STATE_DEAD

    if job.state not in (JOB_STATE_CANCELLED, JOB_STATE_DEAD):
        return
    again = f"memosctl jobs retry {short(job.name)} tries it again."
    if job.state == JOB_STATE_CANCELLED:
        raise Failure(
            f"Job {short(job.name)} was cancelled.", again, reason="JOB_CANCELLED", metadata={"job": job.name}
        )
    told = _ERROR.fullmatch(job.last_error)
    reason, message = told.groups() if told else ("JOB_FAILED", job.last_error)
    raise Failure(
        f"Job {short(job.name)} failed: {reason}: {message}", again, reason=reason, metadata={"job": job.name}
    )
