"""What every Catalog does with purges: cubes go from every table, and nothing else does."""

import random
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.cube import Kind, RevisionRef, State
from memos_kernel.errors import CubeNotFound, StateConflict
from memos_kernel.names import PurgeName
from memos_kernel.requests import RequestKey
from memos_storage.domain import revisions
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.purges import Purge, PurgeState, Receipt
from memos_storage.domain.values import Answer, Outcome, PointId, RequestOwner, Scope
from storage_cubes import (
    BEN,
    EMBEDDER,
    FOREIGN,
    MAIN,
    NOTES,
    NOW,
    change,
    opened,
    put,
    retold,
    said,
    scope,
    selected,
    stored,
)

HOUR = timedelta(hours=1)
EVERY = frozenset(Kind)
ANY = frozenset(State)


def purge(id="p", vault=MAIN, *, cubes=1, now=NOW):
    name = PurgeName(vault.tenant, id)
    return Purge(name=name, vault=vault, principal=BEN, reason="wished", cubes=cubes, stale=2, create_time=now)


async def plan(store, *cubes, made=None, tombstones=frozenset({b"t" * 32})):
    made = made or purge(cubes=len(cubes))

    def command(tx):
        tx.purges.add(made, [cube.uid for cube in cubes])
        tx.purges.bury(made.name, tombstones)

    await store.catalog.write(command)
    return made.name


async def erase(store, name, *, limit=9, now=NOW):
    return await store.catalog.write(lambda tx: tx.purges.erase(name, limit=limit, now=now))


async def everything(store):
    """Return what a vault looks like from outside, now and an hour ago."""
    seen = []
    for as_of in (None, NOW):
        chosen = selected(scope(MAIN), CubeFilter(states=ANY), now=NOW + 9 * HOUR, as_of=as_of)
        rows = await store.catalog.page(chosen, after=None, limit=99)
        words = await store.lexical.search("secret", chosen, limit=99)
        seen.append((sorted(row.cube.text for row in rows), [hit.uid for hit in words]))
    return seen


async def test_a_planned_purge_hides_its_cubes_now_and_in_the_past(store):
    doomed, deleted, kept = stored("a secret"), stored("an old secret"), stored("no matter")
    await put(store, doomed, deleted, kept, seed=1)
    await change(store, revisions.deleted(deleted, now=NOW + HOUR))
    name = await plan(store, doomed, deleted)
    assert await everything(store) == [(["no matter"], []), (["no matter"], [])]
    for cube in (doomed, deleted):
        early = {"before": None, "limit": 9, "now": NOW - HOUR}  # a clock that jumped back
        assert await store.catalog.history(cube.name, scope(MAIN), **early) == []
    found = await store.catalog.purge(name, scope(MAIN))
    assert found == purge(cubes=2)
    assert await store.catalog.purge(name, scope(NOTES)) is None


async def test_cubes_of_a_purge_are_chosen_for_no_other(store):
    doomed, kept = stored("doomed"), stored("kept")
    await put(store, doomed, kept)
    await plan(store, doomed)

    def command(tx):
        assert tx.purges.named(MAIN, [doomed.name, kept.name]) == [kept]
        assert tx.purges.selected(selected(scope(MAIN), CubeFilter(states=ANY)), limit=9) == [kept]
        assert tx.purges.due("acme", now=NOW + 999 * HOUR, limit=9) == []

    await store.catalog.write(command)


async def test_cubes_are_chosen_by_name_or_filter_deleted_or_not_within_the_vault(store):
    live, gone = stored("live", labels={"who": "nora"}), stored("gone", sources=(said("Nora"),), labels={"who": "nora"})
    other, foreign = stored("other", NOTES, labels={"who": "nora"}), stored("foreign", FOREIGN)
    await put(store, live, gone, other, foreign)
    gone = revisions.deleted(gone, now=NOW)
    await change(store, gone)

    def command(tx):
        def texts(cubes):
            return sorted(cube.text for cube in cubes)

        def chosen(**conditions):
            wanted = CubeFilter(**{"states": ANY, **conditions})
            return texts(tx.purges.selected(selected(Scope("acme", frozenset({MAIN})), wanted), limit=9))

        assert texts(tx.purges.named(MAIN, [live.name, gone.name, other.name])) == ["gone", "live"]
        assert chosen(labels={"who": "nora"}) == ["gone", "live"]
        assert chosen(speakers=frozenset({"NORA"})) == ["gone"]
        assert chosen(labels={"who": "tom"}) == []
        assert len(tx.purges.selected(selected(scope(MAIN), CubeFilter(states=ANY)), limit=1)) == 1

    await store.catalog.write(command)


