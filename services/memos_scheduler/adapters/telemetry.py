"""JobObserver over spans and metrics, and how many jobs there are."""

from collections.abc import Mapping
from contextlib import AbstractContextManager

from memos_runtime import semconv
from memos_runtime.telemetry import Telemetry
from memos_scheduler.domain.jobs import Job, JobState


class TelemetryJobObserver:
    """One span an attempt, and a counter of how attempts left their jobs."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry
        self._settled = telemetry.counter(
            "job_attempts", "Attempts at jobs, by the state that they left the job in.", ("kind", "state")
        )

        self._jobs = telemetry.gauge("jobs", "Jobs of all tenants that wait, run, or are dead letters.", ("state",))

    def counted(self, jobs: Mapping[JobState, int]) -> None:
        """Take note of how many jobs there are."""
        for state, count in jobs.items():
            self._jobs.labels(state.name).set(count)

    def attempt(self, job: Job) -> AbstractContextManager[object]:
        """See the port."""
        return self._telemetry.span(
            f"job {job.kind}",
            kind="consumer",
            attributes={
                semconv.MEMOS_JOB: str(job.name),
                semconv.MEMOS_JOB_KIND: job.kind,
                semconv.MEMOS_TENANT: str(job.name.parent),
            },
        )

    def settled(self, job: Job) -> None:
        """See the port."""
        self._settled.labels(job.kind, job.state.name).inc()
