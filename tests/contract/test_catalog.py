"""What every Catalog does, with the outbox that it fills."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from memos_kernel.blobs import SAFETENSORS
from memos_kernel.cube import BlobRef, Kind, RevisionRef, SemanticType, State, Usage
from memos_kernel.errors import DuplicateContent, InvalidField, ResourceExists
from memos_kernel.ids import uuid7
from memos_kernel.requests import RequestKey
from memos_storage.domain import revisions
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.values import Answer, Outcome, RequestOwner, Scope
from storage_cubes import (
    BEN,
    DIMENSIONS,
    EMBEDDER,
    FOREIGN,
    MAIN,
    NOTES,
    NOW,
    adapter,
    change,
    grant,
    put,
    retold,
    said,
    scope,
    selected,
    stored,
    vector,
    with_usage_of,
)

ANY = CubeFilter()


async def got(store, cube, *vaults):
    found = await store.catalog.get([cube.name], scope(*(vaults or (cube.vault,))))
    return found.get(cube.name)


async def test_a_cube_comes_back_with_every_field(store):
    cube = stored(
        "Nora moved to Oslo.",
        labels={"topic": "home"},
        semantic_type=SemanticType.EVENT,
        sources=(said("Nora", session="s1", at=NOW - timedelta(days=3)),),
        priority=70,
        sensitivity_tags=("pii.place",),
        expire_time=NOW + timedelta(days=1),
        valid_from=NOW - timedelta(days=9),
        valid_until=NOW + timedelta(days=9),
    )
    await put(store, cube, seed=1)
    row = await got(store, cube)
    assert row.cube == cube
    assert row.content_revision == 1


async def test_a_cube_is_seen_only_through_a_scope_that_covers_its_vault(store):
    cube = stored("Nora moved to Oslo.")
    await put(store, cube)
    assert await got(store, cube, NOTES) is None
    assert await got(store, cube, FOREIGN) is None


async def test_one_vault_holds_the_same_content_once_and_two_vaults_once_each(store):
    first, second, elsewhere = stored("same"), stored("same"), stored("same", NOTES)
    await put(store, first, elsewhere)
    with pytest.raises(DuplicateContent) as caught:
        await put(store, second)
    assert caught.value.metadata["existing"] == str(first.name)


async def test_a_taken_name_is_refused(store):
    await put(store, stored("one", id="note"))
    with pytest.raises(ResourceExists):
        await put(store, stored("two", NOTES, id="note"))


async def test_a_conflict_can_be_caught_and_the_rest_is_stored(store):
    first, same, other = stored("same"), stored("same"), stored("other")

    def command(tx):
        tx.insert(first, vector=None)
        with pytest.raises(DuplicateContent):
            tx.insert(same, vector=None)
        tx.insert(other, vector=None)

    await store.catalog.write(command)
    assert await got(store, first)
    assert await got(store, other)
    assert await got(store, same) is None


async def test_many_cubes_are_stored_at_once_except_those_that_cannot_be(store):
    await put(store, stored("note 7"), stored("other", id="n9"))
    cubes = [stored(f"note {n}", id=f"n{n}", labels={"of": "nora"}, sources=(said("Nora"),)) for n in range(50)]
    cubes.append(replace(stored("note 11"), content_hash=cubes[11].content_hash))
    refused = {}

    def command(tx):
        tx.claim(cubes)
        for number, cube in enumerate(cubes):
            if number == 3:
                tx.release(cube)
                continue
            try:
                tx.insert(cube, vector=vector(number))
            except (DuplicateContent, ResourceExists) as error:
                refused[number] = type(error)

    cubes[7] = replace(cubes[7], content_hash=stored("note 7").content_hash)
    await store.catalog.write(command)
    assert refused == {7: DuplicateContent, 9: ResourceExists, 50: DuplicateContent}
    kept = {number: cube for number, cube in enumerate(cubes) if number != 3 and number not in refused}
    assert {number: (await got(store, cube)).cube for number, cube in kept.items()} == kept
    assert await got(store, cubes[3]) is None
    filter = CubeFilter(labels={"of": "nora"}, speakers=frozenset({"nora"}))
    assert len(await store.catalog.page(selected(scope(MAIN), filter), after=None, limit=99)) == len(kept)
    entries = (await store.outbox.claim(limit=99, lease_seconds=9, now=NOW)).entries
    assert {entry.uid: entry.point.vector.values.tolist() for entry in entries} == {
        cube.uid: vector(number).values.tolist() for number, cube in kept.items()
    }


async def test_a_command_that_fails_leaves_nothing(store):
    cube = stored("never")

    def command(tx):
        tx.insert(cube, vector=vector(1))
        raise InvalidField("no", field="x")

    with pytest.raises(InvalidField):
        await store.catalog.write(command)
    assert await got(store, cube) is None
    assert await store.outbox.size() == 0


async def test_commands_at_the_same_time_fail_and_succeed_each_for_itself(store):
    cubes = [stored(f"note {number % 20}") for number in range(40)]
    results = await asyncio.gather(*(put(store, cube) for cube in cubes), return_exceptions=True)
    assert sum(isinstance(result, DuplicateContent) for result in results) == 20
    rows = await store.catalog.page(selected(scope(MAIN)), after=None, limit=99)
    assert len(rows) == 20


async def test_the_new_text_of_an_update_is_a_new_content_revision(store):
    cube = stored("old words")
    await put(store, cube, seed=1)
    newer = retold(cube, "new words")
    await change(store, newer, content=True, seed=2)
    row = await got(store, cube)
    assert row.cube == newer
    assert row.content_revision == 2
    await change(store, revisions.moved(newer, state=State.ACTIVATED, frozen=False, now=NOW))
    row = await got(store, cube)
    assert (row.cube.revision, row.content_revision) == (3, 2)


async def test_an_update_cannot_take_the_content_of_another_cube(store):
    cube, other = stored("one"), stored("two")
    await put(store, cube, other, seed=1)
    with pytest.raises(DuplicateContent):
        await change(store, retold(other, "one"), content=True)
    assert (await got(store, other)).cube == other


async def test_a_deleted_cube_is_gone_and_its_content_may_be_stored_again(store):
    cube = stored("once")
    await put(store, cube, seed=1)
    await change(store, revisions.deleted(cube, now=NOW))
    assert await got(store, cube) is None
    again = stored("once")
    await put(store, again)
    assert await got(store, again)
    with pytest.raises(ResourceExists):
        await put(store, stored("other", id=cube.name.id))


async def test_a_deleted_cube_comes_back_with_its_vector_and_its_words(store):
    cube = stored("Nora moved to Oslo.")
    await put(store, cube, seed=1)
    assert await store.catalog.write(lambda tx: tx.deleted(cube.name)) is None
    gone = revisions.deleted(cube, now=NOW)
    await change(store, gone)

    def command(tx):
        assert tx.live(cube.name) is None
        found, held = tx.deleted(cube.name), tx.vector(cube.uid, 1)
        assert (found.cube.revision, found.content_revision) == (2, 1)
        assert held.values.tolist() == vector(1).values.tolist()
        tx.replace(revisions.undeleted(found.cube, now=NOW), vector=held, content=True)

    await store.catalog.write(command)
    back = await got(store, cube)
    assert (back.cube.text, back.cube.delete_time, back.content_revision) == (cube.text, None, 3)
    (hit,) = await store.lexical.search("oslo", selected(scope(MAIN)), limit=9)
    assert hit.uid == cube.uid
    (point,) = await store.outbox.points(EMBEDDER, [cube.uid])
    assert point.id == (cube.uid, 3)
    assert await store.catalog.write(lambda tx: tx.deleted(cube.name)) is None
    assert await store.catalog.write(lambda tx: tx.vector("nobody", 1)) is None


async def test_content_that_was_stored_again_keeps_a_deleted_cube_away(store):
    cube, other = stored("tea"), stored("tea")
    await put(store, cube, seed=1)
    await change(store, revisions.deleted(cube, now=NOW))
    await put(store, other, seed=1)

    def command(tx):
        tx.replace(revisions.undeleted(tx.deleted(cube.name).cube, now=NOW), vector=vector(1), content=True)

    with pytest.raises(DuplicateContent):
        await store.catalog.write(command)
    assert await got(store, cube) is None


async def test_content_is_free_again_within_the_command_that_deletes_its_holder(store):
    old, new = stored("said again"), stored("said again")
    await put(store, old, seed=1)

    def command(tx):
        with pytest.raises(DuplicateContent):
            tx.insert(new, vector=vector(2))
        held = tx.holder(new.vault, new.content_hash).cube
        tx.replace(revisions.deleted(held, now=NOW))
        tx.insert(new, vector=vector(2))

    await store.catalog.write(command)
    assert await got(store, old) is None
    assert (await got(store, new)).cube.uid == new.uid


async def test_usage_is_stored_without_a_revision(store):
    cube = stored("used")
    await put(store, cube)
    usage = Usage(hits=3, last_used_time=NOW, heat=1.5)
    await store.catalog.write(lambda tx: tx.set_usage(cube.uid, usage))
    row = await got(store, cube)
    assert row.cube.usage == usage
    assert with_usage_of(cube, row.cube) == row.cube
    await change(store, revisions.moved(row.cube, state=State.ACTIVATED, frozen=False, now=NOW))
    assert (await got(store, cube)).cube.usage == usage


async def test_pages_follow_each_other_newest_first_and_miss_nothing(store):
    cubes = [stored(f"note {number}", now=NOW + timedelta(seconds=number // 3)) for number in range(10)]
    await put(store, *cubes)
    seen, after = [], None
    while rows := await store.catalog.page(selected(scope(MAIN)), after=after, limit=4):
        seen += [row.cube for row in rows]
        after = (seen[-1].create_time, seen[-1].uid)
    assert seen == sorted(cubes, key=lambda cube: (cube.create_time, cube.uid), reverse=True)


FILTERS = [
    CubeFilter(labels={"topic": "home"}),
    CubeFilter(labels={"topic": "home", "of": "nora"}),
    CubeFilter(kinds=frozenset({Kind.ACTIVATION})),
    CubeFilter(kinds=frozenset({Kind.PLAINTEXT})),
    CubeFilter(states=frozenset({State.ARCHIVED})),
    CubeFilter(states=frozenset({State.GENERATED, State.ARCHIVED})),
    CubeFilter(states=frozenset({State.EXPIRED})),
    CubeFilter(states=frozenset({State.EXPIRED, State.GENERATED})),
    CubeFilter(semantic_types=frozenset({SemanticType.TASK, SemanticType.FACT})),
    CubeFilter(speakers=frozenset({"NORA"})),
    CubeFilter(speakers=frozenset({""})),
    CubeFilter(speakers=frozenset({"straße"})),
    CubeFilter(sessions=frozenset({"s1", "s3"})),
    CubeFilter(after=NOW - timedelta(days=2)),
    CubeFilter(before=NOW - timedelta(days=2)),
    CubeFilter(after=NOW - timedelta(days=4), before=NOW, speakers=frozenset({"nora"}), sessions=frozenset({"s1"})),
    ANY,
]


@pytest.mark.parametrize("number", range(len(FILTERS)))
async def test_a_filter_means_the_same_as_in_the_domain(store, number):
    cubes = [
        stored("a", labels={"topic": "home", "of": "nora"}, semantic_type=SemanticType.FACT),
        stored("b", labels={"topic": "home"}, sources=(said("Nora", session="s1", at=NOW - timedelta(days=3)),)),
        stored("c", sources=(said("nora ", session="s2"), said("STRASSE", session="s3", at=NOW - timedelta(days=5)))),
        stored("d", semantic_type=SemanticType.TASK, expire_time=NOW + timedelta(hours=1)),
        stored("e", sources=(said("", session="s1", at=NOW - timedelta(days=1)),)),
    ]
    archived = revisions.moved(stored("f"), state=State.ARCHIVED, frozen=False, now=NOW)
    frozen = replace(stored("g", expire_time=NOW + timedelta(hours=1)), frozen=True)
    cubes += [replace(archived, revision=1), frozen]
    await put(store, *cubes, seed=1)
    now = NOW + timedelta(hours=2)
    rows = await store.catalog.page(selected(scope(MAIN), FILTERS[number], now=now), after=None, limit=99)
    expected = [cube for cube in cubes if FILTERS[number].matches(cube, now=now)]
    uids = {cube.uid for cube in expected}
    assert {row.cube.uid for row in rows} == uids
    everyone = [cube.uid for cube in cubes]
    for where in (scope(MAIN), Scope("acme", None)):
        assert (await store.catalog.eligible(everyone, selected(where, FILTERS[number], now=now))).keys() == uids
        assert (await store.catalog.resolve(everyone, selected(where, FILTERS[number], now=now))).keys() == uids
        near = await store.catalog.nearest(vector(1), selected(where, FILTERS[number], now=now), bound=99, limit=99)
        assert {hit.uid for hit in near} == uids
    assert await store.catalog.eligible(everyone, selected(scope(FOREIGN), FILTERS[number], now=now)) == {}


async def test_a_scope_without_vaults_holds_nothing(store):
    cube = stored("a")
    await put(store, cube)
    nowhere = Scope("acme", frozenset())
    assert await store.catalog.get([cube.name], nowhere) == {}
    assert await store.catalog.eligible([cube.uid], selected(nowhere)) == {}
    assert await store.lexical.search("a note", selected(nowhere), limit=9) == []


async def test_due_cubes_are_those_past_their_time_unless_frozen(store):
    past = NOW + timedelta(hours=1)
    frozen = replace(stored("frozen", expire_time=past), frozen=True)
    due = stored("due", expire_time=past)
    done = replace(stored("done", expire_time=past), state=State.EXPIRED)
    later = stored("later", expire_time=NOW + timedelta(days=9))
    await put(store, frozen, due, done, later, stored("foreign", FOREIGN, expire_time=past))
    rows = await store.catalog.due(scope(MAIN), at=past, limit=9)
    assert [row.cube.uid for row in rows] == [due.uid]


async def test_due_cubes_of_all_vaults_are_those_of_the_tenant(store):
    past = NOW + timedelta(hours=1)
    cubes = [stored("x", vault, expire_time=past) for vault in (MAIN, NOTES, FOREIGN)]
    await put(store, *cubes)
    everywhere = type(scope(MAIN)).of(grant(MAIN, all_vaults=True))
    rows = await store.catalog.due(everywhere, at=past, limit=9)
    assert {row.cube.vault for row in rows} == {MAIN, NOTES}


async def test_candidates_are_joined_to_what_is_live_granted_and_fits(store):
    live, gone, hidden = stored("live"), stored("gone"), stored("hidden", NOTES)
    await put(store, live, gone, hidden, seed=1)
    await change(store, revisions.deleted(gone, now=NOW))
    uids = [live.uid, gone.uid, hidden.uid, "nobody"]
    assert await store.catalog.eligible(uids, selected(scope(MAIN))) == {live.uid: 1}
    resolved = await store.catalog.resolve(uids, selected(scope(MAIN)))
    assert {uid: row.cube for uid, row in resolved.items()} == {live.uid: live}
    assert await store.catalog.eligible([], selected(scope(MAIN))) == {}


async def test_the_exact_scan_finds_the_nearest_or_says_that_there_are_too_many(store):
    cubes = [stored(f"note {number}") for number in range(6)]
    await put(store, *cubes, seed=10)
    await put(store, stored("elsewhere", NOTES), seed=12)
    query = vector(12)
    scan = {"selection": selected(scope(MAIN)), "limit": 3}
    hits = await store.catalog.nearest(query, bound=6, **scan)
    assert hits[0].uid == cubes[2].uid
    assert hits[0].score == pytest.approx(1.0, abs=1e-5)
    assert len(hits) == 3
    assert await store.catalog.nearest(query, bound=5, **scan) is None
    assert await store.catalog.nearest(vector(12, "other"), bound=5, **scan) == []


async def test_cosines_are_of_the_same_embedder(store):
    cube, bare = stored("with"), stored("without")
    await put(store, cube, seed=3)
    await put(store, bare)
    found = await store.catalog.cosines(vector(3), [cube.uid, bare.uid])
    assert found == {cube.uid: pytest.approx(1.0, abs=1e-5)}
    assert await store.catalog.cosines(vector(3, "other"), [cube.uid]) == {}


async def test_the_size_of_an_embedders_vectors_is_known_from_its_first(store):
    assert await store.catalog.write(lambda tx: tx.dimensions(EMBEDDER)) is None
    await put(store, stored("one"), seed=1)
    assert await store.catalog.write(lambda tx: tx.dimensions(EMBEDDER)) == DIMENSIONS
    assert await store.outbox.embedders() == [(EMBEDDER, DIMENSIONS)]


async def test_a_request_id_is_answered_as_it_was(store):
    cube = stored("said once")
    owner = RequestOwner("acme", "ben", RequestKey("r1", "/m", "aa"))
    answer = Answer((Outcome(cube, created=True), Outcome(error=InvalidField("bad", field="x", why="y"))), "p")

    def command(tx):
        tx.insert(cube, vector=None)
        tx.remember(owner, answer, now=NOW)

    await store.catalog.write(command)
    assert await store.catalog.write(lambda tx: tx.recall(replace(owner, principal="eve"))) is None
    await change(store, revisions.moved(cube, state=State.ACTIVATED, frozen=False, now=NOW))
    found = await store.catalog.write(lambda tx: tx.recall(replace(owner, key=RequestKey("r1", "/m", "bb"))))
    assert found.body_sha256 == "aa"
    first, second = found.answer.outcomes
    assert (first, found.answer.provenance_id) == (Outcome(cube, created=True), "p")
    assert isinstance(second.error, InvalidField)
    assert (second.error.message, dict(second.error.metadata)) == ("bad", {"field": "x", "why": "y"})


async def test_a_value_of_the_installation_is_made_once(store):
    assert await store.catalog.meta("secret", lambda: b"1") == b"1"
    assert await store.catalog.meta("secret", lambda: b"2") == b"1"


async def test_what_was_made_in_another_form_is_found_by_what_it_was_made_from(store):
    source, other = stored("source"), stored("other")
    text = stored("summary", derived_from=(RevisionRef(source.name, 1),))
    of_source, of_both, hidden, gone = (
        revisions.first_revision(
            adapter(
                BlobRef(f"b{number}", 1, f"{number}" * 64, SAFETENSORS),
                vault,
                derived_from=tuple(RevisionRef(one.name, 1) for one in sources),
            ),
            uid=uuid7(),
            owner=BEN,
            now=NOW + timedelta(seconds=number),
            provenance_id="p",
            trace=None,
        )
        for number, (vault, sources) in enumerate(
            [(MAIN, [source]), (MAIN, [source, other]), (NOTES, [source]), (MAIN, [source])]
        )
    )
    cubes = (source, other, text, of_source, of_both, hidden, gone)
    await store.catalog.write(lambda tx: [tx.insert(cube, vector=None) for cube in cubes])
    await store.catalog.write(lambda tx: tx.replace(revisions.deleted(gone, now=NOW)))

    async def found(*names, kind=Kind.PARAMETRIC, where=(MAIN,), limit=9):
        return [row.cube.name for row in await store.catalog.derived(names, kind, scope(*where), limit=limit)]

    assert await found(source.name) == [of_both.name, of_source.name]
    assert await found(source.name, other.name, limit=1) == [of_both.name]
    assert await found(other.name) == [of_both.name]
    assert await found(source.name, where=(MAIN, NOTES)) == [hidden.name, of_both.name, of_source.name]
    assert await found(source.name, kind=Kind.ACTIVATION) == []
    assert await found(of_source.name) == []
    assert await found(source.name, where=(FOREIGN,)) == []
    stale = revisions.moved(of_both, state=State.STALE, frozen=False, now=NOW)
    await store.catalog.write(lambda tx: tx.replace(stale))
    assert await found(source.name) == [of_source.name]