async def test_what_is_due_is_of_one_vault(store):
    cubes = [stored(f"c{number}", vault) for number, vault in enumerate((MAIN, MAIN, NOTES, MAIN, FOREIGN))]
    await put(store, *cubes)
    for cube in (cubes[0], cubes[1], cubes[2], cubes[4]):
        await change(store, replace(revisions.deleted(cube, now=NOW), purge_time=NOW + HOUR))

    def due(now):
        return lambda tx: [cube.vault for cube in tx.purges.due("acme", now=now, limit=9)]

    assert await store.catalog.write(due(NOW)) == []
    assert await store.catalog.write(due(NOW + HOUR)) in ([MAIN, MAIN], [NOTES])


async def test_what_a_cube_was_made_of_is_found_again(store):
    source = stored("source")
    of_source = stored("summary", derived_from=(RevisionRef(source.name, 1), RevisionRef(source.name, 2)))
    elsewhere = stored("report", NOTES, derived_from=(RevisionRef(source.name, 1), RevisionRef(of_source.name, 1)))
    same_name = stored("other", FOREIGN, derived_from=(RevisionRef(replace(source.name, tenant="globex"), 1),))
    await put(store, source, of_source, elsewhere, same_name)

    def command(tx):
        found = tx.purges.derived([source.name, of_source.name], EVERY)
        assert {cube.uid for cube in found} == {of_source.uid, elsewhere.uid}
        assert tx.purges.derived([source.name], frozenset({Kind.ACTIVATION})) == []
        assert [cube.uid for cube in tx.purges.derived([same_name.derived_from[0].name], EVERY)] == [same_name.uid]

    await store.catalog.write(command)


async def test_erasure_takes_every_row_and_leaves_the_rest_as_it_was(store):
    doomed, kept = stored("a secret"), stored("another secret", sources=(said("Nora"),), labels={"a": "b"})
    await put(store, doomed, kept, seed=1)
    newer = retold(doomed, "a worse secret", now=NOW + HOUR)
    await change(store, newer, content=True, seed=5)
    newer_kept = retold(kept, "another old secret", now=NOW + HOUR)
    await change(store, newer_kept, content=True, seed=6)
    name = await plan(store, newer)
    before = await everything(store)
    told = await store.catalog.write(lambda tx: [cube.text for cube in tx.purges.told([doomed.uid])])
    assert sorted(told) == ["a secret", "a worse secret"]

    (erased,) = await erase(store, name)
    assert (erased.uid, erased.name, erased.revisions, erased.erased) == (doomed.uid, doomed.name, 2, True)
    assert await everything(store) == before

    def command(tx):
        assert tx.purges.remaining(name) == 0
        assert list(tx.purges.told([doomed.uid])) == []
        assert tx.revision(doomed.uid, 1) is None
        assert tx.vector(doomed.uid, 1) is None
        assert tx.revision(kept.uid, 1).cube == kept
        tx.insert(replace(stored("again"), name=doomed.name), vector=None)  # the name is free

    await store.catalog.write(command)
    cubes, points = await store.catalog.purged(name)
    assert cubes == [erased]
    assert {embedder: sorted(ids) for embedder, ids in points.items()} == {
        EMBEDDER: [PointId(doomed.uid, 1), PointId(doomed.uid, 2)]
    }
    assert {point.uid for point in (await store.outbox.waiting(known=set())).points} == {kept.uid}


