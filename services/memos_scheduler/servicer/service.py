"""SchedulerService: convert, call the use case, convert."""

from collections.abc import AsyncIterator
from typing import Any

from memos_api.internal.v1 import scheduler_service_pb2 as pb
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceServicer
from memos_api.v1 import job_service_pb2 as jobs_pb
from memos_kernel.forms import MemoryForm
from memos_kernel.names import JobName, VaultName
from memos_runtime import semconv
from memos_runtime.context import current_grant
from memos_runtime.paging import PageTokens, page_size, request_hash
from memos_runtime.telemetry import current_span
from memos_scheduler.domain.jobs import JobState
from memos_scheduler.domain.plan import Plan
from memos_scheduler.servicer.messages import (
    call_from_proto,
    conversation_from_proto,
    job_to_proto,
    order_from_proto,
    plan_to_proto,
)
from memos_scheduler.usecases.enqueue_job import EnqueueJob
from memos_scheduler.usecases.find_jobs import GetJob, ListJobs
from memos_scheduler.usecases.plan_injection import PlanInjection
from memos_scheduler.usecases.steer_job import CancelJob, RetryJob
from memos_scheduler.usecases.watch_job import WatchJob
from memos_wire.cubes import enum_from_proto, enums_from_proto
from memos_wire.requests import request_key_from_proto
from memos_wire.times import from_timestamp

LIST_METHOD = "/memos.v1.JobService/ListJobs"
"""What page tokens are bound to: the method that the caller uses."""


class SchedulerServicer(SchedulerServiceServicer):
    """Serves the scheduler."""

    def __init__(
        self,
        *,
        plan: PlanInjection,
        enqueue: EnqueueJob,
        get: GetJob,
        page: ListJobs,
        cancel: CancelJob,
        retry: RetryJob,
        watch: WatchJob,
        tokens: PageTokens,
    ) -> None:
        self._plan = plan
        self._enqueue = enqueue
        self._get = get
        self._page = page
        self._cancel = cancel
        self._retry = retry
        self._watch = watch
        self._tokens = tokens

    async def PlanInjection(self, request: pb.PlanInjectionRequest, context: Any) -> pb.PlanInjectionResponse:
        """Choose memories for a prompt."""
        plan = await self._plan(
            call_from_proto(request.call),
            tenant=current_grant().tenant,
            vaults=[VaultName.parse(vault, field=f"vaults[{index}]") for index, vault in enumerate(request.vaults)],
            conditions=request.filter.SerializeToString(),
            token_budget=request.token_budget,
            conversation=conversation_from_proto(request),
            wish=enum_from_proto(MemoryForm, request.form, field="form"),
        )
        _trace(plan)
        return pb.PlanInjectionResponse(plan=plan_to_proto(plan))

    async def EnqueueJob(self, request: pb.EnqueueJobRequest, context: Any) -> pb.EnqueueJobResponse:
        """Put a job into the queue."""
        due = from_timestamp(request.due_time, field="due_time") if request.HasField("due_time") else None
        job = await self._enqueue(
            order_from_proto(request.job),
            due_time=due,
            grant=current_grant(),
            request=request_key_from_proto(request.request_key),
        )
        return pb.EnqueueJobResponse(job=job_to_proto(job))

    async def GetJob(self, request: pb.GetJobRequest, context: Any) -> pb.GetJobResponse:
        """Return a job."""
        job = await self._get(JobName.parse(request.request.name), grant=current_grant())
        return pb.GetJobResponse(response=jobs_pb.GetJobResponse(job=job_to_proto(job)))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Any) -> pb.ListJobsResponse:
        """List jobs."""
        asked, grant = request.request, current_grant()
        binding = {"principal": str(grant.principal), "request_hash": request_hash(asked)}
        cursor = self._tokens.open(asked.page_token, method=LIST_METHOD, **binding)
        jobs, last = await self._page(
            grant=grant,
            states=enums_from_proto(JobState, asked.states, field="states"),
            before=str(cursor.get("before", "")),
            limit=page_size(asked.page_size),
        )
        token = self._tokens.seal({"before": last}, method=LIST_METHOD, **binding) if last else ""
        response = jobs_pb.ListJobsResponse(
            jobs=[job_to_proto(job, whole=False) for job in jobs], next_page_token=token
        )
        return pb.ListJobsResponse(response=response)

    async def CancelJob(self, request: pb.CancelJobRequest, context: Any) -> pb.CancelJobResponse:
        """Cancel a job."""
        job = await self._cancel(
            JobName.parse(request.request.name),
            grant=current_grant(),
            request=request_key_from_proto(request.request_key),
        )
        return pb.CancelJobResponse(response=jobs_pb.CancelJobResponse(job=job_to_proto(job)))

    async def RetryJob(self, request: pb.RetryJobRequest, context: Any) -> pb.RetryJobResponse:
        """Bring a dead letter back."""
        job = await self._retry(
            JobName.parse(request.request.name),
            grant=current_grant(),
            request=request_key_from_proto(request.request_key),
        )
        return pb.RetryJobResponse(response=jobs_pb.RetryJobResponse(job=job_to_proto(job)))

    async def WatchJob(self, request: pb.WatchJobRequest, context: Any) -> AsyncIterator[pb.WatchJobResponse]:
        """Follow a job."""
        async for job in self._watch(JobName.parse(request.request.name), grant=current_grant()):
            yield pb.WatchJobResponse(response=jobs_pb.WatchJobResponse(job=job_to_proto(job)))


def _trace(plan: Plan) -> None:
    """Tell the span of the call what was planned, and link it to where the chosen memories came from."""
    span = current_span()
    span.set_attribute(semconv.MEMOS_PLAN, str(plan.name))
    span.set_attribute(semconv.MEMOS_CUBE_COUNT, len(plan.chosen))
    span.set_attribute(semconv.MEMOS_DEGRADED, plan.degraded)
    for memory in plan.chosen:
        if memory.cube.origin_trace is not None:
            span.add_link(memory.cube.origin_trace, {semconv.MEMOS_LINK: "planned"})
