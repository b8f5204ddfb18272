"""What the client does when a server is away, full or slow: it tries again, and a mutation is still done once."""

import asyncio

import grpc
import pytest

from memos_api.v1 import chat_service_pb2
from memos_api.v1 import governance_service_pb2 as governance
from memos_api.v1 import memory_service_pb2 as pb
from memos_client import (
    AsyncClient,
    ChatEnd,
    DeadlineExceeded,
    LimitExceeded,
    Overloaded,
    RequestError,
    Retries,
    Unavailable,
)
from memos_kernel import errors
from memos_wire.errors import CODES, status_of
from proxies import proxy_in_the_environment

AWAY = errors.DependencyUnavailable("away", retry_after=0.01, dependency="storage")
QUICK = Retries(attempts=3, first_delay=0.001, longest_delay=0.1)


class Script(grpc.GenericRpcHandler):
    """Answers each call with the next entry: an error, or what it yields; the last entry stays."""

    def __init__(self):
        self.entries = []
        self.calls = []

    def service(self, details):
        streams = details.method.endswith("/Chat")

        async def unary(request, context):
            self.calls.append((details.method, request, dict(context.invocation_metadata())))
            entry = self.entries.pop(0) if len(self.entries) > 1 else self.entries[0]
            if isinstance(entry, errors.MemosError):
                status = (("grpc-status-details-bin", status_of(entry).SerializeToString()),)
                await context.abort(CODES[type(entry)], entry.message, status)
            if isinstance(entry, float):
                await asyncio.sleep(entry)
            return entry.SerializeToString()

        async def stream(request, context):
            answers = await unary(request, context)
            yield answers

        make = grpc.unary_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(stream if streams else unary)


@pytest.fixture
async def script():
    script = Script()
    server = grpc.aio.server(options=[("grpc.max_send_message_length", 1_000_000)])
    server.add_generic_rpc_handlers((script,))
    script.port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield script
    await server.stop(0)


@pytest.fixture
async def memos(script):
    async with AsyncClient(f"127.0.0.1:{script.port}", api_key="mk_x", timeout=5, retries=QUICK) as client:
        yield client


async def test_a_mutation_is_repeated_with_the_same_request_id(script, memos):
    script.entries = [AWAY, AWAY, pb.AddMemoriesResponse(provenance_id="p")]
    assert (await memos.add("notes", ["a"])).provenance_id == "p"
    sent = [pb.AddMemoriesRequest.FromString(request) for _, request, _ in script.calls]
    assert len(sent) == 3
    assert len({request.request_id for request in sent}) == 1
    assert len(sent[0].request_id) == 32
    assert sent[0].vault == "tenants/local/vaults/notes"


async def test_two_calls_have_two_request_ids_and_a_given_one_stays(script, memos):
    script.entries = [pb.AddMemoriesResponse()]
    for request_id in ("", "", "mine"):
        await memos.add("notes", ["a"], request_id=request_id)
    ids = [pb.AddMemoriesRequest.FromString(request).request_id for _, request, _ in script.calls]
    assert len(set(ids)) == 3
    assert ids[2] == "mine"


async def test_the_key_goes_along(script, memos):
    script.entries = [pb.GetMemoryResponse()]
    await memos.get("x")
    assert script.calls[0][2]["authorization"] == "Bearer mk_x"


async def test_a_key_in_plain_text_passes_no_proxy(script, memos, monkeypatch):
    script.entries = [pb.GetMemoryResponse()]
    async with proxy_in_the_environment(monkeypatch) as heard:
        await memos.get("x")
    assert heard == []


async def test_it_gives_up_after_its_attempts(script, memos):
    script.entries = [AWAY]
    with pytest.raises(Unavailable) as caught:
        await memos.get("x")
    assert caught.value.reason == "DEPENDENCY_UNAVAILABLE"
    assert len(script.calls) == 3


@pytest.mark.parametrize("error", [errors.StoreFull("disk full"), errors.InvalidField("bad", field="name")])
async def test_what_waiting_does_not_mend_is_not_repeated(script, memos, error):
    script.entries = [error]
    with pytest.raises((Overloaded, RequestError)):
        await memos.get("x")
    assert len(script.calls) == 1


async def test_a_request_that_no_message_carries_is_refused_with_the_limit_and_not_repeated(script, memos):
    script.entries = [pb.AddMemoriesResponse()]
    with pytest.raises(
        LimitExceeded, match=r"has 5000[0-9]{3} bytes, and a message at most 4194304; split the call"
    ) as caught:
        await memos.add("notes", ["a" * 5_000_000])
    assert not isinstance(caught.value, Unavailable)
    assert (caught.value.reason, caught.value.metadata["limit"]) == ("LIMIT_EXCEEDED", "4194304")
    assert QUICK.delay(caught.value, attempt=1, left=5) is None


@pytest.mark.parametrize("size", [2_000_000, 5_000_000])
async def test_an_answer_that_no_message_carries_is_told_from_the_request(script, memos, size):
    script.entries = [pb.AddMemoriesResponse(provenance_id="p" * size)]
    with pytest.raises(LimitExceeded, match=r"The answer has .* bytes, and a message at most .*; ask for less"):
        await memos.add("notes", ["a"])
    assert len(script.calls) == 1


async def test_a_full_queue_is_waited_for_as_long_as_it_asks(script, memos):
    script.entries = [errors.Overloaded("full", retry_after=0.05), pb.GetMemoryResponse()]
    begin = asyncio.get_running_loop().time()
    await memos.get("x")
    assert asyncio.get_running_loop().time() - begin >= 0.05


async def test_making_a_key_is_never_repeated(script, memos):
    script.entries = [AWAY, governance.CreateApiKeyResponse(secret="mk_new")]
    with pytest.raises(Unavailable):
        await memos.create_key("nora")
    assert len(script.calls) == 1


async def test_the_secret_of_a_new_key_is_not_shown(script, memos):
    script.entries = [governance.CreateApiKeyResponse(secret="mk_new")]
    made = await memos.create_key("nora")
    assert made.secret == "mk_new"
    assert "mk_new" not in repr(made)


async def test_a_call_ends_at_its_timeout(script, memos):
    script.entries = [60.0]
    with pytest.raises(DeadlineExceeded):
        await memos.get("x", timeout=0.05)


async def test_a_chat_that_has_not_begun_is_repeated(script, memos):
    end = chat_service_pb2.ChatResponse(end=chat_service_pb2.ChatEnd(text="hi"))
    script.entries = [AWAY, end]
    events = [event async for event in memos.chat("hello?")]
    assert [type(event) for event in events] == [ChatEnd]
    ids = {chat_service_pb2.ChatRequest.FromString(request).request_id for _, request, _ in script.calls}
    assert len(script.calls) == 2
    assert len(ids) == 1


async def test_a_server_that_is_not_there_is_unavailable():
    async with AsyncClient("127.0.0.1:1", retries=QUICK, timeout=2) as memos:
        with pytest.raises(Unavailable) as caught:
            await memos.call(pb.GetMemoryRequest(name="x"))
    assert caught.value.reason == ""