async def test_word_statistics_are_as_if_the_cubes_had_never_been(store, tmp_path):
    texts = ["oslo oslo tea", "tea and piano", "piano of oslo"]
    kept = [stored(text) for text in texts]
    doomed = [stored(f"oslo tea piano {number}") for number in range(3)]
    await put(store, *kept, *doomed)
    await erase(store, await plan(store, *doomed))
    scores = [hit.score for hit in await store.lexical.search("oslo tea", selected(scope(MAIN)), limit=9)]
    async with opened("memory", tmp_path) as fresh:
        await put(fresh, *kept)
        expected = [hit.score for hit in await fresh.lexical.search("oslo tea", selected(scope(MAIN)), limit=9)]
    assert scores == pytest.approx(expected)


async def test_erasure_goes_in_pages_and_waits_for_workers(store):
    cubes = [stored(f"c{number}") for number in range(5)]
    await put(store, *cubes, seed=1)
    claim = await store.outbox.claim(limit=1, lease_seconds=10, now=NOW)
    name = await plan(store, *cubes)
    assert len(await erase(store, name, limit=3)) == 3
    assert len(await erase(store, name, limit=3)) == 1
    assert await erase(store, name) == []
    assert await store.catalog.write(lambda tx: tx.purges.remaining(name)) == 1
    (last,) = await erase(store, name, now=NOW + timedelta(seconds=11))
    assert last.uid == claim.entries[0].uid
    assert not await store.outbox.settle(claim)
    assert await store.outbox.size() == 0


async def test_a_cube_of_a_purge_cannot_be_brought_back(store):
    live, gone = stored("live"), stored("gone")
    await put(store, live, gone)
    await change(store, revisions.deleted(gone, now=NOW))
    await plan(store, live, gone)

    def command(tx):
        for cube in (live, gone):
            assert tx.live(cube.name) is None
            assert tx.deleted(cube.name) is None

    await store.catalog.write(command)


async def test_what_a_request_was_answered_with_is_hidden_with_the_cube(store):
    cube = stored("secret")
    owner = RequestOwner("acme", "ben", RequestKey("r", "/memos.v1.X/Y", "aa"))
    await put(store, cube)
    await store.catalog.write(lambda tx: tx.remember(owner, Answer((Outcome(cube, created=True),)), now=NOW))
    await plan(store, cube)
    if store.database is None:
        return  # the twin keeps whole answers
    with pytest.raises(CubeNotFound):
        await store.catalog.write(lambda tx: tx.recall(owner))


async def test_a_cube_that_has_just_been_frozen_stops_the_plan(store):
    free, frozen = stored("free"), stored("frozen")
    await put(store, free, frozen)
    await change(store, revisions.moved(frozen, state=frozen.state, frozen=True, now=NOW))
    with pytest.raises(StateConflict):
        await plan(store, free, frozen)
    assert await store.catalog.get([free.name], scope(MAIN))
    assert await store.catalog.purge(purge().name, scope(MAIN)) is None


async def test_of_two_workers_the_first_signs_and_the_second_changes_nothing(store):
    cube = stored("secret")
    await put(store, cube)
    name = await plan(store, cube)
    await erase(store, name)
    first, second = Receipt(b"1", b"s", b"k"), Receipt(b"2", b"s", b"k")

    def command(tx):
        tx.purges.set_erased(name)
        tx.purges.finish(name, first, now=NOW)
        assert tx.purges.erase(name, limit=9, now=NOW) == []
        assert tx.purges.remaining(name) == 0
        tx.purges.set_erased(name)
        tx.purges.finish(name, second, now=NOW)

    await store.catalog.write(command)
    done = await store.catalog.purge(name, scope(MAIN))
    assert (done.state, done.receipt) == (PurgeState.DONE, first)


