"""The running system: is it there, is every part well, does the key work."""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from memos_client import MemosError
from memos_wire.methods import SERVICES
from memosctl.checks import Finding, failed, ok, skipped, warning
from memosctl.failures import Failure

if TYPE_CHECKING:
    from memosctl.command import Cli

PARTS = ("storage.milvus", "inference.embedder", "inference.model")
"""Optional parts; without one the system works and says `degraded`."""

_SECONDS = 3.0


def health(address: str) -> Iterator[Finding]:
    """Check the services and their optional parts by their health endpoint."""
    with grpc.insecure_channel(address) as channel:
        stub = health_pb2_grpc.HealthStub(channel)
        for service in SERVICES:
            if (state := _status(stub, service)) == "serving":
                yield ok(service, state)
            else:
                yield failed(service, state, "Its log says why; memosctl up writes it to stderr.")
        for part in PARTS:
            if (state := _status(stub, part)) == "serving":
                yield ok(part, state)
            else:
                yield warning(part, state, "The system works without it, and says degraded; its log says why.")


def access(cli: "Cli") -> Iterator[Finding]:
    """Check that the public API takes the key."""
    from memos_api.v1.governance_service_pb2 import ListVaultsRequest
    from memosctl.connect import connect, explain_call

    try:
        with connect(cli) as client:
            vaults = client.call(ListVaultsRequest(), timeout=_SECONDS).vaults
    except Failure as failure:
        yield skipped("public API", failure.message)
    except MemosError as error:
        told = explain_call(error, cli) or Failure(error.message)
        yield failed("public API", told.message, told.hint)
    else:
        yield ok("public API", f"the key works; {len(vaults)} vaults")


def _status(stub: health_pb2_grpc.HealthStub, name: str) -> str:
    try:
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=_SECONDS)
    except grpc.RpcError as error:
        return str(error.code().name).lower().replace("_", " ")
    return str(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status)).lower().replace("_", " ")
