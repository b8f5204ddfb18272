import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import grpc
import pytest

from memos_api.internal.v1 import inference_service_pb2 as inference
from memos_api.internal.v1 import inference_service_pb2_grpc as inference_grpc
from memos_api.internal.v1 import storage_service_pb2 as storage
from memos_api.internal.v1 import storage_service_pb2_grpc as storage_grpc
from memos_api.v1 import job_service_pb2 as job
from memos_api.v1 import job_service_pb2_grpc as job_grpc
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import memory_service_pb2_grpc as memory_grpc
from memos_kernel import limits
from memos_kernel.errors import (
    CredentialInvalid,
    CubeNotFound,
    DeadlineExceeded,
    DependencyUnavailable,
    GrantInvalid,
    InternalError,
    LimitExceeded,
    MissingField,
    Overloaded,
    PeerForbidden,
)
from memos_kernel.names import VaultName
from memos_runtime import channels as channels_module
from memos_runtime import server as server_module
from memos_runtime.channels import AFFINITY_SWITCH, ChannelPool, Channels, service_config
from memos_runtime.context import use_grant
from memos_runtime.telemetry import Telemetry
from memos_wire.errors import error_of_call
from memos_wire.methods import METHODS
from memosctl import main
from proxies import proxy_in_the_environment


def stub(running):
    return memory_grpc.MemoryServiceStub(running.public)


async def failure(call):
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value, error_of_call(caught.value, dependency="interface")


async def test_identity_grant_and_a_shrinking_deadline_reach_the_next_service(serve, authorized):
    async with serve() as running:
        request = memory.GetMemoryRequest(name="c")
        answer = await stub(running).GetMemory(request, metadata=authorized, timeout=5)
        ((peer, principal, left),) = running.services.storage.seen
    assert answer.cube.name == "c"
    assert (peer, principal) == ("interface", "tenants/acme/principals/nora")
    assert 4 < left < 5.1  # of 10 by default; gRPC rounds what is left up


async def test_a_domain_error_crosses_two_hops_with_code_reason_and_field(serve, authorized):
    async with serve() as running:
        request = memory.GetMemoryRequest(name="missing")
        status, error = await failure(stub(running).GetMemory(request, metadata=authorized))
    assert status.code() is grpc.StatusCode.NOT_FOUND
    assert isinstance(error, CubeNotFound)
    assert (error.field, error.metadata["name"]) == ("names[0]", "missing")


async def test_the_text_of_an_unknown_exception_stays_inside(serve, authorized, caplog):
    async with serve() as running:
        request = memory.GetMemoryRequest(name="crash")
        status, error = await failure(stub(running).GetMemory(request, metadata=authorized))
    assert status.code() is grpc.StatusCode.INTERNAL
    assert isinstance(error, InternalError)
    assert "secret" not in str(status)
    assert error.metadata["error_id"] in caplog.text


async def test_the_callers_deadline_ends_the_work_two_hops_away(serve, authorized):
    async with serve() as running:
        request = memory.GetMemoryRequest(name="slow")
        status, _ = await failure(stub(running).GetMemory(request, metadata=authorized, timeout=0.2))
        assert status.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        assert await running.host._gates["storage"].wait_empty(1)


async def test_without_a_key_nothing_happens(serve):
    async with serve() as running:
        status, error = await failure(stub(running).GetMemory(memory.GetMemoryRequest(name="c")))
        assert running.services.storage.seen == []
    assert status.code() is grpc.StatusCode.UNAUTHENTICATED
    assert isinstance(error, CredentialInvalid)


async def test_an_empty_required_field_is_named(serve, authorized):
    async with serve() as running:
        status, error = await failure(stub(running).GetMemory(memory.GetMemoryRequest(), metadata=authorized))
    assert status.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert isinstance(error, MissingField)
    assert error.field == "name"


async def test_a_stream_passes_through_two_hops_item_by_item(serve, authorized):
    async with serve() as running:
        watch = job_grpc.JobServiceStub(running.public).WatchJob(job.WatchJobRequest(name="go"), metadata=authorized)
        assert [item.job.name async for item in watch] == ["0 ", "1 ", "2 ", "3 ", "4 "]


async def test_a_stream_that_fails_at_its_end_fails_with_the_domain_error(serve, authorized):
    async with serve() as running:
        watch = job_grpc.JobServiceStub(running.public).WatchJob(job.WatchJobRequest(name="fail"), metadata=authorized)
        assert [(await watch.read()).job.name for _ in range(5)] == ["0 ", "1 ", "2 ", "3 ", "4 "]
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await watch.read()
    assert isinstance(error_of_call(caught.value, dependency="interface"), CubeNotFound)


