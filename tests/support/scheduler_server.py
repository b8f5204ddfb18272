"""The scheduler behind a real server on loopback, and grants as governance signs them."""

from contextlib import asynccontextmanager
from datetime import timedelta

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hosting import hosted
from memos_api.internal.v1.scheduler_service_pb2_grpc import (
    SchedulerServiceStub,
)
from memos_kernel.cube import TraceRef
from memos_kernel.ids import SystemClock
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantSigner, GrantVerifier
from memos_wire.methods import INTERFACE, SCHEDULER

CLOCK = SystemClock()
KEY = Ed25519PrivateKey.generate()
VERIFIER = GrantVerifier([KEY.public_key()], clock=CLOCK)
TOKEN = "between-services"
READ = (Action.CUBE_READ, Action.CUBE_USE, Action.MODEL_USE)
JOBS = (Action.JOB_READ, Action.JOB_WRITE)
ORIGIN = TraceRef("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331")


def grant(*actions: Action, principal: str = "alice", issued_to: str = INTERFACE) -> Grant:
    made = Grant(
        id="g",
        principal=PrincipalName("acme", principal),
        issued_to=issued_to,
        vaults=frozenset({VaultName("acme", "main")}),
        all_vaults=False,
        actions=frozenset(actions),
        policy_epoch=1,
        expire_time=CLOCK.now() + timedelta(seconds=30),
    )
    return VERIFIER.verify(GrantSigner(KEY).sign(made, clock=CLOCK).SerializeToString())


@asynccontextmanager
async def scheduling(service: Service, telemetry: Telemetry):
    """Serves the scheduler on loopback; gives what returns its stub as a service holds it."""
    async with hosted(service, verifier=VERIFIER, clock=CLOCK, token=TOKEN, telemetry=telemetry) as channels:

        def stub(peer: str = INTERFACE) -> SchedulerServiceStub:
            return channels(peer).stub(SchedulerServiceStub, SCHEDULER)

        yield stub
