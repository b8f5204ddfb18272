"""The servers of one process: the public API, the internal services and health, from start to drain."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
from grpc_reflection.v1alpha import reflection

from memos_kernel.ids import Clock
from memos_runtime import semconv
from memos_runtime.channels import METADATA, ChannelPool
from memos_runtime.config import ServerConfig
from memos_runtime.context import spawn
from memos_runtime.gate import Gate
from memos_runtime.health import Health
from memos_runtime.interceptors.chain import Chain, internal_chain, public_chain
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry
from memos_runtime.tls import Certificates
from memos_wire.grants import GrantVerifier
from memos_wire.methods import METHODS

_LOG = logging.getLogger(__name__)

_TICK_SECONDS = 1.0
_LOOK_SECONDS, _WARN_SECONDS = 60.0, 3600.0
_OPTIONS = (
    ("grpc.so_reuseport", 0),  # a second process on the same port is an error, not half of the traffic
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Listener:
    """Where a server listens.

    Attributes:
        address: `host:port` (port 0 takes a free one) or `unix:/path`.
        credentials: of TLS, or None for plain text.
    """

    address: str
    credentials: grpc.ServerCredentials | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """How the internal server knows who calls.

    Attributes:
        verifier: checks grants.
        clock: for the end of grants.
        peer_token: secret of the services that meet without TLS; None demands certificates.
    """

    verifier: GrantVerifier
    clock: Clock
    peer_token: str | None


class Host:
    """Hosts services: those with an edge on the public server, the others on the internal one.

    A method is served where its service is registered and nowhere else, so every internal method is
    UNIMPLEMENTED on the public port.
    """

    def __init__(
        self,
        services: Sequence[Service],
        *,
        config: ServerConfig,
        telemetry: Telemetry,
        trust: Trust,
        public: Listener | None = None,
        internal: Listener | None = None,
        pool: ChannelPool | None = None,
        certificates: Certificates | None = None,
    ) -> None:
        """Take the services in the order in which they start; `pool` is kept in step with renewed certificates.

        Of `certificates`, those that the services show, it is told when they end.

        Raises:
            ValueError: a service has no listener to be served on.
        """
        self._services = tuple(services)
        self._config = config
        self._telemetry = telemetry
        self._trust = trust
        self._public = public
        self._internal = internal
        self._pool = pool
        self._certificates = certificates
        self._looked_after = self._warned = 0.0
        self._unfit = ""
        if certificates is not None:
            self._end_gauge = telemetry.gauge(
                semconv.METRIC_CERTIFICATE_END, "When the certificate ends, as Unix time.", ("service",)
            )
        self._gates = {service.name: Gate(service.name) for service in services}
        self._health = Health(self._services, self._gates, telemetry)
        self._started: list[Service] = []
        self._servers: dict[str, grpc.aio.Server] = {}
        self._ticker: asyncio.Task[None] | None = None
        self.ports: dict[str, int] = {}
        """Ports that are listened on, of `public`, `internal` and `health`; 1 for a Unix socket."""
        for service in services:
            if (public if service.edge is not None else internal) is None:
                raise ValueError(f"{service.name} has no listener to be served on")

    async def start(self) -> None:
        """Listen, start the services one after the other, and let calls in as they are ready.

        What was started is stopped again if something fails.

        Raises:
            OSError: an address is taken or cannot be listened on.
        """
        try:
            await self._health.refresh()
            if self._config.health_address:
                await self._listen("health", Listener(address=self._config.health_address), None, self._health.register)
            self._ticker = spawn(self._tick(), name="host-tick")
            if self._internal is not None:
                await self._listen("internal", self._internal, self._internal_chain(), self._register_internal)
            for service in self._services:
                _LOG.info("%s starts", service.name)
                self._started.append(service)
                await service.start()
                self._gates[service.name].open()
            if self._public is not None:
                await self._listen("public", self._public, self._public_chain(), self._register_public)
            await self._health.refresh()
        except BaseException:
            await self.stop(grace=0)
            raise
        _LOG.info("serving %s", ", ".join(service.name for service in self._services))

    async def drain(self) -> None:
        """Say that no more calls are wanted, give callers time to notice, and stop."""
        _LOG.info("draining")
        await self._health.off()
        await asyncio.sleep(self._config.drain_seconds)
        await self.stop(grace=self._config.grace_seconds)

    async def stop(self, *, grace: float) -> None:
        """Refuse new calls, let running ones end within `grace` seconds, and close the services. Can be called twice.

        The public server ends first. Then the services close in reverse order, while those below them
        still answer: what they flush arrives. The last of them is let go of by its server, which tells callers to go
        elsewhere: another replica takes what they ask for, and nobody is told of it.
        """
        end = asyncio.get_running_loop().time() + grace
        for service in self._services:
            if service.edge is not None:
                self._gates[service.name].drain()
        await self._stop_server("public", grace)
        while self._started:
            service = self._started.pop()
            gate = self._gates[service.name]
            if not self._started:
                await self._stop_server("internal", max(0.0, end - asyncio.get_running_loop().time()))
            gate.drain()
            await gate.wait_empty(max(0.0, end - asyncio.get_running_loop().time()))
            await _close(service)
        await self._stop_server("internal", 0)  # that of a start that failed
        if self._ticker is not None:
            self._ticker.cancel()
        await self._stop_server("health", 0)

    async def _listen(
        self, name: str, listener: Listener, chain: Chain | None, register: Callable[[grpc.aio.Server], None]
    ) -> None:
        server = grpc.aio.server(
            interceptors=(chain,) if chain else (),
            options=(
                *_OPTIONS,
                *_age_options(self._config.connection_seconds),
                *(METADATA if name == "internal" else ()),
                ("grpc.max_receive_message_length", self._config.max_message_bytes),
                ("grpc.max_send_message_length", self._config.max_message_bytes),
            ),
        )
        register(server)
        self.ports[name] = _bind(server, listener)
        await server.start()
        self._servers[name] = server

    async def _stop_server(self, name: str, grace: float) -> None:
        server = self._servers.pop(name, None)
        if server is not None:
            await server.stop(grace)

    def _public_chain(self) -> Chain:
        edges = [service.edge for service in self._services if service.edge is not None]
        most = self._config.max_concurrent_calls
        return Chain(
            public_chain(
                telemetry=self._telemetry,
                gates=self._gates,
                max_calls=most,
                max_message_bytes=self._config.max_message_bytes,
                edge=edges[0],
            )
        )

    def _internal_chain(self) -> Chain:
        trust = self._trust
        return Chain(
            internal_chain(
                telemetry=self._telemetry,
                gates=self._gates,
                max_message_bytes=self._config.max_message_bytes,
                verifier=trust.verifier,
                clock=trust.clock,
                peer_token=trust.peer_token,
            )
        )

    def _register_public(self, server: grpc.aio.Server) -> None:
        hosted = [service for service in self._services if service.edge is not None]
        for service in hosted:
            service.register(server)
        names = {service.name for service in hosted}
        shown = {row.name[1:].partition("/")[0] for row in METHODS.values() if row.public and row.service in names}
        reflection.enable_server_reflection((*sorted(shown), reflection.SERVICE_NAME), server)

    def _register_internal(self, server: grpc.aio.Server) -> None:
        for service in self._services:
            if service.edge is None:
                service.register(server)

    def _look_after_certificates(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._certificates is not None and (not self._looked_after or now - self._looked_after > _LOOK_SECONDS):
            self._looked_after = now
            if not self._warned or now - self._warned > _WARN_SECONDS:
                self._warned = now
                self._certificates.warn(self._trust.clock.now())
            for service in self._services:
                self._end_gauge.labels(service.name).set(self._certificates.end().timestamp())

    def _renew_channels(self) -> None:
        """Keep the channels in step with the files; ones that cannot be used are told of once, not at each look."""
        if self._pool is None:
            return
        try:
            self._pool.refresh()
            self._unfit = ""
        except OSError as error:
            if str(error) != self._unfit:
                self._unfit = str(error)
                _LOG.warning("other services are still called with the certificate of before: %s", error)

    async def _tick(self) -> None:
        while True:
            try:
                self._look_after_certificates()
                await self._health.refresh()
                self._renew_channels()
            except Exception:
                _LOG.exception("the host's own check failed")
            await asyncio.sleep(_TICK_SECONDS)


def _age_options(seconds: float) -> tuple[tuple[str, int], ...]:
    """Return what ends connections; gRPC itself spreads that by a tenth, and lets calls end without a limit."""
    return (("grpc.max_connection_age_ms", int(seconds * 1000)),) if seconds else ()


def _bind(server: grpc.aio.Server, listener: Listener) -> int:
    try:
        if listener.credentials is None:
            return int(server.add_insecure_port(listener.address))
        return int(server.add_secure_port(listener.address, listener.credentials))
    except RuntimeError as error:
        raise OSError(f"cannot listen on {listener.address}; is another process using it?") from error


async def _close(service: Service) -> None:
    try:
        await service.close()
    except Exception:
        _LOG.exception("%s did not close cleanly", service.name)
