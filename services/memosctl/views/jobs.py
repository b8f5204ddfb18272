"""Jobs as tables and lines."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.text import Text

from memosctl.names import short
from memosctl.views.tables import table
from memosctl.views.text import enum_word

if TYPE_CHECKING:
    from memos_api.v1.job_pb2 import Job

_STYLES = {"queued": "cyan", "running": "yellow", "succeeded": "green", "dead": "red", "cancelled": "dim"}


def overview(jobs: "Iterable[Job]") -> RenderableType:
    """Return jobs, newest first."""
    rows = [
        (
            short(job.name),
            job.kind,
            _state(job),
            f"{job.attempts}/{job.max_attempts}",
            Text(_result(job)),
        )
        for job in jobs
    ]
    return table("job kind state try result", rows)


def line(job: "Job") -> RenderableType:
    """Return one job on one line."""
    return Text.assemble(
        (short(job.name), "bold"),
        f" {job.kind} ",
        _state(job),
        f" {job.progress:.0%} try {job.attempts} ",
        _result(job),
    )


def _state(job: "Job") -> Text:
    from memos_api.v1.job_pb2 import JobState

    word = enum_word(JobState, job.state)
    return Text(word, style=_STYLES.get(word, ""))


def _result(job: "Job") -> str:
    if job.last_error and not job.result:
        return job.last_error
    return ", ".join(f"{key}={value}" for key, value in sorted(job.result.items()))
