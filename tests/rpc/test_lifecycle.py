"""LifecycleService as the other services see it: through a real server with the runtime's interceptors."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from hosting import hosted
from memos_api.internal.v1 import lifecycle_service_pb2 as pb
from memos_api.internal.v1.lifecycle_service_pb2_grpc import (
    LifecycleServiceStub,
    add_LifecycleServiceServicer_to_server,
)
from memos_api.v1 import memcube_pb2
from memos_kernel.cube import Kind, MemCube, State
from memos_kernel.errors import (
    CubeNotFound,
    EtagMismatch,
    GrantInvalid,
    IllegalTransition,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
    PeerForbidden,
)
from memos_kernel.ids import SystemClock
from memos_kernel.names import CubeName, PrincipalName, VaultName
from memos_kernel.permission import Action, Grant
from memos_lifecycle.adapters.memory import MemoryCubeStore
from memos_lifecycle.servicer import LifecycleServicer
from memos_lifecycle.usecases.freeze_cube import FreezeCube, UnfreezeCube
from memos_lifecycle.usecases.record_use import RecordUse
from memos_lifecycle.usecases.sweep_expired import SweepExpired
from memos_lifecycle.usecases.sweep_vault import SweepVault
from memos_lifecycle.usecases.transition_cube import TransitionCube
from memos_runtime.context import use_grant
from memos_runtime.service import Service
from memos_runtime.telemetry import Telemetry
from memos_wire.grants import GrantSigner, GrantVerifier
from memos_wire.methods import INFERENCE, INTERFACE, LIFECYCLE, SCHEDULER

CLOCK = SystemClock()
KEY = Ed25519PrivateKey.generate()
VERIFIER = GrantVerifier([KEY.public_key()], clock=CLOCK)
TOKEN = "between-services"


def cube(name: str, **fields) -> MemCube:
    return MemCube(
        name=CubeName("acme", name),
        vault=VaultName("acme", "main"),
        kind=Kind.PLAINTEXT,
        payload=None,
        revision=1,
        etag="r1",
        **fields,
    )


def grant(*actions: Action, issued_to: str = INTERFACE) -> Grant:
    made = Grant(
        id="g",
        principal=PrincipalName("acme", "alice"),
        issued_to=issued_to,
        vaults=frozenset({VaultName("acme", "main")}),
        all_vaults=False,
        actions=frozenset(actions),
        policy_epoch=1,
        expire_time=CLOCK.now() + timedelta(seconds=30),
    )
    return VERIFIER.verify(GrantSigner(KEY).sign(made, clock=CLOCK).SerializeToString())


@pytest.fixture
def store() -> MemoryCubeStore:
    long_ago = datetime(2020, 1, 1, tzinfo=UTC)
    return MemoryCubeStore([cube("a"), cube("old", expire_time=long_ago), cube("gone", state=State.EXPIRED)])


@pytest.fixture
async def stub_of(store):
    """Returns the stub of lifecycle as a service holds it."""
    servicer = LifecycleServicer(
        record_use=RecordUse(store=store, clock=CLOCK, in_flight=4),
        transition=TransitionCube(store=store),
        freeze=FreezeCube(store=store),
        unfreeze=UnfreezeCube(store=store),
        sweep=SweepExpired(store=store, clock=CLOCK, in_flight=4),
        sweep_vault=SweepVault(store=store, clock=CLOCK, in_flight=4),
    )

    async def nothing() -> None: ...

    service = Service(
        name=LIFECYCLE,
        register=lambda server: add_LifecycleServiceServicer_to_server(servicer, server),
        start=nothing,
        close=nothing,
        ready=lambda: True,
    )
    async with hosted(service, verifier=VERIFIER, clock=CLOCK, token=TOKEN, telemetry=Telemetry()) as channels:
        yield lambda peer: channels(peer).stub(LifecycleServiceStub, LIFECYCLE)


async def test_use_comes_back_as_headers(stub_of):
    request = pb.RecordUseRequest(
        cubes=[memcube_pb2.CubeRevisionRef(name="tenants/acme/cubes/a", revision=1)], plan="tenants/acme/plans/p"
    )

    with use_grant(grant(Action.CUBE_USE, Action.CUBE_READ)):
        [used] = (await stub_of(INTERFACE).RecordUse(request)).cubes

    assert used.state == memcube_pb2.CUBE_STATE_ACTIVATED
    assert used.usage.hits == 1
    assert used.usage.last_used_time.seconds > 0
    assert used.WhichOneof("payload") is None


async def test_a_move_comes_back_as_header(stub_of, store):
    request = pb.TransitionMemCubeRequest(
        name="tenants/acme/cubes/a", target=memcube_pb2.CUBE_STATE_ARCHIVED, etag="r1", reason="Done."
    )

    with use_grant(grant(Action.CUBE_WRITE)):
        moved = (await stub_of(INTERFACE).TransitionMemCube(request)).cube

    assert (moved.state, moved.revision) == (memcube_pb2.CUBE_STATE_ARCHIVED, 2)
    assert store.reasons[CubeName("acme", "a")] == ["Done."]


async def test_a_cube_is_frozen_once_and_unfrozen_once(stub_of, store):
    name = "tenants/acme/cubes/a"
    lifecycle = stub_of(INTERFACE)

    with use_grant(grant(Action.CUBE_WRITE)):
        frozen = (await lifecycle.FreezeMemCube(pb.FreezeMemCubeRequest(name=name, etag="r1", reason="Held."))).cube
        with pytest.raises(IllegalTransition) as again:
            await lifecycle.FreezeMemCube(pb.FreezeMemCubeRequest(name=name))
        thawed = (await lifecycle.UnfreezeMemCube(pb.UnfreezeMemCubeRequest(name=name, etag="r2"))).cube
        with pytest.raises(IllegalTransition) as never:
            await lifecycle.UnfreezeMemCube(pb.UnfreezeMemCubeRequest(name=name))

    assert (frozen.frozen, frozen.revision, thawed.frozen, thawed.revision) == (True, 2, False, 3)
    assert dict(again.value.metadata) == {"current": "FROZEN", "target": "FROZEN"}
    assert dict(never.value.metadata) == {"current": "GENERATED", "target": "UNFROZEN"}
    assert store.reasons[CubeName("acme", "a")] == ["Held.", "Unfrozen by request."]


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        (pb.FreezeMemCubeRequest(), MissingField, "name"),
        (pb.FreezeMemCubeRequest(name="cubes/a"), MalformedName, "name"),
        (pb.FreezeMemCubeRequest(name="tenants/acme/cubes/x"), CubeNotFound, ""),
        (pb.FreezeMemCubeRequest(name="tenants/acme/cubes/a", etag="r9"), EtagMismatch, ""),
        (pb.FreezeMemCubeRequest(name="tenants/acme/cubes/gone"), IllegalTransition, ""),
        (pb.UnfreezeMemCubeRequest(), MissingField, "name"),
        (pb.UnfreezeMemCubeRequest(name="tenants/acme/cubes/x"), CubeNotFound, ""),
    ],
)
async def test_what_cannot_be_frozen_or_unfrozen_is_refused(request_, error, field, stub_of):
    method = getattr(stub_of(INTERFACE), type(request_).__name__.removesuffix("Request"))
    with use_grant(grant(Action.CUBE_WRITE)), pytest.raises(error) as refused:
        await method(request_)
    assert refused.value.metadata.get("field", "") == field


async def test_a_reader_freezes_nothing(stub_of):
    request = pb.FreezeMemCubeRequest(name="tenants/acme/cubes/a")
    with use_grant(grant(Action.CUBE_READ, Action.CUBE_USE)), pytest.raises(GrantInvalid):
        await stub_of(INTERFACE).FreezeMemCube(request)


async def test_a_sweep_tells_what_it_did(stub_of):
    with use_grant(grant(Action.CUBE_EXPIRE, issued_to=SCHEDULER)):
        done = await stub_of(SCHEDULER).SweepExpired(pb.SweepExpiredRequest())

    assert (done.expired, done.skipped, done.more) == (1, 0, False)
    assert done.sweep_time.seconds > 0


async def test_an_illegal_move_is_refused_with_both_states(stub_of):
    request = pb.TransitionMemCubeRequest(name="tenants/acme/cubes/gone", target=memcube_pb2.CUBE_STATE_ACTIVATED)

    with use_grant(grant(Action.CUBE_WRITE)), pytest.raises(IllegalTransition) as refused:
        await stub_of(INTERFACE).TransitionMemCube(request)
    assert dict(refused.value.metadata) == {"current": "EXPIRED", "target": "ACTIVATED"}


@pytest.mark.parametrize(
    ("request_", "error", "field"),
    [
        (pb.TransitionMemCubeRequest(target=4), MissingField, "name"),
        (pb.TransitionMemCubeRequest(name="tenants/acme/cubes/a"), MissingField, "target"),
        (pb.TransitionMemCubeRequest(name="cubes/a", target=4), MalformedName, "name"),
        (pb.TransitionMemCubeRequest(name="tenants/acme/cubes/a", target=99), InvalidField, "target"),
        (pb.TransitionMemCubeRequest(name="tenants/acme/cubes/x", target=4), CubeNotFound, ""),
    ],
)
async def test_bad_moves_are_refused_with_the_field(request_, error, field, stub_of):
    with use_grant(grant(Action.CUBE_WRITE)), pytest.raises(error) as refused:
        await stub_of(INTERFACE).TransitionMemCube(request_)
    assert refused.value.metadata.get("field", "") == field


async def test_a_use_names_the_entry_that_cannot_be_read(stub_of):
    refs = [memcube_pb2.CubeRevisionRef(name=name) for name in ("tenants/acme/cubes/a", "tenants/acme")]

    with use_grant(grant(Action.CUBE_USE)), pytest.raises(MalformedName) as refused:
        await stub_of(INTERFACE).RecordUse(pb.RecordUseRequest(cubes=refs))
    assert refused.value.metadata["field"] == "cubes[1].name"


async def test_a_sweep_of_too_many_is_refused(stub_of):
    with use_grant(grant(Action.CUBE_EXPIRE, issued_to=SCHEDULER)), pytest.raises(LimitExceeded):
        await stub_of(SCHEDULER).SweepExpired(pb.SweepExpiredRequest(limit=1_001))


async def test_a_grant_without_the_action_is_refused(stub_of):
    with use_grant(grant(Action.CUBE_READ)), pytest.raises(GrantInvalid):
        await stub_of(INTERFACE).SweepExpired(pb.SweepExpiredRequest())


async def test_a_service_that_has_no_business_here_is_refused(stub_of):
    with use_grant(grant(Action.CUBE_EXPIRE)), pytest.raises(PeerForbidden):
        await stub_of(INFERENCE).SweepExpired(pb.SweepExpiredRequest())


async def test_a_sweep_of_a_vault_tells_what_it_did(stub_of):
    request = pb.SweepVaultRequest(vault="tenants/acme/vaults/main", limit=5)
    request.delete_after.FromTimedelta(timedelta(days=3))

    with use_grant(grant(Action.CUBE_EXPIRE, issued_to=SCHEDULER)):
        done = await stub_of(SCHEDULER).SweepVault(request)

    assert (done.archived, done.deleted, done.skipped, done.more) == (0, 0, 0, False)


async def test_a_sweep_of_a_vault_without_a_name_is_refused(stub_of):
    with use_grant(grant(Action.CUBE_EXPIRE, issued_to=SCHEDULER)), pytest.raises(MissingField) as caught:
        await stub_of(SCHEDULER).SweepVault(pb.SweepVaultRequest())
    assert caught.value.field == "vault"
