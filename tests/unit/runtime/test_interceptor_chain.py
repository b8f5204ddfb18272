import re
from types import SimpleNamespace

import grpc
import pytest

from memos_runtime import interceptors
from memos_runtime.gate import Gate
from memos_runtime.interceptors.chain import Chain, internal_chain, public_chain
from memos_runtime.telemetry import Telemetry
from memos_wire.methods import SERVICES

GET = "/memos.v1.MemoryService/GetMemory"
GATES = {name: Gate(name) for name in SERVICES}


class Edge:
    authenticate = grant = None


def names(chain):
    return [type(interceptor).__name__ for interceptor in chain]


def test_the_guide_of_the_package_names_each_interceptor_in_its_place():
    chain = public_chain(telemetry=Telemetry(), gates=GATES, max_calls=1, max_message_bytes=1, edge=Edge())
    listed = re.findall(r"^\| `(\w+)` \|", interceptors.__doc__, re.MULTILINE)
    assert listed == [type(interceptor).__module__.rpartition(".")[2] for interceptor in chain]


def test_the_public_order_is_as_designed():
    chain = public_chain(telemetry=Telemetry(), gates=GATES, max_calls=1, max_message_bytes=1, edge=Edge())
    assert names(chain) == [
        "Trace",
        "CallMetrics",
        "ErrorMap",
        "AnswerSize",
        "Admission",
        "Deadline",
        "ApiKeyAuthentication",
        "Decoding",
        "RequiredFields",
        "EdgeAuthorization",
        "RequestId",
    ]


def test_the_internal_order_is_as_designed(mint, clock):
    chain = internal_chain(
        telemetry=Telemetry(),
        gates=GATES,
        max_message_bytes=1,
        verifier=mint.verifier,
        clock=clock,
        peer_token="t",
    )
    assert names(chain) == [
        "Trace",
        "CallMetrics",
        "ErrorMap",
        "AnswerSize",
        "Admission",
        "Deadline",
        "PeerAuthentication",
        "Decoding",
        "RequiredFields",
        "GrantAuthorization",
    ]


class Counting:
    """Counts how often it is wrapped around a method."""

    def __init__(self):
        self.wrapped = 0

    def wrap(self, method, proceed):
        self.wrapped += 1
        return proceed


async def resolve(chain, name):
    async def continuation(details):
        return grpc.unary_unary_rpc_method_handler(lambda request, context: None)

    return await chain.intercept_service(continuation, SimpleNamespace(method=name))


async def test_a_method_is_composed_once_and_kept():
    counting = Counting()
    chain = Chain([counting])
    assert await resolve(chain, GET) is await resolve(chain, GET)
    assert counting.wrapped == 1


@pytest.mark.parametrize("name", ["/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", "/x/y"])
async def test_what_is_not_in_the_method_table_passes_untouched(name):
    counting = Counting()
    assert await resolve(Chain([counting]), name) is not None
    assert counting.wrapped == 0