async def test_a_reader_that_leaves_ends_the_stream_two_hops_away(serve, authorized):
    async with serve() as running:
        watch = job_grpc.JobServiceStub(running.public).WatchJob(job.WatchJobRequest(name="go"), metadata=authorized)
        async for _ in watch:
            break
        watch.cancel()
        async with asyncio.timeout(2):
            await running.services.inference.closed.wait()


async def test_a_service_that_stops_reading_ends_the_stream(serve, edge_grant):
    async with serve() as running:
        generate = running.channels().stub(inference_grpc.InferenceServiceStub, "inference").Generate
        with use_grant(await edge_grant()):
            items = generate(inference.GenerateRequest(turns=[{"text": "go"}], max_tokens=2000))
            assert (await anext(items)).delta == "0 "
            await items.aclose()
        async with asyncio.timeout(2):
            await running.services.inference.closed.wait()


async def test_every_internal_method_is_unimplemented_on_the_public_port(serve, authorized):
    async with serve() as running:
        for row in METHODS.values():
            if not row.public:
                call = running.public.unary_unary(row.name)
                status, _ = await failure(call(b"", metadata=authorized))
                assert status.code() is grpc.StatusCode.UNIMPLEMENTED, row.name


async def test_the_socket_answers_only_who_knows_the_token_and_shows_a_grant(serve, edge_grant):
    async with serve() as running:
        request = storage.BatchGetMemCubesRequest(names=["c"])

        def ask(**options):
            stub = running.channels(**options).stub(storage_grpc.StorageServiceStub, "storage")
            return stub.BatchGetMemCubes(request)

        with pytest.raises(PeerForbidden):
            await ask(token="guess")
        with pytest.raises(GrantInvalid):
            await ask()
        with use_grant(await edge_grant()):
            assert (await ask()).results[0].cube.name == "c"
            with pytest.raises(PeerForbidden):
                await ask(service="governance")


async def test_the_edge_refuses_more_calls_than_it_serves_at_once(serve, authorized):
    async with serve(max_concurrent_calls=1) as running:
        slow = stub(running).GetMemory(memory.GetMemoryRequest(name="slow"), metadata=authorized)
        await running.services.storage.entered.wait()
        status, error = await failure(stub(running).GetMemory(memory.GetMemoryRequest(name="c"), metadata=authorized))
        slow.cancel()
    assert status.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert isinstance(error, Overloaded)
    assert error.retry_after == 1


async def test_a_call_that_is_longer_than_a_message_is_refused_by_the_transport_as_the_limits_say(serve, authorized):
    async with serve(max_message_bytes=4_096) as running:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub(running).GetMemory(memory.GetMemoryRequest(name="c" * 5_000), metadata=authorized)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "grpc-status-details-bin" not in dict(caught.value.trailing_metadata())


async def test_a_service_that_is_away_is_named(tmp_path, edge_grant):
    pool = ChannelPool({"storage": f"unix:{tmp_path}/nobody"})
    channels = Channels(service="interface", pool=pool, telemetry=Telemetry(), peer_token="token")
    request = storage.BatchGetMemCubesRequest(names=["c"])
    with pytest.raises(DependencyUnavailable) as caught:
        await channels.stub(storage_grpc.StorageServiceStub, "storage").BatchGetMemCubes(request)
    assert caught.value.metadata["dependency"] == "storage"
    with pytest.raises(DependencyUnavailable):
        await channels.stub(inference_grpc.InferenceServiceStub, "inference").Embed(inference.EmbedRequest())
    await pool.close()


async def test_a_call_that_a_server_cancels_goes_to_another_one_where_it_may_be_repeated(tmp_path):
    """A server that stops cancels what it has not taken up."""
    met = []

    class Stopping(storage_grpc.StorageServiceServicer):
        async def BatchGetMemCubes(self, request, context):
            met.append("read")
            if len(met) == 1:
                await context.abort(grpc.StatusCode.CANCELLED)
            return storage.BatchGetMemCubesResponse(results=[{"cube": {"name": request.names[0]}}])

        async def DeleteMemCube(self, request, context):
            met.append("write")
            await context.abort(grpc.StatusCode.CANCELLED)

    async with AsyncExitStack() as stopping:
        server = grpc.aio.server()
        storage_grpc.add_StorageServiceServicer_to_server(Stopping(), server)
        server.add_insecure_port(f"unix:{tmp_path}/storage")
        await server.start()
        stopping.push_async_callback(server.stop, None)
        pool = ChannelPool({"storage": f"unix:{tmp_path}/storage"})
        stopping.push_async_callback(pool.close)
        channels = Channels(service="interface", pool=pool, telemetry=Telemetry(), peer_token="token")
        there = channels.stub(storage_grpc.StorageServiceStub, "storage")
        answer = await there.BatchGetMemCubes(storage.BatchGetMemCubesRequest(names=["c"]))
        assert answer.results[0].cube.name == "c"
        with pytest.raises(DependencyUnavailable):
            await there.DeleteMemCube(storage.DeleteMemCubeRequest(name="c"))
    assert met == ["read", "read", "write"]


