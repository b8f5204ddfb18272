"""The loop that feeds the vector index: what it does when the index was away."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest

from memos_kernel.errors import DependencyUnavailable
from memos_storage.adapters import background
from memos_storage.adapters.background import AuditLoop, CompareLoop, IndexLoop
from memos_storage.usecases.ship_audit import ShipAudit
from memos_storage.usecases.watch_cubes import ForgetChanges
from storage_cubes import MAIN, scope, vector


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("_LOOK_SECONDS", "_IDLE_LOOK_SECONDS", "_AWAY_SECONDS", "_RETRY_FIRST"):
        monkeypatch.setattr(background, name, 0.005)


@asynccontextmanager
async def running(world, *, compare_seconds=3600, waiting=None):
    loop = IndexLoop(
        follow=world.follow,
        outbox=world.outbox,
        index=world.index,
        batch_rows=9,
        idle_seconds=0,
        delay_seconds=0,
        waiting=[].append if waiting is None else waiting.append,
    )
    compare = CompareLoop(reconcile=world.reconcile, index=world.index, interval_seconds=compare_seconds)
    tasks = [asyncio.create_task(each.run()) for each in (loop, compare)]
    try:
        yield loop
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def held(world):
    return [hit.uid for hit in await world.index.search(vector(1), scope(MAIN), limit=9)]


async def comes(world, *uids):
    async with asyncio.timeout(5):
        while await held(world) != list(uids):
            await asyncio.sleep(0.002)


async def test_what_is_written_reaches_the_index(world):
    waiting = []
    async with running(world, waiting=waiting) as loop:
        cube = await world.add("tea", seed=1)
        loop.notify()
        await comes(world, cube.uid)
        async with asyncio.timeout(5):
            while waiting[-1:] != [0]:  # how many rows wait is told
                await asyncio.sleep(0.002)


async def test_what_nobody_told_of_reaches_the_index_too(world):
    async with running(world):
        await asyncio.sleep(0.02)
        cube = await world.add("tea", seed=1)
        await comes(world, cube.uid)


async def test_an_audit_event_that_nobody_told_of_is_sent_and_an_outage_is_told_once(world, caplog):
    class Ledger:
        def __init__(self):
            self.calls, self.events = 0, []

        async def append(self, events):
            self.calls += 1
            if self.calls < 4:
                raise DependencyUnavailable("Governance does not answer.", dependency="governance")
            self.events += events

    ledger = Ledger()
    loop = AuditLoop(
        ship=ShipAudit(outbox=world.audit, sink=ledger, clock=world.clock),
        forget_changes=ForgetChanges(feed=world.feed, clock=world.clock),
        interval_seconds=0,
    )
    task = asyncio.create_task(loop.run())
    await asyncio.sleep(0.02)
    await world.add("tea", seed=1)
    async with asyncio.timeout(5):
        while not ledger.events:
            await asyncio.sleep(0.002)
    task.cancel()
    assert [event.action for event in ledger.events] == ["cube.create"]
    assert sum(record.levelno >= logging.WARNING for record in caplog.records) == 1


async def test_an_index_that_came_back_empty_between_two_looks_is_filled_again(world):
    async with running(world) as loop:
        cube = await world.add("tea", seed=1)
        loop.notify()
        await comes(world, cube.uid)
        world.index._points.clear()
        world.index.losses += 1
        await comes(world, cube.uid)


async def test_what_got_lost_without_a_sign_is_found_by_the_next_comparison(world, caplog):
    async with running(world, compare_seconds=0.02) as loop:
        cube = await world.add("tea", seed=1)
        loop.notify()
        await comes(world, cube.uid)
        world.index._points.clear()
        await comes(world, cube.uid)
    assert "lacked 1 points" in caplog.text


async def test_the_index_is_in_doubt_until_it_was_compared_and_writers_go_on_meanwhile(world, monkeypatch):
    go, contents = asyncio.Event(), world.index.contents

    async def slow(*args, **options):
        await go.wait()
        return await contents(*args, **options)

    await world.add("coffee", seed=2)
    monkeypatch.setattr(world.index, "contents", slow)
    async with running(world) as loop:
        cube = await world.add("tea", seed=1)
        loop.notify()
        async with asyncio.timeout(5):
            while cube.uid not in await held(world):
                await asyncio.sleep(0.002)
        assert "compared" in world.reconcile.doubt
        go.set()
        async with asyncio.timeout(5):
            while world.reconcile.doubt:
                await asyncio.sleep(0.002)
