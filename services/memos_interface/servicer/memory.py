"""MemoryService: convert, call the use case, convert."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from google.protobuf.field_mask_pb2 import FieldMask

from memos_api.v1 import memory_service_pb2 as pb
from memos_api.v1 import memory_service_pb2_grpc as pb_grpc
from memos_api.v1 import provenance_pb2
from memos_interface.domain.search import CubeFilter, SearchQuery
from memos_interface.ports import Stored
from memos_interface.servicer.convert import (
    change_from_proto,
    messages_from_proto,
    new_cube_from_proto,
    vaults_from_proto,
    wants_payload,
)
from memos_interface.servicer.imports import batches_from_proto, open_token, page_to_proto
from memos_interface.usecases.add_memories import AddRequest
from memos_interface.usecases.assembly import UseCases
from memos_interface.wire.search import (
    filter_from_proto,
    hit_to_proto,
    leg_to_proto,
    stage_to_proto,
    time_to_proto,
    topic_to_proto,
)
from memos_kernel.cube import MemCube, SemanticType
from memos_kernel.errors import InvalidField, MemosError, MissingField
from memos_kernel.ids import IdFactory
from memos_kernel.memory_links import LinkKind
from memos_kernel.names import CubeName, VaultName
from memos_runtime.context import current_principal, current_request_key
from memos_wire.changes import change_to_proto
from memos_wire.cubes import cube_to_proto, enum_from_proto
from memos_wire.errors import attempt, status_of
from memos_wire.lineage import edge_to_proto, node_to_proto
from memos_wire.memory_links import link_to_proto
from memos_wire.times import optional_time


class MemoryServicer(pb_grpc.MemoryServiceServicer):
    """Reads and writes memories."""

    def __init__(self, use_cases: UseCases, *, new_id: IdFactory) -> None:
        self._do = use_cases
        self._new_id = new_id

    async def AddMemories(self, request: pb.AddMemoriesRequest, context: object) -> pb.AddMemoriesResponse:
        """Read messages and texts into cubes."""
        answer = await self._do.add(_add_request(request), caller=current_principal(), key=current_request_key())
        return pb.AddMemoriesResponse(
            added=[_added(stored) for stored in answer.added],
            skipped=[pb.SkippedInput(index=entry.index, reason=entry.reason) for entry in answer.skipped],
            provenance_id=answer.provenance_id,
            degraded=answer.degraded,
        )

    async def CreateMemory(self, request: pb.CreateMemoryRequest, context: object) -> pb.CreateMemoryResponse:
        """Store one cube."""
        cube = new_cube_from_proto(request.cube, new_id=self._new_id)
        stored = await self._do.create(cube, caller=current_principal(), key=current_request_key())
        return pb.CreateMemoryResponse(cube=cube_to_proto(stored))

    async def ImportMemories(
        self, requests: AsyncIterator[pb.ImportMemoriesRequest], context: object
    ) -> AsyncIterator[pb.ImportMemoriesResponse]:
        """Store many cubes."""
        first = await anext(requests)
        if not first.HasField("header"):
            raise MissingField("The first message has no header; it says what comes.", field="header")
        vault = VaultName.parse(first.header.vault, field="header.vault")
        place = open_token(first.header.resume_token, vault)
        pages = self._do.import_(
            vault,
            batches_from_proto(requests, vault=vault, new_id=self._new_id),
            embedder=first.header.embedder,
            start=place,
            caller=current_principal(),
        )
        async with aclosing(pages):
            async for page in pages:
                yield page_to_proto(page, vault)

    async def GetMemory(self, request: pb.GetMemoryRequest, context: object) -> pb.GetMemoryResponse:
        """Return one cube."""
        full = wants_payload(request.view, default=True)
        cube = await self._do.read.get(
            CubeName.parse(request.name), full=full, as_of=optional_time(request, "as_of"), caller=current_principal()
        )
        return pb.GetMemoryResponse(cube=cube_to_proto(cube, payload=full))

    async def BatchGetMemories(
        self, request: pb.BatchGetMemoriesRequest, context: object
    ) -> pb.BatchGetMemoriesResponse:
        """Return cubes, each with a status of its own."""
        full = wants_payload(request.view, default=True)
        names = [attempt(CubeName.parse, name, field=f"names[{index}]") for index, name in enumerate(request.names)]
        results = await self._do.read.batch_get(
            names, full=full, as_of=optional_time(request, "as_of"), caller=current_principal()
        )
        return pb.BatchGetMemoriesResponse(
            results=[_result(name, result, full) for name, result in zip(request.names, results, strict=True)]
        )

    async def ListMemories(self, request: pb.ListMemoriesRequest, context: object) -> pb.ListMemoriesResponse:
        """List headers."""
        if wants_payload(request.view, default=False):
            raise InvalidField("view is FULL; a list returns headers, get the cubes by name.", field="view")
        page = await self._do.read.list(
            VaultName.parse(request.vault, field="vault"),
            filter=_filter(request),
            page_size=request.page_size,
            page_token=request.page_token,
            as_of=optional_time(request, "as_of"),
            caller=current_principal(),
        )
        cubes = [cube_to_proto(cube, payload=False) for cube in page.cubes]
        return pb.ListMemoriesResponse(cubes=cubes, next_page_token=page.next_page_token)

    async def UpdateMemory(self, request: pb.UpdateMemoryRequest, context: object) -> pb.UpdateMemoryResponse:
        """Change the fields of the mask."""
        change = change_from_proto(request.cube, request.update_mask.paths)
        return pb.UpdateMemoryResponse(cube=cube_to_proto(await self._do.update(change, key=current_request_key())))

    async def DeleteMemory(self, request: pb.DeleteMemoryRequest, context: object) -> pb.DeleteMemoryResponse:
        """Delete softly."""
        cube = await self._do.delete(CubeName.parse(request.name), etag=request.etag, key=current_request_key())
        return pb.DeleteMemoryResponse(cube=cube_to_proto(cube, payload=False))

    async def UndeleteMemory(self, request: pb.UndeleteMemoryRequest, context: object) -> pb.UndeleteMemoryResponse:
        """Take a deletion back."""
        cube = await self._do.undelete(CubeName.parse(request.name), etag=request.etag, key=current_request_key())
        return pb.UndeleteMemoryResponse(cube=cube_to_proto(cube, payload=False))

    async def ListMemoryLinks(self, request: pb.ListMemoryLinksRequest, context: object) -> pb.ListMemoryLinksResponse:
        """List links."""
        links = await self._do.links(CubeName.parse(request.name))
        return pb.ListMemoryLinksResponse(links=map(link_to_proto, links))

    async def SettleMemoryLink(
        self, request: pb.SettleMemoryLinkRequest, context: object
    ) -> pb.SettleMemoryLinkResponse:
        """Settle a link."""
        newer, older = (CubeName.parse(getattr(request, field), field=field) for field in ("newer", "older"))
        kind = enum_from_proto(LinkKind, request.kind, field="kind")
        link = await self._do.settle_link(newer, older, kind=kind, key=current_request_key())
        return pb.SettleMemoryLinkResponse(link=link_to_proto(link))

    async def ListMemoryRevisions(
        self, request: pb.ListMemoryRevisionsRequest, context: object
    ) -> pb.ListMemoryRevisionsResponse:
        """List headers of revisions."""
        page = await self._do.revisions.list(
            CubeName.parse(request.name),
            page_size=request.page_size,
            page_token=request.page_token,
            caller=current_principal(),
        )
        revisions = [cube_to_proto(cube, payload=False) for cube in page.cubes]
        return pb.ListMemoryRevisionsResponse(revisions=revisions, next_page_token=page.next_page_token)

    async def DiffMemoryRevisions(
        self, request: pb.DiffMemoryRevisionsRequest, context: object
    ) -> pb.DiffMemoryRevisionsResponse:
        """Compare two revisions."""
        found = await self._do.revisions.diff(
            CubeName.parse(request.name),
            before=request.from_revision,
            after=request.to_revision,
            caller=current_principal(),
        )
        return pb.DiffMemoryRevisionsResponse(
            before=cube_to_proto(found.before), after=cube_to_proto(found.after), changed=FieldMask(paths=found.paths)
        )

    async def RollbackMemory(self, request: pb.RollbackMemoryRequest, context: object) -> pb.RollbackMemoryResponse:
        """Take a cube back to an older revision."""
        cube = await self._do.roll_back(
            CubeName.parse(request.name), revision=request.revision, etag=request.etag, key=current_request_key()
        )
        return pb.RollbackMemoryResponse(cube=cube_to_proto(cube))

    async def WatchMemories(
        self, request: pb.WatchMemoriesRequest, context: object
    ) -> AsyncIterator[pb.WatchMemoriesResponse]:
        """Stream the changes of a vault."""
        full = wants_payload(request.view, default=False)
        vault = VaultName.parse(request.vault, field="vault")
        pages = self._do.watch(vault, resume_token=request.resume_token, full=full, caller=current_principal())
        async for page in pages:
            yield pb.WatchMemoriesResponse(
                changes=[change_to_proto(change, payload=full) for change in page.changes],
                resume_token=page.resume_token,
            )

    async def FreezeMemory(self, request: pb.FreezeMemoryRequest, context: object) -> pb.FreezeMemoryResponse:
        """Forbid changes."""
        cube = await self._do.freeze(CubeName.parse(request.name), etag=request.etag, key=current_request_key())
        return pb.FreezeMemoryResponse(cube=cube_to_proto(cube, payload=False))

    async def UnfreezeMemory(self, request: pb.UnfreezeMemoryRequest, context: object) -> pb.UnfreezeMemoryResponse:
        """Allow changes again."""
        cube = await self._do.unfreeze(CubeName.parse(request.name), etag=request.etag, key=current_request_key())
        return pb.UnfreezeMemoryResponse(cube=cube_to_proto(cube, payload=False))

    async def SearchMemories(self, request: pb.SearchMemoriesRequest, context: object) -> pb.SearchMemoriesResponse:
        """Search."""
        query = SearchQuery(
            query=request.query,
            vaults=vaults_from_proto(request.vaults),
            top_k=request.top_k,
            filter=_filter(request),
            full=wants_payload(request.view, default=True),
            as_of=optional_time(request, "as_of"),
            without=tuple(request.ranking.without),
            token_budget=request.ranking.token_budget,
            paths=request.paths,
            time_zone=request.time_zone,
        )
        answer = await self._do.search(query, caller=current_principal())
        return pb.SearchMemoriesResponse(
            hits=[hit_to_proto(hit) for hit in answer.hits],
            legs=[leg_to_proto(leg) for leg in answer.legs],
            degraded=answer.degraded,
            stages=[stage_to_proto(stage) for stage in answer.stages],
            topics=[topic_to_proto(topic) for topic in answer.topics],
            times=[time_to_proto(time) for time in answer.times],
        )

    async def GetProvenance(self, request: pb.GetProvenanceRequest, context: object) -> pb.GetProvenanceResponse:
        """Draw the graph."""
        graph = await self._do.provenance(request.name, depth=request.depth, caller=current_principal())
        return pb.GetProvenanceResponse(
            provenance=provenance_pb2.Provenance(
                root=request.name,
                nodes=[node_to_proto(node) for node in graph.nodes],
                edges=[edge_to_proto(edge) for edge in graph.edges],
                truncated=graph.truncated,
            )
        )


def _add_request(request: pb.AddMemoriesRequest) -> AddRequest:
    return AddRequest(
        vault=VaultName.parse(request.vault, field="vault"),
        messages=messages_from_proto(request.messages),
        texts=tuple(request.texts),
        labels=dict(request.labels),
        semantic_type=enum_from_proto(SemanticType, request.semantic_type, field="semantic_type"),
        extract=request.extract,
        keep_earlier=request.keep_earlier,
        expire_time=optional_time(request, "expire_time"),
    )


def _filter(request: pb.ListMemoriesRequest | pb.SearchMemoriesRequest) -> CubeFilter | None:
    return filter_from_proto(request.filter) if request.HasField("filter") else None


def _added(stored: Stored) -> pb.AddedMemory:
    return pb.AddedMemory(
        cube=cube_to_proto(stored.cube), created=stored.created, links=map(link_to_proto, stored.links)
    )


def _result(name: str, result: MemCube | MemosError, full: bool) -> pb.CubeResult:
    if isinstance(result, MemosError):
        return pb.CubeResult(name=name, error=status_of(result))
    return pb.CubeResult(name=name, cube=cube_to_proto(result, payload=full))