async def test_a_finished_purge_keeps_its_receipt_alone(store):
    cube = stored("secret")
    await put(store, cube)
    name = await plan(store, cube)
    assert await store.catalog.write(lambda tx: tx.purges.unfinished("acme", before=NOW)) is None
    later = NOW + HOUR
    assert (await store.catalog.write(lambda tx: tx.purges.unfinished("acme", before=later))).name == name
    await erase(store, name)
    receipt = Receipt(b"{}", b"s" * 64, b"k" * 32)

    def command(tx):
        tx.purges.set_erased(name)
        assert tx.purges.find(name).state is PurgeState.ERASED
        tx.purges.finish(name, receipt, now=later)
        assert tx.purges.unfinished("acme", before=later) is None

    await store.catalog.write(command)
    done = replace(purge(), state=PurgeState.DONE, end_time=later, receipt=receipt)
    assert await store.catalog.purge(name, scope(MAIN)) == done
    assert await store.catalog.purged(name) == ([], {})


async def test_tombstones_stop_until_they_are_lifted(store):
    one, two = stored("one"), stored("two")
    await put(store, one, two)
    first = await plan(store, one, tombstones={b"1" * 32, b"2" * 32})
    second = await plan(store, two, made=purge("q"), tombstones={b"2" * 32})

    def stopped(*digests):
        return lambda tx: tx.purges.stopped(MAIN, lambda: frozenset(digests))

    assert await store.catalog.write(stopped(b"0" * 32)) is None
    assert await store.catalog.write(stopped(b"0" * 32, b"1" * 32)) == first
    await store.catalog.write(lambda tx: tx.purges.lift(first, now=NOW + HOUR))
    assert await store.catalog.write(stopped(b"1" * 32)) is None
    assert await store.catalog.write(stopped(b"2" * 32)) == second
    assert (await store.catalog.purge(first, scope(MAIN))).lift_time == NOW + HOUR


async def test_purges_of_a_vault_are_paged_the_newest_first(store):
    for number in range(5):
        await plan(store, made=purge(f"p{number}", cubes=0, now=NOW + number // 2 * HOUR))
    await plan(store, made=purge("elsewhere", NOTES, cubes=0))
    seen, after = [], None
    while found := await store.catalog.purges(MAIN, after=after, limit=2):
        seen += found
        after = (found[-1].create_time, found[-1].name.id)
    assert [one.name.id for one in seen] == ["p4", "p3", "p2", "p1", "p0"]


async def test_an_erased_fact_is_in_no_byte_of_the_database(tmp_path):
    """On SQLite: neither in the database nor in its log."""
    async with opened("sqlite", tmp_path) as store:
        cubes = [stored(f"{'filler ' * (number % 37)} zebrafish{number} is the code") for number in range(600)]
        for number, cube in enumerate(random.Random(4).sample(cubes, 600)):  # so that rows move between pages
            await put(store, cube, seed=number)
        for cube in cubes[:50]:
            await change(store, retold(cube, f"zebrafish moved, {cube.uid}", now=NOW + HOUR), content=True)
        assert await store.catalog.scrub() is not None
        assert holds(tmp_path, b"zebrafish7 is")
        assert holds(tmp_path, b"zebrafish moved")
        keep = cubes[500:]
        name = await plan(store, *cubes[:500])
        while await erase(store, name, limit=200):
            pass
        reach = await store.catalog.scrub()
        assert "VACUUM" in reach.done
        left = [
            cube.text.split()[-4] for cube in cubes[:500] if holds(tmp_path, f"{cube.text.split()[-4]} is".encode())
        ]
        assert left == []
        assert not holds(tmp_path, b"zebrafish moved")
        assert holds(tmp_path, keep[0].text.encode())


def holds(directory, planted):
    return any(planted in path.read_bytes() for path in directory.iterdir())


async def test_postgresql_frees_the_rows_and_says_what_it_cannot_reach(tmp_path):
    async with opened("postgresql", tmp_path) as store:
        cubes = [stored(f"zebrafish{number} is the code") for number in range(50)]
        await put(store, *cubes, seed=1)
        name = await plan(store, *cubes[:25])
        while await erase(store, name):
            pass

        def dead(connection):
            statement = "select relname, n_dead_tup from pg_stat_user_tables where relname in ('revisions', 'postings')"
            return dict(connection.exec_driver_sql(statement).all())

        reach = await store.catalog.scrub()
        assert "VACUUM" in reach.done
        assert "write-ahead log" in reach.remains
        assert await store.database.read(dead) == {"revisions": 0, "postings": 0}
