"""Plans on the wire: from the scheduler, and on to the caller."""

from memos_api.v1 import chat_service_pb2
from memos_interface.domain.chat import Plan, PlannedMemory
from memos_interface.domain.question import MemoryCall
from memos_wire.cubes import cube_from_proto, cube_to_proto


def call_to_proto(call: MemoryCall) -> chat_service_pb2.MemoryCall:
    """Return the message of a memory call."""
    return chat_service_pb2.MemoryCall(
        query=call.query, intent=call.intent, entities=call.entities, caller=call.caller, time_zone=call.time_zone
    )


def plan_from_proto(message: chat_service_pb2.ChatPlan, *, call: MemoryCall) -> Plan:
    """Return the plan that the scheduler made for a call."""
    return Plan(
        name=message.name,
        call=call,
        chosen=tuple(_planned_from_proto(planned) for planned in message.chosen),
        rejected=tuple(_planned_from_proto(planned) for planned in message.rejected),
        degraded=message.degraded,
        caches=tuple(_planned_from_proto(planned) for planned in message.caches),
        adapter=_planned_from_proto(message.adapter) if message.HasField("adapter") else None,
        estimated_ms=message.estimated_ms,
    )


def plan_to_proto(plan: Plan) -> chat_service_pb2.ChatPlan:
    """Return the message of a plan; only what entered the prompt carries its payload."""
    return chat_service_pb2.ChatPlan(
        name=plan.name,
        call=call_to_proto(plan.call),
        chosen=[_planned_to_proto(planned, payload=True) for planned in plan.chosen],
        rejected=[_planned_to_proto(planned, payload=False) for planned in plan.rejected],
        degraded=plan.degraded,
        caches=[_planned_to_proto(planned, payload=True) for planned in plan.caches],
        adapter=_planned_to_proto(plan.adapter, payload=True) if plan.adapter is not None else None,
        estimated_ms=plan.estimated_ms,
    )


def _planned_from_proto(message: chat_service_pb2.PlannedMemory) -> PlannedMemory:
    return PlannedMemory(
        cube=cube_from_proto(message.cube),
        form=message.form,
        reason=message.reason,
        score=message.score,
        tokens=message.tokens,
        estimated_ms=message.estimated_ms,
    )


def _planned_to_proto(planned: PlannedMemory, *, payload: bool) -> chat_service_pb2.PlannedMemory:
    return chat_service_pb2.PlannedMemory(
        cube=cube_to_proto(planned.cube, payload=payload),
        form=planned.form,
        reason=planned.reason,
        score=planned.score,
        tokens=planned.tokens,
        estimated_ms=planned.estimated_ms,
    )