async def test_a_call_may_wait_for_its_answer_longer_than_many_signs_of_life(serve, authorized, monkeypatch):
    """Periods are a tenth here: channels ask every 1.5 s whether the other side is there; servers allow it each 1 s."""

    def faster(options):
        return tuple(
            (name, value // 10 if "ping_interval" in name or "keepalive_time" in name else value)
            for name, value in options
        )

    monkeypatch.setattr(server_module, "_OPTIONS", faster(server_module._OPTIONS))
    monkeypatch.setattr(channels_module, "_CONNECTION", faster(channels_module._CONNECTION))
    async with serve() as running:

        async def late(request):
            await asyncio.sleep(8)
            return storage.BatchGetMemCubesResponse(results=[{"cube": {"name": "c"}}])

        running.services.storage.answer = late
        answer = await stub(running).GetMemory(memory.GetMemoryRequest(name="c"), metadata=authorized, timeout=20)
    assert answer.cube.name == "c"
    assert len(running.services.storage.seen) == 1


async def test_calls_between_services_pass_no_proxy(serve, authorized, monkeypatch):
    async with serve() as running, proxy_in_the_environment(monkeypatch) as heard:
        pool = ChannelPool({"interface": f"127.0.0.1:{running.host.ports['public']}"})
        there = memory_grpc.MemoryServiceStub(pool.channel("interface"))
        answer = await there.GetMemory(memory.GetMemoryRequest(name="c"), metadata=authorized, timeout=5)
        await pool.close()
    assert (answer.cube.name, heard) == ("c", [])


async def test_a_call_with_no_time_left_is_not_sent(serve):
    async with serve() as running:
        embed = running.channels().stub(inference_grpc.InferenceServiceStub, "inference").Embed
        with pytest.raises(DeadlineExceeded):
            await embed(inference.EmbedRequest(), timeout=0)


async def test_an_error_too_big_for_the_trailers_keeps_its_reason(serve, authorized):
    async with serve() as running:

        async def long_error(request):
            raise CubeNotFound("x" * 9_000, name="y" * 9_000)

        running.services.storage.answer = long_error
        status, error = await failure(stub(running).GetMemory(memory.GetMemoryRequest(name="c"), metadata=authorized))
    assert status.code() is grpc.StatusCode.NOT_FOUND
    assert isinstance(error, CubeNotFound)


async def test_a_grant_over_as_many_vaults_as_one_may_hold_with_limits_reaches_the_next_service(serve, edge_grant):
    count = limits.PRINCIPAL_VAULTS + limits.SHARED_VAULTS
    vaults = frozenset(VaultName("a" * 63, f"{number:063}") for number in range(count))
    async with serve() as running:
        stub_of_storage = running.channels().stub(storage_grpc.StorageServiceStub, "storage")
        with use_grant(await edge_grant(vaults)):
            answer = await stub_of_storage.BatchGetMemCubes(storage.BatchGetMemCubesRequest(names=["c"]))
    assert answer.results[0].cube.name == "c"


async def test_a_message_that_is_too_large_is_told_as_a_limit(serve, edge_grant):
    async with serve() as running:
        stub_of_storage = running.channels().stub(storage_grpc.StorageServiceStub, "storage")
        with use_grant(await edge_grant()), pytest.raises(LimitExceeded):
            await stub_of_storage.BatchGetMemCubes(storage.BatchGetMemCubesRequest(names=["c" * 5_000_000]))


def test_a_replica_is_chosen_by_affinity_only_where_grpc_has_been_told_of_it(monkeypatch):
    assert "ring_hash" in service_config("inference")
    assert "ring_hash" not in service_config("storage")
    monkeypatch.delenv(AFFINITY_SWITCH)
    assert "ring_hash" not in service_config("inference")


def test_the_switch_is_the_one_that_the_command_line_turns_on():
    assert AFFINITY_SWITCH in Path(main.__file__).read_text()


def test_the_service_config_retries_what_is_retryable_and_sets_no_timeout():
    config = service_config()
    assert '"method":"GetMemory"' in config
    assert '"method":"AddMemories"' not in config
    assert "timeout" not in config.lower()


async def test_bytes_that_are_no_request_get_a_typed_error_and_strangers_are_not_parsed(serve, authorized):
    async with serve() as running:
        get = running.public.unary_unary("/memos.v1.MemoryService/GetMemory")
        status, error = await failure(get(b"\xff\xff\xff", metadata=authorized))
        unknown, _ = await failure(get(b"\xff\xff\xff"))
    assert (status.code(), error.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD")
    assert unknown.code() is grpc.StatusCode.UNAUTHENTICATED
