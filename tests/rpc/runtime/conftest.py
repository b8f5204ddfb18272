"""Small services on real servers on loopback: an interface that calls storage and inference."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import grpc
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memos_api.internal.v1 import inference_service_pb2 as inference
from memos_api.internal.v1 import inference_service_pb2_grpc as inference_grpc
from memos_api.internal.v1 import storage_service_pb2 as storage
from memos_api.internal.v1 import storage_service_pb2_grpc as storage_grpc
from memos_api.v1 import job_service_pb2 as job
from memos_api.v1 import job_service_pb2_grpc as job_grpc
from memos_api.v1 import memory_service_pb2 as memory
from memos_api.v1 import memory_service_pb2_grpc as memory_grpc
from memos_kernel.errors import CredentialInvalid, CubeNotFound
from memos_kernel.ids import SystemClock
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Grant, Principal
from memos_kernel.quotas import VaultQuota
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.config import ServerConfig
from memos_runtime.context import current_grant, current_peer, current_principal, remaining
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantSigner, GrantVerifier
from memos_wire.methods import INFERENCE, INTERFACE, STORAGE

CLOCK = SystemClock()
KEY = Ed25519PrivateKey.generate()
API_KEY = "nora-key"


class Edge:
    """Knows one key, and grants everything."""

    async def authenticate(self, api_key: str) -> Principal:
        if api_key != API_KEY:
            raise CredentialInvalid("Unknown key.")
        return Principal(PrincipalName("acme", "nora"))

    async def grant(self, principal: Principal, actions: Any, vaults: Any) -> Grant:
        grant = Grant(
            id="g",
            principal=principal.name,
            issued_to=INTERFACE,
            vaults=frozenset(vaults),
            all_vaults=False,
            actions=frozenset(Action),
            policy_epoch=1,
            expire_time=CLOCK.now() + timedelta(seconds=30),
            quotas=dict.fromkeys(vaults, VaultQuota(2**53, 2**53)),
        )
        signed = GrantSigner(KEY).sign(grant, clock=CLOCK)
        return GrantVerifier([KEY.public_key()], clock=CLOCK).verify(signed.SerializeToString())


class Storage(storage_grpc.StorageServiceServicer):
    def __init__(self) -> None:
        self.seen: list[tuple[str, str, float | None]] = []
        self.entered = asyncio.Event()
        self.answer: Callable[[Any], Awaitable[Any]] | None = None

    async def BatchGetMemCubes(self, request: Any, context: Any) -> Any:
        self.seen.append((current_peer(), str(current_grant().principal), remaining()))
        self.entered.set()
        if self.answer is not None:
            return await self.answer(request)
        if request.names[0] == "missing":
            raise CubeNotFound("There is no such cube.", field="names[0]", name="missing")
        if request.names[0] == "crash":
            raise RuntimeError("secret text")
        if request.names[0] == "slow":
            await asyncio.sleep(60)
        return storage.BatchGetMemCubesResponse(results=[{"cube": {"name": request.names[0]}}])


class Inference(inference_grpc.InferenceServiceServicer):
    def __init__(self) -> None:
        self.closed = asyncio.Event()

    async def Generate(self, request: Any, context: Any) -> AsyncIterator[Any]:
        try:
            for number in range(request.max_tokens):
                yield inference.GenerateResponse(delta=f"{number} ")
                await asyncio.sleep(0.001)
            if request.turns[0].text == "fail":
                raise CubeNotFound("It went away.")
        finally:
            self.closed.set()


class Memory(memory_grpc.MemoryServiceServicer):
    def __init__(self, channels: Channels) -> None:
        self._storage = channels.stub(storage_grpc.StorageServiceStub, STORAGE)

    async def GetMemory(self, request: Any, context: Any) -> Any:
        assert current_principal().name.id == "nora"
        answer = await self._storage.BatchGetMemCubes(storage.BatchGetMemCubesRequest(names=[request.name]))
        return memory.GetMemoryResponse(cube=answer.results[0].cube)


class Jobs(job_grpc.JobServiceServicer):
    """Streams what the model says, as if it were progress."""

    def __init__(self, channels: Channels) -> None:
        self._inference = channels.stub(inference_grpc.InferenceServiceStub, INFERENCE)

    async def WatchJob(self, request: Any, context: Any) -> AsyncIterator[Any]:
        turns = [{"role": "user", "text": request.name}]
        async for item in self._inference.Generate(inference.GenerateRequest(turns=turns, max_tokens=5)):
            yield job.WatchJobResponse(job={"name": item.delta})


@dataclass
class Services:
    """The servicers behind a host, and the order in which things happened."""

    storage: Storage = field(default_factory=Storage)
    inference: Inference = field(default_factory=Inference)
    events: list[str] = field(default_factory=list)
    parts: dict[str, bool] = field(default_factory=lambda: {"milvus": True})
    ready: dict[str, bool] = field(default_factory=lambda: {STORAGE: True, INFERENCE: True, INTERFACE: True})

    def service(self, name: str, register: Callable[[Any], None], **options: Any) -> Service:
        async def start() -> None:
            self.events.append(f"start {name}")

        async def close() -> None:
            self.events.append(f"close {name}")

        ready = lambda: self.ready[name]  # noqa: E731
        return Service(name=name, register=register, start=start, close=close, ready=ready, **options)

    def build(self, channels: Channels) -> list[Service]:
        def register_interface(server: Any) -> None:
            memory_grpc.add_MemoryServiceServicer_to_server(Memory(channels), server)
            job_grpc.add_JobServiceServicer_to_server(Jobs(channels), server)

        return [
            self.service(
                STORAGE,
                lambda server: storage_grpc.add_StorageServiceServicer_to_server(self.storage, server),
                parts={"milvus": lambda: self.parts["milvus"]},
            ),
            self.service(
                INFERENCE, lambda server: inference_grpc.add_InferenceServiceServicer_to_server(self.inference, server)
            ),
            self.service(INTERFACE, register_interface, edge=Edge()),
        ]


@dataclass
class Running:
    """A host that serves, and how to reach it."""

    host: Host
    services: Services
    pool: ChannelPool
    public: grpc.aio.Channel
    socket: str

    def call(self, stub_class: Any) -> Any:
        return stub_class(self.public)

    def channels(self, service: str = INTERFACE, *, token: str = "token") -> Channels:
        return Channels(service=service, pool=self.pool, telemetry=Telemetry(), peer_token=token)


AUTHORIZED = (("authorization", f"Bearer {API_KEY}"),)


@pytest.fixture
def authorized() -> tuple[tuple[str, str], ...]:
    return AUTHORIZED


@pytest.fixture
def edge_grant() -> Callable[..., Any]:
    async def issue(vaults: Iterable[VaultName] = ()) -> Grant:
        return await Edge().grant(Principal(PrincipalName("acme", "nora")), frozenset(), vaults)

    return issue


@pytest.fixture
def serve(tmp_path: Any) -> Any:
    """Return a context manager that runs the three services: `async with serve() as running`."""

    @asynccontextmanager
    async def running(telemetry: Telemetry | None = None, **config: Any) -> AsyncIterator[Running]:
        telemetry = telemetry or Telemetry()
        socket = f"unix:{tmp_path}/s"
        pool = ChannelPool({STORAGE: socket, INFERENCE: socket})
        services = Services()
        own = Channels(service=INTERFACE, pool=pool, telemetry=telemetry.for_service(INTERFACE), peer_token="token")
        host = Host(
            services.build(own),
            config=ServerConfig(health_address="127.0.0.1:0", **{"grace_seconds": 1, **config}),
            telemetry=telemetry,
            trust=Trust(verifier=GrantVerifier([KEY.public_key()], clock=CLOCK), clock=CLOCK, peer_token="token"),
            public=Listener(address="127.0.0.1:0"),
            internal=Listener(address=socket),
            pool=pool,
        )
        await host.start()
        public = grpc.aio.insecure_channel(f"127.0.0.1:{host.ports['public']}")
        try:
            yield Running(host, services, pool, public, socket)
        finally:
            await public.close()
            await pool.close()
            await host.stop(grace=0)

    return running
