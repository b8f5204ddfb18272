"""Erasing step by step, and the receipt."""

import json
from datetime import timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from memos_kernel.errors import DependencyUnavailable, GrantInvalid, ResourceNotFound
from memos_kernel.names import PurgeName
from memos_kernel.permission import Action
from memos_storage.domain.purges import PurgeState, Reach
from memos_storage.usecases.plan_purge import PurgeRequest
from storage_cubes import DIMENSIONS, EMBEDDER, MAIN, NOTES, NOW, grant
from storage_world import mutation

PURGER = grant(MAIN, actions=frozenset({Action.CUBE_PURGE}))


async def plan(world, *cubes, **fields):
    wished = PurgeRequest(vault=MAIN, names=[cube.name for cube in cubes], expected=len(cubes), **fields)
    return (await world.plan_purge(wished, mutation=mutation())).purge


async def run(world, purge, *, steps=50):
    for _ in range(steps):
        step = await world.run_purge(purge.name, mutation=mutation(PURGER))
        if step.purge.state is PurgeState.DONE:
            return step.purge
        world.clock.advance(seconds=step.wait_seconds)
    raise AssertionError(step)


async def test_a_purge_ends_with_a_receipt_that_anyone_can_check(world):
    doomed, kept = await world.add("a secret"), await world.add("no matter")
    await world.follow()
    done = await run(world, await plan(world, doomed, reason="ünwanted"))
    key = Ed25519PublicKey.from_public_bytes(done.receipt.public_key)
    key.verify(done.receipt.signature, done.receipt.statement)
    with pytest.raises(InvalidSignature):
        key.verify(done.receipt.signature, done.receipt.statement.replace(b"secret", b"public") + b" ")
    said = json.loads(done.receipt.statement)
    assert said["form"] == "memos.deletion-receipt.v1"
    assert said["cubes"] == [{"name": str(doomed.name), "uid": doomed.uid, "revisions": 1}]
    assert (said["purge"], said["vault"], said["reason"]) == (str(done.name), str(MAIN), "ünwanted")
    assert said["requested"] == "2026-03-02T12:00:00.123Z"
    tiers = {tier["tier"]: tier for tier in said["tiers"]}
    assert set(tiers) >= {"catalogue", f"vector index, {EMBEDDER}", "database files", "job queue", "snapshots"}
    assert any("Backups" in line for line in said["out_of_reach"])
    assert b"secret" not in done.receipt.statement
    assert await world.index.contents(EMBEDDER, DIMENSIONS, after="", until=None) == [(kept.uid, 1)]
    assert not world.catalog.tables.history.get(doomed.uid)
    actions = [event.action for event in world.catalog.tables.audit]
    assert actions[-3:] == ["purge.plan", "cube.purge", "purge.finish"]


async def test_many_cubes_go_in_pages(world):
    await world.create_crowd(250)
    cubes = [row.cube for row in world.catalog.tables.cubes.values()]
    purge = await plan(world, *cubes)
    step = await world.run_purge(purge.name, mutation=mutation(PURGER))
    assert (step.remaining, step.purge.state) == (50, PurgeState.ERASING)
    step = await world.run_purge(purge.name, mutation=mutation(PURGER))
    assert (step.remaining, step.purge.state) == (0, PurgeState.ERASED)
    done = await run(world, purge)
    assert len(json.loads(done.receipt.statement)["cubes"]) == 250
    again = await world.run_purge(purge.name, mutation=mutation(PURGER))
    assert again.purge == done


async def test_while_the_index_is_away_nothing_is_signed(world):
    doomed = await world.add("a secret")
    await world.follow()
    purge = await plan(world, doomed)
    await world.run_purge(purge.name, mutation=mutation(PURGER))
    world.index.away = True
    with pytest.raises(DependencyUnavailable):
        await world.run_purge(purge.name, mutation=mutation(PURGER))
    world.index.away = False
    assert (await run(world, purge)).receipt


async def test_a_worker_that_stalled_cannot_leave_a_point_behind(world):
    doomed = await world.add("a secret")
    claim = await world.outbox.claim(limit=9, lease_seconds=10, now=world.clock.now())
    purge = await plan(world, doomed)
    step = await world.run_purge(purge.name, mutation=mutation(PURGER))
    assert (step.remaining, step.wait_seconds) == (1, 1.0)
    world.clock.advance(seconds=11)
    await world.run_purge(purge.name, mutation=mutation(PURGER))
    await world.index.put([entry.point for entry in claim.entries])  # it wakes up
    done = await run(world, purge)
    assert done.receipt
    assert await world.index.held(EMBEDDER, DIMENSIONS, [(doomed.uid, 1)]) == []
    assert not await world.outbox.settle(claim)


async def test_a_point_that_comes_back_is_waited_for(world, monkeypatch):
    doomed = await world.add("a secret")
    await world.follow()
    purge = await plan(world, doomed)
    await world.run_purge(purge.name, mutation=mutation(PURGER))
    held = world.index.held

    async def back(embedder, dimensions, ids):
        monkeypatch.setattr(world.index, "held", held)
        return list(ids)

    monkeypatch.setattr(world.index, "held", back)
    step = await world.run_purge(purge.name, mutation=mutation(PURGER))
    assert (step.purge.state, step.wait_seconds) == (PurgeState.ERASED, 1.0)
    assert await run(world, purge)


async def test_a_reader_of_an_old_moment_is_waited_for(world, monkeypatch):
    purge = await plan(world, await world.add("a secret"))
    answers = [None, Reach("database files", "done", remains="much", until=NOW + timedelta(days=1))]

    async def scrub():
        return answers.pop(0)

    monkeypatch.setattr(world.catalog, "scrub", scrub)
    await world.run_purge(purge.name, mutation=mutation(PURGER))
    step = await world.run_purge(purge.name, mutation=mutation(PURGER))
    assert (step.purge.state, step.wait_seconds) == (PurgeState.ERASED, 1.0)
    done = await run(world, purge)
    (files,) = (tier for tier in json.loads(done.receipt.statement)["tiers"] if tier["tier"] == "database files")
    assert files == {
        "tier": "database files",
        "done": "done",
        "remains": "much",
        "until": "2026-03-03T12:00:00.123Z",
    }


async def test_only_who_may_goes_on_with_a_purge(world):
    purge = await plan(world, await world.add("a secret"))
    with pytest.raises(GrantInvalid):
        await world.run_purge(purge.name, mutation=mutation())
    for by in (grant(NOTES, actions=frozenset({Action.CUBE_PURGE})),):
        with pytest.raises(ResourceNotFound):
            await world.run_purge(purge.name, mutation=mutation(by))
    with pytest.raises(ResourceNotFound):
        await world.run_purge(PurgeName("acme", "none"), mutation=mutation(PURGER))
    sweep = grant(MAIN, actions=frozenset({Action.CUBE_EXPIRE}), all_vaults=True)
    assert (await world.run_purge(purge.name, mutation=mutation(sweep))).purge.state is PurgeState.ERASED


async def test_a_worker_that_comes_late_changes_nothing(world, monkeypatch):
    purge = await plan(world, await world.add("a secret"))
    await world.run_purge(purge.name, mutation=mutation(PURGER))
    purged, signed = world.catalog.purged, []

    async def overtaken(name):
        found = await purged(name)
        monkeypatch.setattr(world.catalog, "purged", purged)
        signed.append((await run(world, purge)).receipt)
        return found

    monkeypatch.setattr(world.catalog, "purged", overtaken)
    late = await world.run_purge(purge.name, mutation=mutation(PURGER))
    assert late.purge.receipt == signed[0]
