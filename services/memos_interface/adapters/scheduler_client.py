"""Planning, over the channel of the scheduler."""

from collections.abc import Sequence

from memos_api.internal.v1 import scheduler_service_pb2 as pb
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
from memos_api.v1 import chat_service_pb2
from memos_interface.domain.chat import Plan
from memos_interface.domain.question import MemoryCall
from memos_interface.domain.search import CubeFilter
from memos_interface.wire.chat import call_to_proto, plan_from_proto
from memos_interface.wire.search import filter_to_proto
from memos_kernel.forms import MemoryForm
from memos_kernel.names import VaultName


class SchedulerClient:
    """The port Planner."""

    def __init__(self, stub: SchedulerServiceStub) -> None:
        self._stub = stub

    async def plan(
        self,
        call: MemoryCall,
        *,
        vaults: tuple[VaultName, ...],
        filter: CubeFilter | None,
        token_budget: int,
        turns: Sequence[str],
        max_tokens: int,
        form: MemoryForm,
    ) -> Plan:
        """See the port."""
        answer = await self._stub.PlanInjection(
            pb.PlanInjectionRequest(
                call=call_to_proto(call),
                vaults=[str(vault) for vault in vaults],
                filter=filter_to_proto(filter),
                token_budget=token_budget,
                turns=turns,
                max_tokens=max_tokens,
                form=chat_service_pb2.MemoryForm.ValueType(form),
            )
        )
        return plan_from_proto(answer.plan, call=call)
