"""CubeStore over storage's gRPC service."""

from collections.abc import Sequence
from datetime import datetime

from memos_api.internal.v1 import storage_service_pb2 as pb
from memos_api.internal.v1.storage_service_pb2_grpc import StorageServiceStub
from memos_api.v1 import memcube_pb2
from memos_kernel.cube import MemCube
from memos_kernel.names import CubeName, VaultName
from memos_kernel.requests import RequestKey
from memos_lifecycle.ports import NO_KEY
from memos_wire.cubes import cube_from_proto, cube_to_proto
from memos_wire.errors import error_of
from memos_wire.requests import request_key_to_proto
from memos_wire.times import to_timestamp


class StorageCubeStore:
    """Asks storage."""

    def __init__(self, stub: StorageServiceStub) -> None:
        self._stub = stub

    async def get(self, name: CubeName) -> MemCube:
        """See the port."""
        request = pb.BatchGetMemCubesRequest(names=[str(name)], view=memcube_pb2.CUBE_VIEW_BASIC)
        [result] = (await self._stub.BatchGetMemCubes(request)).results
        if result.HasField("error"):
            raise error_of(result.error)
        return cube_from_proto(result.cube)

    async def apply(
        self, cube: MemCube, *, expected_revision: int, reason: str, request: RequestKey = NO_KEY
    ) -> MemCube:
        """See the port."""
        response = await self._stub.ApplyTransition(
            pb.ApplyTransitionRequest(
                cube=cube_to_proto(cube, payload=False),
                expected_revision=expected_revision,
                reason=reason,
                request_key=request_key_to_proto(request),
            )
        )
        return cube_from_proto(response.cube)

    async def record_usage(self, names: Sequence[CubeName], *, at: datetime) -> tuple[MemCube, ...]:
        """See the port."""
        uses = [pb.CubeUse(name=str(name), time=to_timestamp(at)) for name in names]
        response = await self._stub.RecordUsage(pb.RecordUsageRequest(uses=uses))
        return tuple(cube_from_proto(cube) for cube in response.cubes)

    async def list_due(self, *, at: datetime, limit: int) -> tuple[MemCube, ...]:
        """See the port."""
        request = pb.ListDueMemCubesRequest(due_time=to_timestamp(at), limit=limit)
        response = await self._stub.ListDueMemCubes(request)
        return tuple(cube_from_proto(cube) for cube in response.cubes)

    async def list_old(self, vault: VaultName, *, made_before: datetime, limit: int) -> tuple[MemCube, ...]:
        """See the port."""
        request = pb.ListAgedMemCubesRequest(vault=str(vault), made_before=to_timestamp(made_before), limit=limit)
        return tuple(cube_from_proto(cube) for cube in (await self._stub.ListAgedMemCubes(request)).cubes)

    async def list_idle(self, vault: VaultName, *, since: datetime, limit: int) -> tuple[MemCube, ...]:
        """See the port."""
        request = pb.ListAgedMemCubesRequest(vault=str(vault), idle_since=to_timestamp(since), limit=limit)
        return tuple(cube_from_proto(cube) for cube in (await self._stub.ListAgedMemCubes(request)).cubes)

    async def retire(self, cube: MemCube, *, reason: str) -> None:
        """See the port."""
        await self._stub.RetireMemCube(
            pb.RetireMemCubeRequest(name=str(cube.name), expected_revision=cube.revision, reason=reason)
        )
