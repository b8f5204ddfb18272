"""What every Outbox and AuditOutbox does with what the catalogue puts in."""

from datetime import timedelta

from memos_kernel.requests import RequestKey
from memos_storage.domain import revisions
from memos_storage.domain.values import Answer, AuditEvent, RequestOwner, Waiting
from storage_cubes import (
    EMBEDDER,
    NOW,
    change,
    put,
    retold,
    stored,
    vector,
)


async def expected(store, *, after="", limit=9):
    return await store.outbox.expected(EMBEDDER, after=after, limit=limit)


async def test_what_is_written_waits_for_the_index_in_order(store):
    cubes = [stored(f"note {number}") for number in range(3)]
    await put(store, *cubes, seed=1)
    waiting = await store.outbox.waiting(known=frozenset())
    assert [point.uid for point in waiting.points] == [cube.uid for cube in cubes]
    assert [point.sequence for point in waiting.points] == sorted(waiting.sequences)
    assert waiting.points[0].vector.values.tolist() == vector(1).values.tolist()
    assert await store.outbox.waiting(known=waiting.sequences) == Waiting(waiting.sequences, ())
    first = waiting.points[0].sequence
    assert [point.uid for point in (await store.outbox.waiting(known={first})).points] == [cubes[1].uid, cubes[2].uid]
    assert await store.catalog.write(lambda tx: tx.pending()) == 3


async def test_a_claim_holds_its_entries_until_the_lease_ends(store):
    cubes = [stored(f"note {number}") for number in range(3)]
    await put(store, *cubes, seed=1)
    first = await store.outbox.claim(limit=2, lease_seconds=10, now=NOW)
    second = await store.outbox.claim(limit=9, lease_seconds=10, now=NOW)
    assert [entry.uid for entry in first.entries + second.entries] == [cube.uid for cube in cubes]
    assert (await store.outbox.claim(limit=9, lease_seconds=10, now=NOW)).entries == ()
    assert await store.outbox.settle(second)
    later = NOW + timedelta(seconds=11)
    third = await store.outbox.claim(limit=9, lease_seconds=10, now=later)
    assert [entry.uid for entry in third.entries] == [cube.uid for cube in cubes[:2]]
    assert third.token > first.token
    assert not await store.outbox.settle(first), "a stalled worker is fenced off"
    assert await store.outbox.settle(third)
    assert await store.outbox.size() == 0


async def test_a_newer_entry_of_a_cube_waits_for_the_older_one_that_is_held(store):
    cube = stored("old words")
    await put(store, cube, seed=1)
    first = await store.outbox.claim(limit=9, lease_seconds=10, now=NOW)
    await change(store, retold(cube, "new words"), content=True, seed=2)
    assert (await store.outbox.claim(limit=9, lease_seconds=10, now=NOW)).entries == ()
    assert await store.outbox.settle(first)
    (entry,) = (await store.outbox.claim(limit=9, lease_seconds=10, now=NOW)).entries
    assert entry.point.revision == 2


async def test_entries_that_failed_come_back_later(store):
    await put(store, stored("note"), seed=1)
    claim = await store.outbox.claim(limit=9, lease_seconds=10, now=NOW)
    await store.outbox.postpone(claim, until=NOW + timedelta(seconds=5))
    assert (await store.outbox.claim(limit=9, lease_seconds=10, now=NOW)).entries == ()
    (entry,) = (await store.outbox.claim(limit=9, lease_seconds=10, now=NOW + timedelta(seconds=5))).entries
    assert entry.attempts == 1


async def test_a_deleted_cube_is_to_be_removed_from_the_index(store):
    cube = stored("note")
    await put(store, cube, seed=1)
    assert await store.outbox.settle(await store.outbox.claim(limit=9, lease_seconds=9, now=NOW))
    assert await expected(store) == [(cube.uid, 1)]
    await change(store, revisions.deleted(cube, now=NOW))
    assert await expected(store) == []
    (entry,) = (await store.outbox.claim(limit=9, lease_seconds=9, now=NOW)).entries
    assert (entry.uid, entry.point, entry.gone) == (cube.uid, None, (cube.uid, 1))


async def test_a_change_says_what_it_took_the_place_of(store):
    cube = stored("old words")
    await put(store, cube, seed=1)
    newer = retold(cube, "new words")
    await change(store, newer, content=True, seed=2)
    await change(store, retold(newer, "newest words"), content=True, seed=3)
    first, second, third = (await store.outbox.claim(limit=9, lease_seconds=9, now=NOW)).entries
    assert [entry.gone for entry in (first, second, third)] == [None, (cube.uid, 1), (cube.uid, 2)]
    assert {entry.point.id for entry in (first, second, third)} == {(cube.uid, 3)}


async def test_a_vector_of_another_embedder_sends_the_old_one_away(store):
    cube = stored("old words")
    await put(store, cube, seed=1)
    newer = retold(cube, "new words")
    await store.catalog.write(lambda tx: tx.replace(newer, vector=vector(2, "other@1"), content=True))
    entries = (await store.outbox.claim(limit=9, lease_seconds=9, now=NOW)).entries
    assert {(entry.embedder, entry.point and entry.point.id, entry.gone) for entry in entries} == {
        (EMBEDDER, None, None),
        (EMBEDDER, None, (cube.uid, 1)),
        ("other@1", (cube.uid, 2), None),
    }


async def test_what_the_index_should_hold_comes_in_pages_by_uid(store):
    cubes = [stored(f"note {number}") for number in range(5)]
    await put(store, *cubes, seed=1)
    assert await expected(store) == [], "it waits"
    await store.outbox.settle(await store.outbox.claim(limit=9, lease_seconds=9, now=NOW))
    uids = sorted(cube.uid for cube in cubes)
    assert await expected(store, limit=2) == [(uids[0], 1), (uids[1], 1)]
    assert await expected(store, after=uids[1]) == [(uid, 1) for uid in uids[2:]]
    assert await store.outbox.expected("other@1", after="", limit=9) == []


async def test_the_vectors_that_cubes_have_now_are_read_by_uid(store):
    kept, gone = stored("note"), stored("gone")
    await put(store, kept, gone, seed=1)
    await change(store, revisions.deleted(gone, now=NOW))
    (point,) = await store.outbox.points(EMBEDDER, [kept.uid, gone.uid, "nobody"])
    assert (point.id, point.vault) == ((kept.uid, 1), kept.vault)
    assert point.vector.values.tolist() == vector(1).values.tolist()
    assert await store.outbox.points("other@1", [kept.uid]) == []


async def test_audit_events_are_kept_until_they_are_sent(store):
    events = [AuditEvent(str(number), "acme", NOW, "p", "cube.create", "r") for number in range(3)]
    await store.catalog.write(lambda tx: [tx.audit(event) for event in events])
    assert await store.audit.unsent(limit=2) == events[:2]
    await store.audit.sent(events[:2])
    assert await store.audit.unsent(limit=9) == events[2:]


async def test_request_ids_are_forgotten_after_their_retention(store):
    owner = RequestOwner("acme", "ben", RequestKey("r1", "/m", "aa"))
    await store.catalog.write(lambda tx: tx.remember(owner, Answer(()), now=NOW))
    assert await store.audit.forget_requests(before=NOW) == 0
    assert await store.audit.forget_requests(before=NOW + timedelta(seconds=1)) == 1
