"""What other services see of storage, through the runtime's server, with its real catalogue and vector server."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from hosting import hosted
from memos_api.internal.v1 import (
    grant_pb2,
    inference_service_pb2,
    purge_service_pb2_grpc,
    snapshot_service_pb2_grpc,
    storage_service_pb2_grpc,
)
from memos_api.internal.v1 import purge_service_pb2 as internal_purges
from memos_api.internal.v1 import snapshot_service_pb2 as internal_snapshots
from memos_api.internal.v1 import storage_service_pb2 as pb
from memos_api.v1 import memcube_pb2
from memos_api.v1 import memory_service_pb2 as public
from memos_api.v1 import purge_service_pb2 as purges
from memos_api.v1 import snapshot_service_pb2 as snapshots
from memos_kernel.errors import (
    ContentPurged,
    CountMismatch,
    CubeNotFound,
    DuplicateContent,
    EtagMismatch,
    GrantInvalid,
    ImmutableField,
    InvalidField,
    LimitExceeded,
    MalformedName,
    MissingField,
    PageTokenMismatch,
    PeerForbidden,
    RequestIdReused,
    ResourceExists,
    ResourceNotFound,
    VaultNotFound,
)
from memos_kernel.ids import SystemClock, uuid7
from memos_kernel.names import PrincipalName, VaultName
from memos_kernel.permission import ROLE_ACTIONS, Action, Grant, Role
from memos_runtime.channels import ChannelPool, Channels
from memos_runtime.context import use_grant
from memos_runtime.service import ServiceContext
from memos_runtime.telemetry import Telemetry
from memos_storage.config import StorageConfig
from memos_storage.wiring import build
from memos_wire.errors import error_of
from memos_wire.grants import GrantSigner, GrantVerifier
from storage_cubes import DIMENSIONS, EMBEDDER, vector

TOKEN = "a shared secret"
MAIN, NOTES, FOREIGN = "tenants/acme/vaults/main", "tenants/acme/vaults/notes", "tenants/globex/vaults/main"
WRITER, OWNER = ROLE_ACTIONS[Role.WRITER], ROLE_ACTIONS[Role.OWNER]


@dataclass
class Served:
    """A running storage, and how two other services reach it."""

    service: object
    signer: GrantSigner
    verifier: GrantVerifier
    interface: storage_service_pb2_grpc.StorageServiceStub
    lifecycle: storage_service_pb2_grpc.StorageServiceStub
    snapshots: snapshot_service_pb2_grpc.SnapshotServiceStub
    restorer: snapshot_service_pb2_grpc.SnapshotServiceStub
    purges: purge_service_pb2_grpc.PurgeServiceStub
    purger: purge_service_pb2_grpc.PurgeServiceStub

    def grant(self, *vaults, actions=WRITER, principal=""):
        tenant = vaults[0].split("/")[1] if vaults else "acme"
        grant = Grant(
            id=uuid7(),
            principal=PrincipalName.parse(principal or f"tenants/{tenant}/principals/ben"),
            issued_to="interface",
            vaults=frozenset(VaultName.parse(vault) for vault in vaults),
            all_vaults=False,
            actions=frozenset(actions),
            policy_epoch=1,
            expire_time=SystemClock().now() + timedelta(seconds=50),
        )
        return self.verifier.verify(self.signer.sign(grant, clock=SystemClock()).SerializeToString())

    @contextmanager
    def acting(self, *vaults, **options):
        with use_grant(self.grant(*(vaults or (MAIN,)), **options)):
            yield

    async def create(self, *items, **fields):
        return await self.interface.BatchCreateMemCubes(
            pb.BatchCreateMemCubesRequest(items=items, embedder=EMBEDDER, **fields)
        )

    async def add(self, text, seed=1, **fields):
        answer = await self.create(new(text, seed, **fields))
        return result_of(answer.results[0])

    async def get(self, name, **fields):
        answer = await self.interface.BatchGetMemCubes(pb.BatchGetMemCubesRequest(names=[name], **fields))
        return result_of(answer.results[0])

    async def search(self, query="?", seed=None, **fields):
        embedding = embedding_of(seed) if seed is not None else None
        return await self.interface.SearchMemCubes(
            pb.SearchMemCubesRequest(query=query, embedding=embedding, embedder=EMBEDDER, **fields)
        )

    async def healthy(self):
        for _ in range(300):
            if self.service.parts["milvus"]():
                return
            await asyncio.sleep(0.1)
        raise AssertionError("the vector server does not come up")


def embedding_of(seed, dimensions=DIMENSIONS):
    return inference_service_pb2.Embedding(values=vector(seed, dimensions=dimensions).values)


def new(text, seed=1, vault=MAIN, id="", **fields):
    name = f"{vault.split('/vaults/')[0]}/cubes/{id or uuid7()}"
    cube = memcube_pb2.MemCube(name=name, vault=vault, plaintext={"text": text}, **fields)
    return pb.NewMemCube(cube=cube, embedding=embedding_of(seed))


def result_of(result):
    if result.WhichOneof("result") == "error":
        raise error_of(result.error)
    return result.cube


def key(request_id, body="aa", method="AddMemories"):
    name = f"/memos.v1.MemoryService/{method}"
    return grant_pb2.RequestKey(request_id=request_id, method=name, body_sha256=body)


def stamp(moment):
    made = Timestamp()
    made.FromDatetime(moment)
    return made


@pytest.fixture
async def served(tmp_path):
    """Storage whose vector server is away, which only a few of the tests need."""
    config = StorageConfig(milvus_uri=f"unix:{tmp_path}/nobody", milvus_timeout_seconds=0.5)
    async with serving(tmp_path, config) as made:
        yield made


@pytest.fixture
async def indexed(tmp_path):
    """Storage with its vector server."""
    async with serving(tmp_path, StorageConfig(index_idle_seconds=0.1)) as made:
        yield made


@asynccontextmanager
async def serving(tmp_path, config):
    clock, key, telemetry = SystemClock(), Ed25519PrivateKey.generate(), Telemetry()
    verifier = GrantVerifier([key.public_key()], clock=clock)
    (tmp_path / "storage").mkdir(mode=0o700)
    context = ServiceContext(
        name="storage",
        state_dir=tmp_path / "storage",
        channels=Channels(service="storage", pool=ChannelPool({}), telemetry=telemetry, peer_token=TOKEN),
        clock=clock,
        telemetry=telemetry,
        verifier=verifier,
    )
    service = build(config, context)
    async with hosted(service, verifier=verifier, clock=clock, token=TOKEN, telemetry=telemetry) as channels:
        interface, lifecycle = (
            channels(name).stub(storage_service_pb2_grpc.StorageServiceStub, "storage")
            for name in ("interface", "lifecycle")
        )
        snapshots, restorer = (
            channels(name).stub(snapshot_service_pb2_grpc.SnapshotServiceStub, "storage")
            for name in ("interface", "scheduler")
        )
        purges, purger = (
            channels(name).stub(purge_service_pb2_grpc.PurgeServiceStub, "storage")
            for name in ("interface", "scheduler")
        )
        yield Served(service, GrantSigner(key), verifier, interface, lifecycle, snapshots, restorer, purges, purger)


async def test_a_cube_goes_in_and_comes_back(served):
    with served.acting():
        made = await served.add("Nora moved to Oslo.", labels={"a": "b"})
        assert (made.revision, made.state, made.access.owner) == (1, 1, "tenants/acme/principals/ben")
        assert list(made.access.permitted_actions) == sorted(WRITER)
        assert await served.get(made.name) == made
        header = await served.get(made.name, view=memcube_pb2.CUBE_VIEW_BASIC)
        assert not header.HasField("plaintext")
        assert header.labels == {"a": "b"}


async def test_a_new_cube_is_found_by_the_next_search_with_the_vector_server_up_or_not(indexed):
    with indexed.acting():
        made = await indexed.add("Nora moved to Oslo.", seed=1)
        answer = await indexed.search("Oslo", seed=1)
        assert [hit.cube for hit in answer.hits] == [made]
        assert {"lexical", "pending"} <= set(answer.hits[0].leg_scores)
        await indexed.healthy()
        for _ in range(100):
            answer = await indexed.search("Oslo", seed=1)
            if set(answer.hits[0].leg_scores) == {"lexical", "dense"}:
                break
            await asyncio.sleep(0.1)
        assert "pending" not in answer.hits[0].leg_scores
        assert not answer.degraded
        assert [leg.name for leg in answer.legs] == ["dense", "pending", "lexical"]


async def test_a_vector_server_that_dies_costs_nothing_but_a_note(indexed):
    await indexed.healthy()
    with indexed.acting():
        first = await indexed.add("tea", seed=1)
        storage = indexed.service.start.__self__
        os.kill(storage._server.pid, signal.SIGKILL)
        second = await indexed.add("coffee", seed=2)
        for _ in range(100):
            answer = await indexed.search("?", seed=2)
            assert second.name in [hit.cube.name for hit in answer.hits]
            if answer.degraded:
                break
            await asyncio.sleep(0.02)
        assert answer.degraded
        (dense,) = [leg for leg in answer.legs if leg.name == "dense"]
        assert not dense.ran
        assert "does not answer" in dense.reason
        assert indexed.service.ready()
        await indexed.healthy()
        async with asyncio.timeout(30):
            while (answer := await indexed.search("?", seed=2)).degraded:
                await asyncio.sleep(0.1)
        assert {first.name, second.name} == {hit.cube.name for hit in answer.hits}


async def test_a_vector_server_that_hangs_is_not_waited_for(tmp_path):
    config = StorageConfig(hot_rows=0, index_idle_seconds=0.1, milvus_search_seconds=1)
    async with serving(tmp_path, config) as hanging:
        await hanging.healthy()
        child = hanging.service.start.__self__._server.pid
        with hanging.acting():
            made = await hanging.add("green tea", seed=1)
            while set((await hanging.search("tea", seed=1)).hits[0].leg_scores) != {"lexical", "dense"}:
                await asyncio.sleep(0.1)
            os.kill(child, signal.SIGSTOP)
            try:
                async with asyncio.timeout(15):
                    while not (answer := await hanging.search("tea", seed=1)).degraded:
                        pass
            finally:
                os.kill(child, signal.SIGCONT)
            assert [hit.cube.name for hit in answer.hits] == [made.name]
            assert set(answer.hits[0].leg_scores) == {"lexical"}
            async with asyncio.timeout(30):
                while (await hanging.search("tea", seed=1)).degraded:
                    await asyncio.sleep(0.1)


async def test_each_item_of_a_batch_has_its_own_status(served):
    with served.acting():
        answer = await served.create(
            new("one"),
            new("one"),
            new("elsewhere", vault=NOTES),
            pb.NewMemCube(cube=memcube_pb2.MemCube(name="nonsense", vault=MAIN, plaintext={"text": "x"})),
            pb.NewMemCube(
                cube=memcube_pb2.MemCube(name="tenants/acme/cubes/x", vault=MAIN, plaintext={"text": "x"}),
                embedding=inference_service_pb2.Embedding(values=[float("nan")] * DIMENSIONS),
            ),
        )
    assert [result.created for result in answer.results] == [True, False, False, False, False]
    for result, error in zip(
        answer.results[1:], (DuplicateContent, VaultNotFound, MalformedName, InvalidField), strict=True
    ):
        with pytest.raises(error):
            result_of(result)


async def test_a_repeated_request_is_answered_again_and_another_body_refused(served):
    with served.acting():
        first = await served.create(new("once"), request_key=key("r1"))
        assert await served.create(new("other"), request_key=key("r1")) == first
        with pytest.raises(RequestIdReused):
            await served.create(new("once"), request_key=key("r1", "bb"))
    with served.acting(NOTES), pytest.raises(CubeNotFound):
        await served.create(new("once"), request_key=key("r1"))


async def test_pages_are_bound_to_their_call(served):
    with served.acting():
        for number in range(5):
            await served.add(f"note {number}", seed=number)

        async def page(**fields):
            return await served.interface.ListMemCubes(pb.ListMemCubesRequest(vault=MAIN, **fields))

        first = await page(page_size=2)
        second = await page(page_size=2, page_token=first.next_page_token)
        third = await page(page_size=2, page_token=second.next_page_token)
        names = [cube.name for answer in (first, second, third) for cube in answer.cubes]
        assert len(set(names)) == 5
        assert not third.next_page_token
        assert not first.cubes[0].HasField("plaintext")
        with pytest.raises(PageTokenMismatch):
            await page(page_token=first.next_page_token, filter=public.CubeFilter(labels={"a": "b"}))
    with served.acting(principal="tenants/acme/principals/eve"), pytest.raises(PageTokenMismatch):
        await served.interface.ListMemCubes(
            pb.ListMemCubesRequest(vault=MAIN, page_size=2, page_token=first.next_page_token)
        )


async def test_an_update_makes_a_revision_and_an_old_etag_loses(served):
    with served.acting():
        made = await served.add("tea")
        wanted = memcube_pb2.MemCube(name=made.name, etag=made.etag, plaintext={"text": "coffee"})
        request = pb.UpdateMemCubeRequest(
            cube=wanted,
            update_mask=FieldMask(paths=["plaintext.text"]),
            embedding=embedding_of(2),
            embedder=EMBEDDER,
        )
        changed = (await served.interface.UpdateMemCube(request)).cube
        assert (changed.plaintext.text, changed.revision) == ("coffee", 2)
        with pytest.raises(EtagMismatch):
            await served.interface.UpdateMemCube(request)
        with pytest.raises(ImmutableField):
            await served.interface.UpdateMemCube(
                pb.UpdateMemCubeRequest(cube=wanted, update_mask=FieldMask(paths=["*"]))
            )


async def test_a_cube_is_read_as_it_was_and_taken_back(served):
    with served.acting():
        made = await served.add("tea")
        request = pb.UpdateMemCubeRequest(
            cube=memcube_pb2.MemCube(name=made.name, plaintext={"text": "coffee"}),
            update_mask=FieldMask(paths=["plaintext.text"]),
            embedding=embedding_of(2),
            embedder=EMBEDDER,
        )
        await served.interface.UpdateMemCube(request)
        then = made.update_time
        got = await served.interface.BatchGetMemCubes(pb.BatchGetMemCubesRequest(names=[made.name], as_of=then))
        assert got.results[0].cube.plaintext.text == "tea"
        listed = await served.interface.ListMemCubes(pb.ListMemCubesRequest(vault=MAIN, as_of=then))
        assert [cube.revision for cube in listed.cubes] == [1]
        search = pb.SearchMemCubesRequest(query="tea", embedding=embedding_of(1), embedder=EMBEDDER, as_of=then)
        found = await served.interface.SearchMemCubes(search)
        assert [hit.cube.plaintext.text for hit in found.hits] == ["tea"]
        assert [leg.name for leg in found.legs] == ["dense", "pending", "past", "lexical"]
        first = await served.interface.ListMemCubeRevisions(pb.ListMemCubeRevisionsRequest(name=made.name, page_size=1))
        second = await served.interface.ListMemCubeRevisions(
            pb.ListMemCubeRevisionsRequest(name=made.name, page_size=1, page_token=first.next_page_token)
        )
        assert [cube.revision for cube in (*first.revisions, *second.revisions)] == [2, 1]
        assert not second.next_page_token
        with pytest.raises(PageTokenMismatch):
            await served.interface.ListMemCubeRevisions(
                pb.ListMemCubeRevisionsRequest(name=f"{made.name}x", page_token=first.next_page_token)
            )
        compared = await served.interface.DiffMemCubeRevisions(pb.DiffMemCubeRevisionsRequest(name=made.name))
        assert (compared.before.plaintext.text, compared.after.plaintext.text) == ("tea", "coffee")
        assert compared.changed.paths == ["plaintext.text"]
        back = await served.interface.RollbackMemCube(pb.RollbackMemCubeRequest(name=made.name, revision=1))
        assert (back.cube.plaintext.text, back.cube.revision, back.cube.parent_revisions) == ("tea", 3, [2, 1])


async def test_snapshots_are_kept_paged_and_forgotten(served):
    async def create(**fields):
        request = snapshots.CreateSnapshotRequest(snapshot=snapshots.Snapshot(vault=MAIN, **fields))
        answer = await served.snapshots.CreateSnapshot(internal_snapshots.CreateSnapshotRequest(request=request))
        return answer.response.snapshot

    async def page(token=""):
        request = snapshots.ListSnapshotsRequest(vault=MAIN, page_size=1, page_token=token)
        return (await served.snapshots.ListSnapshots(internal_snapshots.ListSnapshotsRequest(request=request))).response

    def named(name):
        return internal_snapshots.GetSnapshotRequest(request=snapshots.GetSnapshotRequest(name=name))

    with served.acting():
        first = await create(name="tenants/acme/snapshots/one", display_name="One")
        second = await create()
        assert (first.vault, first.display_name, first.creator) == (MAIN, "One", "tenants/acme/principals/ben")
        assert (await served.snapshots.GetSnapshot(named(first.name))).response.snapshot == first
        newest = await page()
        oldest = await page(newest.next_page_token)
        assert [one.name for one in (*newest.snapshots, *oldest.snapshots)] == [second.name, first.name]
        assert not oldest.next_page_token
        with pytest.raises(ResourceExists):
            await create(name=first.name)
        delete = internal_snapshots.DeleteSnapshotRequest(request=snapshots.DeleteSnapshotRequest(name=first.name))
        await served.snapshots.DeleteSnapshot(delete)
        with pytest.raises(ResourceNotFound):
            await served.snapshots.GetSnapshot(named(first.name))
    with served.acting(FOREIGN), pytest.raises(ResourceNotFound):
        await served.snapshots.GetSnapshot(named(second.name))


async def test_the_scheduler_alone_takes_cubes_back(served):
    def restore(phase, **fields):
        options = {"vault": MAIN, "as_of": stamp(then), "begin_time": stamp(SystemClock().now()), "limit": 9, **fields}
        return internal_snapshots.RestoreMemCubesRequest(phase=phase, **options)

    with served.acting():
        old = await served.add("tea")
        then = old.update_time.ToDatetime(tzinfo=UTC)
        new = await served.add("coffee", seed=2)
        await served.interface.DeleteMemCube(pb.DeleteMemCubeRequest(name=old.name))
        removed = await served.restorer.RestoreMemCubes(restore(internal_snapshots.RESTORE_PHASE_REMOVE))
        brought = await served.restorer.RestoreMemCubes(restore(internal_snapshots.RESTORE_PHASE_BRING_BACK))
        assert (removed.changed, brought.changed, removed.last, brought.last) == (1, 1, "", "")
        assert (await served.get(old.name)).plaintext.text == "tea"
        with pytest.raises(CubeNotFound):
            await served.get(new.name)
        with pytest.raises(InvalidField):
            await served.restorer.RestoreMemCubes(restore(7))
        with pytest.raises(MissingField):
            await served.restorer.RestoreMemCubes(restore(1, as_of=None))
        with pytest.raises(PeerForbidden):
            await served.snapshots.RestoreMemCubes(restore(1))
    with served.acting(actions={Action.CUBE_READ}), pytest.raises(GrantInvalid):
        await served.restorer.RestoreMemCubes(restore(1))


def purge_of(*names, **fields):
    wanted = {"vault": MAIN, "names": names, "expected_count": len(names), **fields}
    return internal_purges.PlanPurgeRequest(request=purges.PurgeMemoriesRequest(**wanted))


async def run_purge(indexed, name):
    for _ in range(100):
        step = await indexed.purger.RunPurge(internal_purges.RunPurgeRequest(name=name))
        if step.purge.state == purges.PURGE_STATE_DONE:
            return
        await asyncio.sleep(step.wait_seconds)
    raise AssertionError(name)


async def test_what_is_purged_leaves_a_signed_receipt_and_does_not_come_back(indexed):
    await indexed.healthy()
    with indexed.acting(actions=OWNER):
        made = await indexed.add("tea")
        kept = await indexed.add("coffee", seed=2)
        counted = (await indexed.purges.PlanPurge(purge_of(made.name, validate_only=True))).response
        assert (counted.count, list(counted.sample), counted.HasField("purge")) == (1, [made.name], False)
        planned = (await indexed.purges.PlanPurge(purge_of(made.name, reason="a mistake"))).response
        assert (planned.count, planned.purge.state) == (1, purges.PURGE_STATE_ERASING)
        with pytest.raises(CubeNotFound):
            await indexed.get(made.name)
        await run_purge(indexed, planned.purge.name)
        get = internal_purges.GetPurgeRequest(request=purges.GetPurgeRequest(name=planned.purge.name))
        done = (await indexed.purges.GetPurge(get)).response.purge
        key = Ed25519PublicKey.from_public_bytes(done.receipt.public_key)
        key.verify(done.receipt.signature, done.receipt.statement)
        assert made.uid.encode() in done.receipt.statement
        assert (done.reason, done.cube_count, done.principal) == ("a mistake", 1, "tenants/acme/principals/ben")
        listed = internal_purges.ListPurgesRequest(request=purges.ListPurgesRequest(vault=MAIN))
        (one,) = (await indexed.purges.ListPurges(listed)).response.purges
        assert (one.name, one.HasField("receipt")) == (done.name, False)
        assert (await indexed.get(kept.name)).plaintext.text == "coffee"
        with pytest.raises(ContentPurged):
            await indexed.add("TEA ")
        lift = internal_purges.LiftPurgeRequest(request=purges.LiftPurgeRequest(name=done.name))
        assert (await indexed.purges.LiftPurge(lift)).response.purge.HasField("lift_time")
        assert await indexed.add("tea")
    with indexed.acting(FOREIGN), pytest.raises(ResourceNotFound):
        await indexed.purges.GetPurge(get)


async def test_a_purge_needs_an_owner_and_is_run_by_the_scheduler_alone(indexed):
    await indexed.healthy()
    with indexed.acting():
        made = await indexed.add("tea")
        with pytest.raises(GrantInvalid):
            await indexed.purges.PlanPurge(purge_of(made.name))
    with indexed.acting(actions=OWNER):
        with pytest.raises(CountMismatch):
            await indexed.purges.PlanPurge(purge_of(made.name, expected_count=2))
        with pytest.raises(MissingField):
            await indexed.purges.PlanPurge(purge_of(filter=public.CubeFilter(), expected_count=1))
        planned = (await indexed.purges.PlanPurge(purge_of(made.name))).response
        with pytest.raises(PeerForbidden):
            await indexed.purges.RunPurge(internal_purges.RunPurgeRequest(name=planned.purge.name))
    with indexed.acting(), pytest.raises(GrantInvalid):
        await indexed.purger.RunPurge(internal_purges.RunPurgeRequest(name=planned.purge.name))
    with indexed.acting(actions={Action.CUBE_EXPIRE}):
        assert not (await indexed.purger.PlanDuePurge(internal_purges.PlanDuePurgeRequest())).HasField("purge")
        await run_purge(indexed, planned.purge.name)


async def test_a_vault_is_followed_and_a_token_fits_one_vault_and_caller(served):
    async def follow(token="", **fields):
        request = pb.ListMemCubeChangesRequest(**{"vault": MAIN, "resume_token": token, **fields})
        return await served.interface.ListMemCubeChanges(request)

    with served.acting():
        begun = await follow()
        assert not begun.changes
        waiting = asyncio.create_task(follow(begun.resume_token, wait_seconds=20, view=memcube_pb2.CUBE_VIEW_FULL))
        await asyncio.sleep(0.05)
        made = await served.add("tea")
        (change,) = (await waiting).changes
        assert (change.kind, change.name, change.cube.plaintext.text) == (public.CHANGE_KIND_CREATED, made.name, "tea")
        (header,) = (await follow(begun.resume_token)).changes
        assert not header.cube.HasField("plaintext")
        for token in ("nonsense", begun.resume_token[:-2]):
            with pytest.raises(PageTokenMismatch) as caught:
                await follow(token)
            assert caught.value.metadata["field"] == "resume_token"
    with served.acting(MAIN, NOTES), pytest.raises(PageTokenMismatch):
        await follow(begun.resume_token, vault=NOTES)
    with served.acting(principal="tenants/acme/principals/eve"), pytest.raises(PageTokenMismatch):
        await follow(begun.resume_token)
    with served.acting(NOTES), pytest.raises(VaultNotFound):
        await follow()


async def test_a_deleted_cube_is_gone(served):
    with served.acting():
        made = await served.add("tea")
        answer = await served.interface.DeleteMemCube(pb.DeleteMemCubeRequest(name=made.name, etag=made.etag))
        gone = answer.cube
        assert gone.purge_time.ToDatetime() - gone.delete_time.ToDatetime() == timedelta(days=30)
        with pytest.raises(CubeNotFound):
            await served.get(made.name)
        assert not (await served.search("tea", seed=1)).hits
        undelete = pb.UndeleteMemCubeRequest(name=made.name, etag=gone.etag)
        back = (await served.interface.UndeleteMemCube(undelete)).cube
        assert (back.revision, back.HasField("delete_time"), back.WhichOneof("payload")) == (3, False, None)
        assert (await served.get(made.name)).plaintext.text == "tea"
        assert len((await served.search("tea", seed=1)).hits) == 1
        with pytest.raises(ResourceExists):
            await served.interface.UndeleteMemCube(pb.UndeleteMemCubeRequest(name=made.name))


async def test_lifecycle_alone_moves_cubes_and_counts_uses(served):
    with served.acting():
        made = await served.add("tea")
        decided = memcube_pb2.MemCube(name=made.name, vault=made.vault, state=memcube_pb2.CUBE_STATE_ACTIVATED)
        request = pb.ApplyTransitionRequest(cube=decided, expected_revision=1, reason="used")
        with pytest.raises(PeerForbidden):
            await served.interface.ApplyTransition(request)
        moved = (await served.lifecycle.ApplyTransition(request)).cube
        assert (moved.state, moved.revision) == (memcube_pb2.CUBE_STATE_ACTIVATED, 2)
        uses = pb.RecordUsageRequest(uses=[pb.CubeUse(name=made.name, time=stamp(SystemClock().now()))])
        (used,) = (await served.lifecycle.RecordUsage(uses)).cubes
        assert (used.usage.hits, used.revision) == (1, 2)
        assert used.usage.heat == pytest.approx(1.0, abs=1e-3)


async def test_due_cubes_are_listed_for_the_sweep(served):
    later = SystemClock().now() + timedelta(hours=1)
    with served.acting():
        made = await served.add("milk", expire_time=stamp(later))
    with served.acting(actions={Action.CUBE_EXPIRE}):
        request = pb.ListDueMemCubesRequest(due_time=stamp(later), limit=10)
        assert [cube.name for cube in (await served.lifecycle.ListDueMemCubes(request)).cubes] == [made.name]


async def test_a_grant_is_the_filter_and_another_tenants_cube_is_not_there(served):
    with served.acting():
        made = await served.add("tea", id="mine")
    for vaults in ((NOTES,), (FOREIGN,)):
        with served.acting(*vaults):
            with pytest.raises(CubeNotFound) as hidden:
                await served.get(made.name)
            with pytest.raises(CubeNotFound) as missing:
                await served.get(made.name.replace("mine", "none"))
            assert hidden.value.message.replace("mine", "none") == missing.value.message
            assert not (await served.search("tea", seed=1)).hits
            with pytest.raises(VaultNotFound):
                await served.search("tea", vaults=[MAIN])
    with served.acting(FOREIGN):
        assert (await served.add("tea", vault=FOREIGN, id="mine")).name != made.name


async def test_a_call_without_the_action_is_refused(served):
    with served.acting(actions={Action.CUBE_READ}), pytest.raises(GrantInvalid):
        await served.create(new("tea"))
    with pytest.raises(GrantInvalid):
        await served.search("tea")


async def test_unknown_enum_values_and_absurd_times_are_named(served):
    with served.acting():
        with pytest.raises(InvalidField) as caught:
            await served.search("tea", filter=public.CubeFilter(states=[99]))
        assert caught.value.field == "filter.states[0]"
        with pytest.raises(InvalidField):
            await served.add("tea", semantic_type=99)
        with pytest.raises(InvalidField):
            await served.search("tea", view=9)


async def test_what_was_made_from_cubes_is_listed_with_its_payload(served):
    with served.acting():
        tea = await served.add("tea")
        answer = await served.interface.ListDerivedMemCubes(
            pb.ListDerivedMemCubesRequest(names=[tea.name], kind=memcube_pb2.CUBE_KIND_ACTIVATION)
        )
        assert not answer.cubes
        for fields, error in [
            ({"names": []}, MissingField),
            ({"names": ["x"]}, MalformedName),
            ({"names": [tea.name] * 101}, LimitExceeded),
            ({"kind": memcube_pb2.CUBE_KIND_PLAINTEXT}, InvalidField),
        ]:
            asked = {"names": [tea.name], "kind": memcube_pb2.CUBE_KIND_ACTIVATION, **fields}
            with pytest.raises(error):
                await served.interface.ListDerivedMemCubes(pb.ListDerivedMemCubesRequest(**asked))
