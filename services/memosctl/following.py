"""Follows a job, as several commands do."""

import functools
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from memos_client import Client
    from memosctl.command import Cli


def follow_job(cli: "Cli", client: "Client", name: str) -> None:
    """Print a job at each change until it ends; with `--json` one JSON value a line."""
    from memos_api.v1.job_service_pb2 import WatchJobRequest
    from memosctl.documents import document
    from memosctl.views import jobs

    for response in client.stream(WatchJobRequest(name=name)):
        cli.output.event(document(response), functools.partial(jobs.line, response.job))
