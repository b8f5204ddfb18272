"""Following a vault."""

import asyncio
from datetime import timedelta

import pytest

from memos_kernel.changes import ChangeKind
from memos_kernel.errors import ResumeTokenExpired, VaultNotFound
from memos_storage.usecases import watch_cubes
from storage_cubes import MAIN, NOTES, grant


async def watch(world, after=None, *, told=None, seconds=0.0, by=None, vault=MAIN):
    return await world.watch(vault, after=after, told=told, seconds=seconds, grant=by or grant(MAIN))


async def test_it_begins_now_and_goes_on_behind_what_was_told(world):
    await world.add("before")
    changes, place = await watch(world)
    assert changes == ()
    after = await world.add("after")
    changes, place = await watch(world, place)
    assert [(one.kind, one.name) for one in changes] == [(ChangeKind.CREATED, after.name)]
    changes, same = await watch(world, place)
    assert (list(changes), same) == ([], place)


async def test_a_watcher_is_woken_by_a_commit(world, monkeypatch):
    monkeypatch.setattr(watch_cubes, "_LOOK_SECONDS", 60.0)
    _, place = await watch(world)
    waiting = asyncio.create_task(watch(world, place, seconds=20))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    made = await world.add("news")
    world.commits.notify()
    async with asyncio.timeout(15):
        changes, _ = await waiting
    assert [one.name for one in changes] == [made.name]


async def test_what_another_process_wrote_is_seen_at_the_next_look(world):
    _, place = await watch(world)
    waiting = asyncio.create_task(watch(world, place, seconds=20))
    await asyncio.sleep(0.01)
    await world.add("news")
    changes, _ = await waiting
    assert len(changes) == 1


async def test_it_gives_up_after_a_while(world):
    _, place = await watch(world)
    assert await watch(world, place, seconds=0.02) == ([], place)


async def test_a_token_grows_old(world):
    _, place = await watch(world)
    told = world.clock.now()
    world.clock.advance(days=7)
    assert await watch(world, place, told=told)
    world.clock.advance(seconds=1)
    with pytest.raises(ResumeTokenExpired) as caught:
        await watch(world, place, told=told)
    assert caught.value.metadata["field"] == "resume_token"


async def test_only_a_vault_of_the_grant_is_followed(world):
    with pytest.raises(VaultNotFound):
        await watch(world, vault=NOTES)
    _, place = await watch(world)
    await world.add("notes", vault=NOTES)
    assert await watch(world, place, told=world.clock.now() - timedelta(days=1)) == ([], place)
