"""ConversionService: conversions are jobs of the scheduler, so there is no use case."""

from collections.abc import Mapping, Sequence

from memos_api.internal.v1 import scheduler_service_pb2 as internal
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
from memos_api.v1 import conversion_service_pb2 as pb
from memos_api.v1 import conversion_service_pb2_grpc as pb_grpc
from memos_api.v1 import job_pb2
from memos_kernel import limits
from memos_kernel.checks import check_count
from memos_kernel.errors import InvalidField
from memos_kernel.jobs import BUILD_ACTIVATION, CUBES, RECOVER_TEXT, TRAIN_ADAPTER
from memos_kernel.names import CubeName, VaultName
from memos_runtime.context import current_request_key
from memos_wire.requests import request_key_to_proto


class ConversionServicer(pb_grpc.ConversionServiceServicer):
    """Brings memories into other forms."""

    def __init__(self, jobs: SchedulerServiceStub) -> None:
        self._jobs = jobs

    async def BuildActivation(self, request: pb.BuildActivationRequest, context: object) -> pb.BuildActivationResponse:
        """Put a job into the queue that makes a KV cache."""
        job = await self._enqueue(BUILD_ACTIVATION, request.vault, _by_field(request.names))
        return pb.BuildActivationResponse(job=job)

    async def TrainAdapter(self, request: pb.TrainAdapterRequest, context: object) -> pb.TrainAdapterResponse:
        """Put a job into the queue that trains an adapter."""
        job = await self._enqueue(TRAIN_ADAPTER, request.vault, _by_field(request.names))
        return pb.TrainAdapterResponse(job=job)

    async def RecoverText(self, request: pb.RecoverTextRequest, context: object) -> pb.RecoverTextResponse:
        """Put a job into the queue that writes down what a cache or adapter holds."""
        return pb.RecoverTextResponse(job=await self._enqueue(RECOVER_TEXT, request.vault, {"name": request.name}))

    async def _enqueue(self, kind: str, vault_name: str, cubes: Mapping[str, str]) -> job_pb2.Job:
        """Put a job into the queue; the names of its cubes are given by the field in which they were."""
        vault = VaultName.parse(vault_name, field="vault")
        names = []
        for field, text in cubes.items():
            names.append(name := CubeName.parse(text, field=field))
            if name.tenant != vault.tenant:
                raise InvalidField(f"{field} and vault are of two tenants.", field=field)
        job = job_pb2.Job(kind=kind, vaults=[str(vault)], parameters={CUBES: ",".join(name.id for name in names)})
        answer: internal.EnqueueJobResponse = await self._jobs.EnqueueJob(
            internal.EnqueueJobRequest(job=job, request_key=request_key_to_proto(current_request_key()))
        )
        return answer.job


def _by_field(names: Sequence[str]) -> dict[str, str]:
    check_count(names, limits.CONVERSION_SOURCES, field="names")
    return {f"names[{index}]": name for index, name in enumerate(names)}
