"""One service on a real internal server on loopback, with the runtime's interceptors."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from memos_kernel.ids import Clock
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.config import ServerConfig
from memos_runtime.server import Host, Listener, Trust
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantVerifier


@asynccontextmanager
async def hosted(
    service: Service, *, verifier: GrantVerifier, clock: Clock, token: str, telemetry: Telemetry, grace: float = 0
) -> AsyncIterator[Callable[[str], Channels]]:
    """Serve it; yields what returns the channels of another service, by that one's name."""
    host = Host(
        [service],
        config=ServerConfig(health_address=""),
        telemetry=telemetry,
        trust=Trust(verifier=verifier, clock=clock, peer_token=token),
        internal=Listener(address="127.0.0.1:0"),
    )
    await host.start()
    pool = ChannelPool({service.name: f"127.0.0.1:{host.ports['internal']}"})
    try:
        yield lambda peer: Channels(service=peer, pool=pool, telemetry=telemetry, peer_token=token)
    finally:
        await pool.close()
        await host.stop(grace=grace)
