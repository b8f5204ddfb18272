"""States and use, over the channel of lifecycle."""

from collections.abc import Sequence

from memos_api.internal.v1 import lifecycle_service_pb2 as pb
from memos_api.internal.v1.lifecycle_service_pb2_grpc import LifecycleServiceStub
from memos_api.v1 import memcube_pb2
from memos_kernel.cube import MemCube, RevisionRef
from memos_kernel.names import CubeName
from memos_kernel.requests import RequestKey
from memos_wire.cubes import cube_from_proto
from memos_wire.requests import request_key_to_proto


class LifecycleClient:
    """The port Lifecycle."""

    def __init__(self, stub: LifecycleServiceStub) -> None:
        self._stub = stub

    async def record_use(self, cubes: Sequence[RevisionRef], *, plan: str) -> None:
        """See the port."""
        refs = [memcube_pb2.CubeRevisionRef(name=str(ref.name), revision=ref.revision) for ref in cubes]
        await self._stub.RecordUse(pb.RecordUseRequest(cubes=refs, plan=plan))

    async def freeze(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        message = pb.FreezeMemCubeRequest(name=str(name), etag=etag, request_key=request_key_to_proto(request))
        return cube_from_proto((await self._stub.FreezeMemCube(message)).cube)

    async def unfreeze(self, name: CubeName, *, etag: str, request: RequestKey) -> MemCube:
        """See the port."""
        message = pb.UnfreezeMemCubeRequest(name=str(name), etag=etag, request_key=request_key_to_proto(request))
        return cube_from_proto((await self._stub.UnfreezeMemCube(message)).cube)
