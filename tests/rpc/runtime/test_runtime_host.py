import asyncio
from contextlib import AsyncExitStack, nullcontext

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from memos_api.internal.v1 import inference_service_pb2 as inference
from memos_api.internal.v1 import inference_service_pb2_grpc as inference_grpc
from memos_api.internal.v1 import storage_service_pb2 as storage
from memos_api.internal.v1 import storage_service_pb2_grpc as storage_grpc
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import memory_service_pb2_grpc as memory_grpc
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.config import ServerConfig
from memos_runtime.context import affine, use_grant
from memos_runtime.server import Host, Listener
from memos_runtime.telemetry import Telemetry

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


class Probe:
    def __init__(self, running):
        self.channel = grpc.aio.insecure_channel(f"127.0.0.1:{running.host.ports['health']}")
        self.stub = health_pb2_grpc.HealthStub(self.channel)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.channel.close()

    async def status(self, name):
        return (await self.stub.Check(health_pb2.HealthCheckRequest(service=name))).status

    def watch(self, name):
        return self.stub.Watch(health_pb2.HealthCheckRequest(service=name))


async def test_services_start_in_order_and_close_in_reverse(serve):
    async with serve() as running:
        await running.host.drain()
        names = ["storage", "inference", "interface"]
        expected = [f"start {name}" for name in names] + [f"close {name}" for name in reversed(names)]
        assert running.services.events == expected


async def test_health_names_services_parts_and_the_whole(serve):
    async with serve() as running, Probe(running) as probe:
        for name in ("", "live", "storage", "storage.milvus", "interface"):
            assert await probe.status(name) == SERVING
        with pytest.raises(grpc.aio.AioRpcError):
            await probe.status("nobody")


async def test_a_part_that_fails_does_not_make_its_service_unready(serve):
    async with serve() as running, Probe(running) as probe:
        running.services.parts["milvus"] = False
        await running.host._health.refresh()
        assert await probe.status("storage.milvus") == NOT_SERVING
        assert await probe.status("storage") == SERVING


async def test_a_watcher_sees_a_service_fail_within_about_a_second(serve):
    async with serve() as running, Probe(running) as probe:
        watch = probe.watch("storage")
        assert (await watch.read()).status == SERVING
        running.services.ready["storage"] = False
        async with asyncio.timeout(3):
            assert (await watch.read()).status == NOT_SERVING
        assert await probe.status("") == NOT_SERVING
        assert await probe.status("live") == SERVING
        watch.cancel()


async def test_draining_turns_health_off_and_lets_running_calls_end(serve, authorized):
    async with serve(drain_seconds=0.3, grace_seconds=5) as running, Probe(running) as probe:
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def answer(request):
            inside.set()
            await go_on.wait()
            return storage.BatchGetMemCubesResponse(results=[{"cube": {"name": "late"}}])

        running.services.storage.answer = answer
        stub = memory_grpc.MemoryServiceStub(running.public)
        call = asyncio.ensure_future(stub.GetMemory(memory.GetMemoryRequest(name="wait"), metadata=authorized))
        await inside.wait()
        draining = asyncio.create_task(running.host.drain())
        await asyncio.sleep(0.1)
        assert await probe.status("interface") == NOT_SERVING
        assert await probe.status("live") == SERVING
        go_on.set()
        assert (await call).cube.name == "late"
        await draining


async def test_an_address_that_is_taken_is_an_error_and_nothing_stays_started(serve):
    async with serve() as running:
        host, services = running.host, running.services
        taken = f"127.0.0.1:{host.ports['public']}"
        services.events.clear()
        second = Host(
            services.build(running.channels())[:2],
            config=ServerConfig(health_address=""),
            telemetry=host._telemetry,
            trust=host._trust,
            internal=Listener(address=taken),
        )
        with pytest.raises(OSError, match=taken):
            await second.start()
        assert services.events == []


async def test_a_service_that_cannot_start_takes_those_before_it_down(serve):
    async with serve() as running:
        services = running.services
        services.events.clear()

        async def fail():
            raise RuntimeError("no model")

        built = services.build(running.channels())[:2]
        broken = services.service("inference", built[1].register)
        object.__setattr__(broken, "start", fail)
        host = Host(
            [built[0], broken],
            config=ServerConfig(health_address=""),
            telemetry=running.host._telemetry,
            trust=running.host._trust,
            internal=Listener(address="127.0.0.1:0"),
        )
        with pytest.raises(RuntimeError, match="no model"):
            await host.start()
        assert services.events == ["start storage", "close inference", "close storage"]


