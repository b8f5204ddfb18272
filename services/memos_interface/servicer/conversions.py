"""ConversionService: conversions are jobs of the scheduler, so there is no use case."""

from memos_api.internal.v1 import scheduler_service_pb2 as internal
from memos_api.internal.v1.scheduler_service_pb2_grpc import SchedulerServiceStub
from memos_api.v1 import conversion_service_pb2 as pb
from memos_api.v1 import conversion_service_pb2_grpc as pb_grpc
from memos_api.v1 import job_pb2
from memos_kernel import limits
from memos_kernel.checks import check_count
from memos_kernel.errors import InvalidField
from memos_kernel.jobs import BUILD_ACTIVATION, CUBES
from memos_kernel.names import CubeName, VaultName
from memos_runtime.context import current_request_key
from memos_wire.requests import request_key_to_proto


class ConversionServicer(pb_grpc.ConversionServiceServicer):
    """Brings memories into other forms."""

    def __init__(self, jobs: SchedulerServiceStub) -> None:
        self._jobs = jobs

    async def BuildActivation(self, request: pb.BuildActivationRequest, context: object) -> pb.BuildActivationResponse:
        """Put a job into the queue that makes a KV cache."""
        vault = VaultName.parse(request.vault, field="vault")
        check_count(request.names, limits.CONVERSION_SOURCES, field="names")
        names = [CubeName.parse(name, field=f"names[{index}]") for index, name in enumerate(request.names)]
        for index, name in enumerate(names):
            if name.tenant != vault.tenant:
                raise InvalidField(f"names[{index}] and vault are of two tenants.", field=f"names[{index}]")
        job = job_pb2.Job(
            kind=BUILD_ACTIVATION, vaults=[str(vault)], parameters={CUBES: ",".join(name.id for name in names)}
        )
        answer: internal.EnqueueJobResponse = await self._jobs.EnqueueJob(
            internal.EnqueueJobRequest(job=job, request_key=request_key_to_proto(current_request_key()))
        )
        return pb.BuildActivationResponse(job=answer.job)
