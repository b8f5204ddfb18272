"""`memosctl jobs`: background work."""

from typing import TYPE_CHECKING, Annotated

import typer

from memosctl import names
from memosctl.command import Cli, command
from memosctl.following import follow_job
from memosctl.inputs import JobStatus
from memosctl.options import PageSizeOption, PageTokenOption

if TYPE_CHECKING:
    from memos_api.v1.job_service_pb2 import CancelJobRequest, GetJobRequest, RetryJobRequest

app = typer.Typer(name="jobs", help="Show and steer background work.", no_args_is_help=True)

JobArgument = Annotated[str, typer.Argument(help="Name or id of the job.")]


@command(app, "list")
def list_(
    cli: Cli,
    state: Annotated[list[JobStatus] | None, typer.Option("--state", help="State; repeatable.")] = None,
    page_size: PageSizeOption = 50,
    page_token: PageTokenOption = "",
) -> None:
    """List jobs, newest first."""
    from memos_api.v1.job_pb2 import JobState
    from memos_api.v1.job_service_pb2 import ListJobsRequest
    from memosctl.documents import document
    from memosctl.views import jobs

    states = [JobState.Value(f"JOB_STATE_{item.name}") for item in state or ()]
    with cli.client() as client:
        response = client.call(ListJobsRequest(states=states, page_size=page_size, page_token=page_token))
    cli.output.answer(document(response), lambda: jobs.overview(response.jobs))


@command(app, "get")
def get(cli: Cli, job: JobArgument) -> None:
    """Show one job."""
    from memos_api.v1.job_service_pb2 import GetJobRequest

    _one(cli, GetJobRequest(name=names.job(job)))


@command(app, "cancel")
def cancel(cli: Cli, job: JobArgument) -> None:
    """Cancel a job that has not ended."""
    from memos_api.v1.job_service_pb2 import CancelJobRequest

    _one(cli, CancelJobRequest(name=names.job(job)))


@command(app, "retry")
def retry(cli: Cli, job: JobArgument) -> None:
    """Put a job that failed at every attempt, or that was cancelled, back into the queue."""
    from memos_api.v1.job_service_pb2 import RetryJobRequest

    _one(cli, RetryJobRequest(name=names.job(job)))


@command(app, "watch")
def watch(cli: Cli, job: JobArgument) -> None:
    """Follow a job until it ends; with --json, one JSON value a line."""
    with cli.client() as client:
        follow_job(cli, client, names.job(job))


def _one(cli: Cli, request: "GetJobRequest | CancelJobRequest | RetryJobRequest") -> None:
    from memosctl.documents import document
    from memosctl.views import jobs

    with cli.client() as client:
        response = client.call(request)
    cli.output.answer(document(response), lambda: jobs.overview([response.job]))
