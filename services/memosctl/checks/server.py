"""The running system: is it there, is every part well, does the key work."""

from collections.abc import Iterator, Sequence
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
_SERVING, _UNKNOWN = "serving", "not found"


def health(addresses: Sequence[str]) -> Iterator[Finding]:
    """Check the services and their optional parts by their health endpoints; each knows those of its own host."""
    for name in (*SERVICES, *PARTS):
        states = {_status(address, name) for address in addresses} - {_UNKNOWN}
        if states == {_SERVING}:
            yield ok(name, _SERVING)
        elif not states:
            yield skipped(name, "not served by this process")
        elif name in PARTS:
            hint = "The system works without it, and says degraded; its log says why."
            yield warning(name, ", ".join(sorted(states)), hint)
        else:
            yield failed(name, ", ".join(sorted(states)), "Its log says why; memosctl up writes it to stderr.")


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


def _status(address: str, name: str) -> str:
    request = health_pb2.HealthCheckRequest(service=name)
    try:
        with grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)]) as channel:
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=_SECONDS)
    except grpc.RpcError as error:
        return _words(error.code().name)
    return _words(health_pb2.HealthCheckResponse.ServingStatus.Name(answer.status))


def _words(name: str) -> str:
    return name.lower().replace("_", " ")
