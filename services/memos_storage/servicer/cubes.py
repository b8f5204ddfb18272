"""StorageService: convert, call a use case, convert."""

from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from memos_api.internal.v1 import storage_service_pb2 as pb
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceServicer
from memos_api.v1 import governance_service_pb2, memcube_pb2, vault_pb2
from memos_kernel.cube import Kind
from memos_kernel.ids import Clock
from memos_kernel.memory_links import LinkKind
from memos_kernel.names import CubeName, VaultName
from memos_kernel.time_zones import zone_of
from memos_runtime.context import current_grant, current_trace
from memos_runtime.paging import page_size
from memos_storage.servicer import messages
from memos_storage.servicer.calls import Pages, mutation_of
from memos_storage.servicer.feeds import Feeds
from memos_storage.usecases.age_cubes import GetVaultUsage, ListAgedCubes, RetireCube
from memos_storage.usecases.change_cubes import ApplyTransition, DeleteCube, RecordUsage, UpdateCube
from memos_storage.usecases.create_cubes import CreateCubes
from memos_storage.usecases.mutation import Mutation
from memos_storage.usecases.read_cubes import GetCubes, ListCubes, ListDerivedCubes, ListDueCubes
from memos_storage.usecases.read_revisions import DiffRevisions, ListRevisions
from memos_storage.usecases.roll_back_cube import RollBackCube
from memos_storage.usecases.search_cubes import Query, SearchCubes
from memos_storage.usecases.supersession.settle_links import ListLinks, SettleLink
from memos_storage.usecases.undelete_cube import UndeleteCube
from memos_storage.usecases.watch_cubes import WatchCubes
from memos_wire.changes import change_to_proto
from memos_wire.cubes import cube_to_proto, enum_from_proto
from memos_wire.errors import attempt
from memos_wire.memory_links import link_to_proto
from memos_wire.times import optional_time

_LIST = "/memos.internal.v1.StorageService/ListMemCubes"
_HISTORY = "/memos.internal.v1.StorageService/ListMemCubeRevisions"


@dataclass(frozen=True, slots=True, kw_only=True)
class UseCases:
    """What the servicer calls."""

    create: CreateCubes
    get: GetCubes
    derived: ListDerivedCubes
    page: ListCubes
    update: UpdateCube
    delete: DeleteCube
    undelete: UndeleteCube
    history: ListRevisions
    diff: DiffRevisions
    watch: WatchCubes
    roll_back: RollBackCube
    transition: ApplyTransition
    use: RecordUsage
    due: ListDueCubes
    aged: ListAgedCubes
    retire: RetireCube
    usage: GetVaultUsage
    links: ListLinks
    settle_link: SettleLink
    search: SearchCubes