async def test_reflection_on_the_public_port_shows_the_public_services_only(serve):
    async with serve() as running:
        info = reflection_pb2_grpc.ServerReflectionStub(running.public).ServerReflectionInfo
        call = info(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        answer = await call.read()
        names = {service.name for service in answer.list_services_response.service}
    assert "memos.v1.MemoryService" in names
    assert not [name for name in names if "internal" in name]


async def test_while_a_replica_ends_callers_go_to_another_one_and_are_told_of_nothing(serve, edge_grant):
    """Also of calls that nobody may repeat: the channel has no policy of retries."""
    async with serve() as running, AsyncExitStack() as stopping:
        replicas = [
            Host(
                running.services.build(running.channels())[:1],
                config=ServerConfig(health_address="", grace_seconds=10),
                telemetry=Telemetry(),
                trust=running.host._trust,
                internal=Listener(address="127.0.0.1:0"),
            )
            for _ in range(2)
        ]
        for replica in replicas:
            await replica.start()
            stopping.push_async_callback(replica.stop, grace=0)
        inside, go_on = asyncio.Event(), asyncio.Event()

        async def answer(request):
            if request.names[0] == "long":
                inside.set()
                await go_on.wait()
            return storage.BatchGetMemCubesResponse(results=[{"cube": {"name": request.names[0]}}])

        running.services.storage.answer = answer
        target = "ipv4:" + ",".join(f"127.0.0.1:{replica.ports['internal']}" for replica in replicas)
        options = (("grpc.service_config", '{"loadBalancingConfig":[{"round_robin":{}}]}'),)
        metadata = (("memos-peer", "interface:token"), ("memos-grant-bin", (await edge_grant()).token))
        async with grpc.aio.insecure_channel(target, options=options) as channel:
            stub = storage_grpc.StorageServiceStub(channel)

            async def get(name):
                request = storage.BatchGetMemCubesRequest(names=[name])
                try:
                    return (await stub.BatchGetMemCubes(request, metadata=metadata)).results[0].cube.name
                except grpc.aio.AioRpcError as error:
                    return error.code().name

            assert [await get("short") for _ in range(4)] == ["short"] * 4  # both are connected
            long = asyncio.create_task(get("long"))
            await inside.wait()
            draining = asyncio.create_task(replicas[0].drain())
            during = [await get("short") for _ in range(200)]
            go_on.set()
            assert await long == "long"
            await draining
            # gRPC cancels a call that has arrived and not been taken up at the very moment when a server stops
            assert during.count("short") >= 199
            assert set(during) <= {"short", "CANCELLED"}


async def test_calls_with_an_affinity_stay_with_a_replica_and_the_others_are_spread(serve, edge_grant):
    async with serve() as running, AsyncExitStack() as stopping:
        names = ("first", "second", "third")
        hosts, met = {}, []

        def servicer(name):
            class Here(inference_grpc.InferenceServiceServicer):
                async def DescribeEngine(self, request, context):
                    met.append(name)
                    return inference.DescribeEngineResponse()

            return lambda server: inference_grpc.add_InferenceServiceServicer_to_server(Here(), server)

        for name in names:
            hosts[name] = Host(
                [running.services.service("inference", servicer(name))],
                config=ServerConfig(health_address="", grace_seconds=5),
                telemetry=Telemetry(),
                trust=running.host._trust,
                internal=Listener(address="127.0.0.1:0"),
            )
            await hosts[name].start()
            stopping.push_async_callback(hosts[name].stop, grace=0)
        target = "ipv4:" + ",".join(f"127.0.0.1:{host.ports['internal']}" for host in hosts.values())
        pool = ChannelPool({"inference": target})
        stopping.push_async_callback(pool.close)
        channels = Channels(service="interface", pool=pool, telemetry=Telemetry(), peer_token="token")
        stub = channels.stub(inference_grpc.InferenceServiceStub, "inference")

        async def ask(*parts):
            with use_grant(await edge_grant()), affine(*parts) if parts else nullcontext():
                await stub.DescribeEngine(inference.DescribeEngineRequest())
            return met[-1]

        places = {number: await ask("nora", str(number)) for number in range(40)}
        assert set(places.values()) == set(names)
        assert {number: await ask("nora", str(number)) for number in range(40)} == places
        assert {await ask() for _ in range(60)} == set(names)
        await hosts["second"].drain()
        after = {number: await ask("nora", str(number)) for number in range(40)}
        assert {number for number in places if after[number] != places[number]} == {
            number for number, place in places.items() if place == "second"
        }
