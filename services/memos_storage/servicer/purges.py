"""PurgeService: convert, call a use case, convert."""

from dataclasses import dataclass, replace
from typing import Any

from memos_api.internal.v1 import purge_service_pb2 as pb
from memos_api.internal.v1.purge_service_pb2_grpc import PurgeServiceServicer
from memos_api.v1 import purge_service_pb2 as public
from memos_kernel.names import CubeName, PurgeName, VaultName
from memos_runtime.context import current_grant, current_trace
from memos_runtime.paging import page_size
from memos_storage.domain.purges import Purge
from memos_storage.servicer import messages
from memos_storage.servicer.calls import Pages, mutation_of
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.plan_purge import ANY_STATE, PlanPurge, PurgeRequest
from memos_storage.usecases.read_purges import LiftPurge, ReadPurges
from memos_storage.usecases.run_purge import RunPurge
from memos_wire.times import to_timestamp

_LIST = "/memos.internal.v1.PurgeService/ListPurges"


@dataclass(frozen=True, slots=True, kw_only=True)
class PurgeUseCases:
    """What the servicer calls."""

    plan: PlanPurge
    run: RunPurge
    read: ReadPurges
    lift: LiftPurge


class PurgeServicer(PurgeServiceServicer):
    """Serves memos.internal.v1.PurgeService."""

    def __init__(self, use_cases: PurgeUseCases, pages: Pages) -> None:
        self._do = use_cases
        self._pages = pages

    async def PlanPurge(self, request: pb.PlanPurgeRequest, context: Any) -> pb.PlanPurgeResponse:
        """Select and hide, or count."""
        planned = await self._do.plan(_wanted(request.request), mutation=mutation_of(request))
        answer = public.PurgeMemoriesResponse(
            count=planned.count,
            derived_count=planned.derived,
            sample=[str(name) for name in planned.sample],
            purge=_message(planned.purge) if planned.purge is not None else None,
        )
        return pb.PlanPurgeResponse(response=answer)

    async def PlanDuePurge(self, request: pb.PlanDuePurgeRequest, context: Any) -> pb.PlanDuePurgeResponse:
        """Plan what retention asks for."""
        purge = await self._do.plan.due(mutation=_own())
        return pb.PlanDuePurgeResponse(purge=_message(purge) if purge is not None else None)

    async def RunPurge(self, request: pb.RunPurgeRequest, context: Any) -> pb.RunPurgeResponse:
        """Do the next step."""
        step = await self._do.run(PurgeName.parse(request.name), mutation=_own())
        return pb.RunPurgeResponse(
            purge=_message(step.purge, proof=False), remaining=step.remaining, wait_seconds=step.wait_seconds
        )

    async def GetPurge(self, request: pb.GetPurgeRequest, context: Any) -> pb.GetPurgeResponse:
        """Return one purge."""
        found = await self._do.read.get(PurgeName.parse(request.request.name), grant=current_grant())
        return pb.GetPurgeResponse(response=public.GetPurgeResponse(purge=_message(found)))

    async def ListPurges(self, request: pb.ListPurgesRequest, context: Any) -> pb.ListPurgesResponse:
        """List purges."""
        asked = request.request
        page = self._pages.of(_LIST, asked, asked.page_token, current_grant())
        found, last = await self._do.read.list(
            VaultName.parse(asked.vault, field="vault"),
            after=page.after,
            size=page_size(asked.page_size),
            grant=current_grant(),
        )
        answer = public.ListPurgesResponse(
            purges=[_message(purge, proof=False) for purge in found], next_page_token=page.token(last)
        )
        return pb.ListPurgesResponse(response=answer)

    async def LiftPurge(self, request: pb.LiftPurgeRequest, context: Any) -> pb.LiftPurgeResponse:
        """Let what was erased be stored again."""
        lifted = await self._do.lift(PurgeName.parse(request.request.name), mutation=mutation_of(request))
        return pb.LiftPurgeResponse(response=public.LiftPurgeResponse(purge=_message(lifted)))


def _own() -> Mutation:
    return Mutation(grant=current_grant(), trace=current_trace())


def _wanted(message: public.PurgeMemoriesRequest) -> PurgeRequest:
    filter = messages.cube_filter(message.filter) if message.HasField("filter") else None
    if filter is not None and not message.filter.states:
        filter = replace(filter, states=ANY_STATE)
    return PurgeRequest(
        vault=VaultName.parse(message.vault, field="vault"),
        names=[CubeName.parse(name, field=f"names[{index}]") for index, name in enumerate(message.names)],
        filter=filter,
        expected=message.expected_count,
        validate_only=message.validate_only,
        reason=message.reason,
    )


def _message(purge: Purge, *, proof: bool = True) -> public.Purge:
    receipt = None
    if proof and purge.receipt is not None:
        receipt = public.DeletionReceipt(
            statement=purge.receipt.statement,
            signature=purge.receipt.signature,
            public_key=purge.receipt.public_key,
        )
    return public.Purge(
        name=str(purge.name),
        vault=str(purge.vault),
        principal=str(purge.principal),
        reason=purge.reason,
        state=public.PurgeState.ValueType(purge.state),
        cube_count=purge.cubes,
        create_time=to_timestamp(purge.create_time),
        end_time=to_timestamp(purge.end_time),
        lift_time=to_timestamp(purge.lift_time),
        receipt=receipt,
    )
