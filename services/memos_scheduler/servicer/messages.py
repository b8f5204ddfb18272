"""Plans and jobs between the domain and the wire."""

from memos_api.internal.v1 import scheduler_service_pb2
from memos_api.v1 import chat_service_pb2, job_pb2
from memos_kernel import limits
from memos_kernel.names import VaultName
from memos_scheduler.domain.jobs import Job
from memos_scheduler.domain.plan import Conversation, MemoryCall, Plan, PlannedMemory
from memos_scheduler.usecases.enqueue_job import JobOrder
from memos_wire.cubes import cube_to_proto
from memos_wire.times import to_timestamp

_SHORT = limits.LABEL_VALUE_BYTES


def call_from_proto(message: chat_service_pb2.MemoryCall) -> MemoryCall:
    """Return what was understood of a question."""
    return MemoryCall(
        query=message.query,
        intent=message.intent,
        entities=tuple(message.entities),
        caller=message.caller,
        time_zone=message.time_zone,
    )


def conversation_from_proto(message: scheduler_service_pb2.PlanInjectionRequest) -> Conversation:
    """Return what shares the model's context with the memories."""
    return Conversation(tuple(message.turns), message.max_tokens or limits.CHAT_TOKENS_DEFAULT)


def plan_to_proto(plan: Plan) -> chat_service_pb2.ChatPlan:
    """Return the message of a plan; rejected memories come without payload."""
    call = plan.call
    return chat_service_pb2.ChatPlan(
        name=str(plan.name),
        call=chat_service_pb2.MemoryCall(
            query=call.query,
            intent=call.intent,
            entities=call.entities,
            caller=call.caller,
            time_zone=call.time_zone,
        ),
        chosen=[_memory_to_proto(memory, payload=True) for memory in plan.chosen],
        rejected=[_memory_to_proto(memory, payload=False) for memory in plan.rejected],
        degraded=plan.degraded,
        caches=[_memory_to_proto(cache, payload=True) for cache in plan.caches],
        adapter=_memory_to_proto(plan.adapter, payload=True) if plan.adapter is not None else None,
        estimated_ms=plan.estimated_ms,
    )


def order_from_proto(message: job_pb2.Job) -> JobOrder:
    """Return what a caller asks for; the rest of the message is set by the scheduler."""
    return JobOrder(
        kind=message.kind,
        vaults=tuple(
            VaultName.parse(vault, field=f"job.vaults[{index}]") for index, vault in enumerate(message.vaults)
        ),
        parameters=dict(message.parameters),
        max_attempts=message.max_attempts,
    )


def job_to_proto(job: Job, *, whole: bool = True) -> job_pb2.Job:
    """Return the message of a job, or without its long parameters, so that many fit into one answer."""
    parameters = {
        key: value if whole or len(value) <= _SHORT else f"({len(value)} characters)"
        for key, value in job.parameters.items()
    }
    return job_pb2.Job(
        name=str(job.name),
        kind=job.kind,
        state=job_pb2.JobState.ValueType(job.state),
        principal=str(job.principal),
        vaults=[str(vault) for vault in job.vaults],
        parameters=parameters,
        progress=job.progress,
        attempts=job.attempts,
        max_attempts=job.max_attempts,
        last_error=job.last_error,
        result=job.result,
        create_time=to_timestamp(job.create_time),
        due_time=to_timestamp(job.due_time),
        start_time=to_timestamp(job.start_time),
        end_time=to_timestamp(job.end_time),
    )


def _memory_to_proto(memory: PlannedMemory, *, payload: bool) -> chat_service_pb2.PlannedMemory:
    return chat_service_pb2.PlannedMemory(
        cube=cube_to_proto(memory.cube, payload=payload),
        form=memory.form,
        reason=memory.reason,
        score=memory.score,
        tokens=memory.tokens,
        estimated_ms=memory.estimated_ms,
    )