class StorageServicer(StorageServiceServicer):
    """Serves memos.internal.v1.StorageService."""

    def __init__(self, use_cases: UseCases, pages: Pages, *, clock: Clock) -> None:
        self._do = use_cases
        self._pages = pages
        self._feeds = Feeds(pages, clock)

    async def BatchCreateMemCubes(
        self, request: pb.BatchCreateMemCubesRequest, context: Any
    ) -> pb.BatchCreateMemCubesResponse:
        """Store cubes."""
        items = [
            attempt(messages.new_cube, item, embedder=request.embedder, index=index)
            for index, item in enumerate(request.items)
        ]
        made = await self._do.create(
            items,
            return_existing=request.return_existing,
            mutation=mutation_of(request),
            supersede=request.supersede,
        )
        return pb.BatchCreateMemCubesResponse(
            results=[
                messages.create_result(outcome, names_only=request.names_only) for outcome in made.answer.outcomes
            ],
            provenance_id=made.answer.provenance_id,
            degraded=made.degraded,
        )

    async def ListMemCubeLinks(self, request: pb.ListMemCubeLinksRequest, context: Any) -> pb.ListMemCubeLinksResponse:
        """Return the links of a cube."""
        links = await self._do.links(CubeName.parse(request.name), grant=current_grant())
        return pb.ListMemCubeLinksResponse(links=map(link_to_proto, links))

    async def SettleMemCubeLink(
        self, request: pb.SettleMemCubeLinkRequest, context: Any
    ) -> pb.SettleMemCubeLinkResponse:
        """Settle a link."""
        newer, older = (CubeName.parse(getattr(request, field), field=field) for field in ("newer", "older"))
        kind = enum_from_proto(LinkKind, request.kind, field="kind")
        link = await self._do.settle_link(newer, older, kind=kind, mutation=mutation_of(request))
        return pb.SettleMemCubeLinkResponse(link=link_to_proto(link))

    async def BatchGetMemCubes(self, request: pb.BatchGetMemCubesRequest, context: Any) -> pb.BatchGetMemCubesResponse:
        """Return cubes by name."""
        payload = messages.wants_payload(request.view)
        names = [attempt(CubeName.parse, name, field=f"names[{index}]") for index, name in enumerate(request.names)]
        as_of = optional_time(request, "as_of")
        outcomes = await self._do.get(names, as_of=as_of, grant=current_grant())
        return pb.BatchGetMemCubesResponse(
            results=[
                messages.cube_result(name, outcome, payload=payload)
                for name, outcome in zip(request.names, outcomes, strict=True)
            ]
        )

    async def ListDerivedMemCubes(
        self, request: pb.ListDerivedMemCubesRequest, context: Any
    ) -> pb.ListDerivedMemCubesResponse:
        """Return what was made from cubes."""
        names = [CubeName.parse(name, field=f"names[{index}]") for index, name in enumerate(request.names)]
        kind = enum_from_proto(Kind, request.kind, field="kind")
        cubes = await self._do.derived(names, kind, grant=current_grant())
        return pb.ListDerivedMemCubesResponse(cubes=[cube_to_proto(cube) for cube in cubes])

    async def ListMemCubes(self, request: pb.ListMemCubesRequest, context: Any) -> pb.ListMemCubesResponse:
        """List headers."""
        grant = current_grant()
        page = self._pages.of(_LIST, request, request.page_token, grant)
        cubes, last = await self._do.page(
            VaultName.parse(request.vault, field="vault"),
            messages.cube_filter(request.filter),
            as_of=optional_time(request, "as_of"),
            after=page.after,
            size=page_size(request.page_size),
            grant=grant,
        )
        return pb.ListMemCubesResponse(
            cubes=[messages.header(cube) for cube in cubes], next_page_token=page.token(last)
        )

    async def UpdateMemCube(self, request: pb.UpdateMemCubeRequest, context: Any) -> pb.UpdateMemCubeResponse:
        """Change a cube."""
        cube = await self._do.update(
            messages.named_cube(request.cube),
            mask=list(request.update_mask.paths),
            vector=messages.vector(request, embedder=request.embedder),
            mutation=mutation_of(request),
        )
        return pb.UpdateMemCubeResponse(cube=cube_to_proto(cube))

    async def DeleteMemCube(self, request: pb.DeleteMemCubeRequest, context: Any) -> pb.DeleteMemCubeResponse:
        """Delete a cube softly."""
        cube = await self._do.delete(CubeName.parse(request.name), etag=request.etag, mutation=mutation_of(request))
        return pb.DeleteMemCubeResponse(cube=messages.header(cube))

    async def UndeleteMemCube(self, request: pb.UndeleteMemCubeRequest, context: Any) -> pb.UndeleteMemCubeResponse:
        """Take a deletion back."""
        cube = await self._do.undelete(CubeName.parse(request.name), etag=request.etag, mutation=mutation_of(request))
        return pb.UndeleteMemCubeResponse(cube=messages.header(cube))

    async def ListMemCubeRevisions(
        self, request: pb.ListMemCubeRevisionsRequest, context: Any
    ) -> pb.ListMemCubeRevisionsResponse:
        """List headers of revisions."""
        grant = current_grant()
        page = self._pages.of(_HISTORY, request, request.page_token, grant)
        cubes, last = await self._do.history(
            CubeName.parse(request.name),
            before=int(page.cursor["revision"]) if page.cursor else None,
            size=page_size(request.page_size),
            grant=grant,
        )
        token = page.seal({"revision": last}) if last else ""
        return pb.ListMemCubeRevisionsResponse(
            revisions=[messages.header(cube) for cube in cubes], next_page_token=token
        )

    async def DiffMemCubeRevisions(
        self, request: pb.DiffMemCubeRevisionsRequest, context: Any
    ) -> pb.DiffMemCubeRevisionsResponse:
        """Compare two revisions."""
        found = await self._do.diff(
            CubeName.parse(request.name),
            before=request.from_revision,
            after=request.to_revision,
            grant=current_grant(),
        )
        return pb.DiffMemCubeRevisionsResponse(
            before=cube_to_proto(found.before),
            after=cube_to_proto(found.after),
            changed=FieldMask(paths=found.paths),
        )

    async def ListMemCubeChanges(
        self, request: pb.ListMemCubeChangesRequest, context: Any
    ) -> pb.ListMemCubeChangesResponse:
        """Follow a vault."""
        grant, payload = current_grant(), request.view == memcube_pb2.CUBE_VIEW_FULL
        vault = VaultName.parse(request.vault, field="vault")
        place, told, seal = self._feeds.open(vault, request.resume_token, grant)
        changes, last = await self._do.watch(vault, after=place, told=told, seconds=request.wait_seconds, grant=grant)
        return pb.ListMemCubeChangesResponse(
            changes=[change_to_proto(change, payload=payload) for change in changes], resume_token=seal(last)
        )

    async def RollbackMemCube(self, request: pb.RollbackMemCubeRequest, context: Any) -> pb.RollbackMemCubeResponse:
        """Take a cube back to an older revision."""
        cube = await self._do.roll_back(
            CubeName.parse(request.name),
            revision=request.revision,
            etag=request.etag,
            vector=messages.vector(request, embedder=request.embedder),
            mutation=mutation_of(request),
        )
        return pb.RollbackMemCubeResponse(cube=cube_to_proto(cube))

    async def ApplyTransition(self, request: pb.ApplyTransitionRequest, context: Any) -> pb.ApplyTransitionResponse:
        """Move a cube as lifecycle decided."""
        cube = await self._do.transition(
            messages.named_cube(request.cube),
            expected_revision=request.expected_revision,
            reason=request.reason,
            mutation=mutation_of(request),
        )
        return pb.ApplyTransitionResponse(cube=messages.header(cube))

    async def RecordUsage(self, request: pb.RecordUsageRequest, context: Any) -> pb.RecordUsageResponse:
        """Count uses."""
        uses = [
            (
                CubeName.parse(use.name, field=f"uses[{index}].name"),
                messages.required_time(use, "time", field=f"uses[{index}].time"),
            )
            for index, use in enumerate(request.uses)
        ]
        cubes = await self._do.use(uses, grant=current_grant())
        return pb.RecordUsageResponse(cubes=[messages.header(cube) for cube in cubes])

    async def ListDueMemCubes(self, request: pb.ListDueMemCubesRequest, context: Any) -> pb.ListDueMemCubesResponse:
        """List cubes past their expire time."""
        at = messages.required_time(request, "due_time", field="due_time")
        cubes = await self._do.due(at=at, limit=request.limit, grant=current_grant())
        return pb.ListDueMemCubesResponse(cubes=[messages.header(cube) for cube in cubes])

    async def ListAgedMemCubes(self, request: pb.ListAgedMemCubesRequest, context: Any) -> pb.ListAgedMemCubesResponse:
        """List cubes that are old or idle."""
        cubes = await self._do.aged(
            VaultName.parse(request.vault, field="vault"),
            made_before=optional_time(request, "made_before"),
            idle_since=optional_time(request, "idle_since"),
            limit=request.limit,
            grant=current_grant(),
        )
        return pb.ListAgedMemCubesResponse(cubes=[messages.header(cube) for cube in cubes])

    async def RetireMemCube(self, request: pb.RetireMemCubeRequest, context: Any) -> pb.RetireMemCubeResponse:
        """Delete a cube for its age."""
        cube = await self._do.retire(
            CubeName.parse(request.name),
            expected_revision=request.expected_revision,
            reason=request.reason,
            mutation=Mutation(grant=current_grant(), trace=current_trace()),
        )
        return pb.RetireMemCubeResponse(cube=messages.header(cube))

    async def GetVaultUsage(self, request: pb.GetVaultUsageRequest, context: Any) -> pb.GetVaultUsageResponse:
        """Count what a vault holds."""
        held = await self._do.usage(VaultName.parse(request.request.name), grant=current_grant())
        usage = vault_pb2.VaultUsage(**asdict(held))
        return pb.GetVaultUsageResponse(response=governance_service_pb2.GetVaultUsageResponse(usage=usage))

    async def SearchMemCubes(self, request: pb.SearchMemCubesRequest, context: Any) -> pb.SearchMemCubesResponse:
        """Search."""
        payload = messages.wants_payload(request.view)
        vector, tokens = messages.asked_vector(request)
        query = Query(
            text=request.query,
            vector=vector,
            tokens=tokens,
            without=frozenset(request.ranking.without),
            token_budget=request.ranking.token_budget,
            vaults=messages.vault_names(list(request.vaults), field="vaults"),
            top_k=request.top_k,
            filter=messages.cube_filter(request.filter),
            as_of=optional_time(request, "as_of"),
            paths=request.paths,
            zone=zone_of(request.time_zone),
        )
        found = await self._do.search(query, grant=current_grant())
        return pb.SearchMemCubesResponse(
            hits=[messages.search_hit(hit, payload=payload) for hit in found.hits],
            legs=[messages.search_leg(leg) for leg in found.legs],
            degraded=found.degraded,
            stages=[messages.search_stage(stage) for stage in found.stages],
            topics=[messages.memory_topic(path) for path in found.paths],
            times=[messages.query_time(time) for time in found.times],
        )
