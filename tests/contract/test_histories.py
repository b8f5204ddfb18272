"""Whole histories: out of every catalogue, and into every catalogue."""

from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from memos_kernel.changes import ChangeKind
from memos_kernel.cube import BlobRef, Plaintext, RevisionRef, State, Usage
from memos_kernel.errors import (
    ContentPurged,
    DuplicateContent,
    InvalidField,
    LimitExceeded,
    MissingField,
    ResourceExists,
    StateConflict,
    VaultNotFound,
)
from memos_kernel.ids import uuid7
from memos_kernel.names import CubeName, PurgeName, VaultName
from memos_storage.adapters.memory import MemoryVectorIndex
from memos_storage.domain import revisions
from memos_storage.domain.archives import ArchivedRevision, ImportOutcome
from memos_storage.domain.filters import CubeFilter
from memos_storage.domain.purges import Purge
from memos_storage.domain.quotas import NONE as UNLIMITED
from memos_storage.domain.revisions import first_revision
from memos_storage.domain.selection import Selection
from memos_storage.usecases import export_cubes
from memos_storage.usecases.export_cubes import ExportCubes, ExportRequest
from memos_storage.usecases.import_cubes import ImportCubes
from storage_cubes import BEN, FOREIGN, MAIN, NOTES, NOW, STORES, Clock, adapter, grant, opened, scope, stored, vector
from storage_world import TOMBSTONES, mutation

ANY = CubeFilter(states=frozenset(State))
CREATED, EXTENDED, UNCHANGED = ImportOutcome.CREATED, ImportOutcome.EXTENDED, ImportOutcome.UNCHANGED


def hour(number):
    return NOW + timedelta(hours=number)


class Place:
    """An installation."""

    def __init__(self, store):
        self.store, self.clock = store, Clock()
        self.export = ExportCubes(histories=store.histories, clock=self.clock)
        self.import_ = ImportCubes(
            catalog=store.catalog, index=MemoryVectorIndex(), clock=self.clock, ids=uuid7, tombstones=TOMBSTONES
        )

    async def put(self, cube, seed=None):
        held = vector(seed) if seed is not None else None
        await self.store.catalog.write(lambda tx: tx.insert(cube, vector=held))
        return cube

    async def say(self, cube, text, *, now, seed=None):
        """Change the text of a cube."""
        wanted = replace(cube, payload=Plaintext(text))
        return await self.change(revisions.updated(cube, wanted, paths=("plaintext.text",), now=now), seed=seed)

    async def change(self, cube, *, seed=None):
        held = vector(seed) if seed is not None else None
        await self.store.catalog.write(lambda tx: tx.replace(cube, vector=held, content=seed is not None))
        return cube

    async def out(self, vault=MAIN, *, as_of=None, by=None, **options):
        """Return everything that an export yields, over all pages."""
        told, after = [], None
        while True:
            request = ExportRequest(
                vault=vault,
                as_of=as_of or self.clock.now(),
                after=after,
                **{"filter": ANY, **options},
            )
            after = None
            async for part in self.export(request, grant=by or grant(vault)):
                if isinstance(part, tuple):
                    after = part
                else:
                    told += part
            if after is None:
                return told

    async def into(self, history, vault=MAIN, *, by=None):
        """Import; return what became of each cube."""
        done = await self.import_(vault, history, reason="from afar", mutation=mutation(by or grant(vault)))
        return [outcome for _, outcome in done.cubes]

    async def searched(self, *terms):
        found = await self.store.lexical.search(" ".join(terms), selection(self), limit=9)
        return [one.uid for one in found]


def selection(place):
    return Selection(scope=scope(MAIN), filter=ANY, now=place.clock.now())


@pytest.fixture(params=STORES)
async def places(request, tmp_path):
    async with AsyncExitStack() as stack:
        made = []
        for name in ("here", "there"):
            (tmp_path / name).mkdir()
            made.append(Place(await stack.enter_async_context(opened(request.param, tmp_path / name))))
            made[-1].clock.advance(hours=9)
        yield made


def plain(history):
    """Return what has to be equal of a history."""
    return [
        (item.cube, item.content_revision, [(one.embedder, one.values.tobytes()) for one in item.vectors])
        for item in history
    ]


async def erase(place, cube):
    """Begin to erase a cube."""
    made = purge_of(MAIN)

    def command(tx):
        tx.purges.add(made, [cube.uid])
        tx.purges.bury(made.name, TOMBSTONES.of([cube]))

    await place.store.catalog.write(command)


def purge_of(vault):
    name = PurgeName(vault.tenant, "p")
    return Purge(name=name, vault=vault, principal=BEN, reason="", cubes=1, create_time=NOW)


async def told_and_retold(place):
    """Return a cube that says two things at the hours 0 and 2 and gets a label at 4, and one that is deleted at 6."""
    first = await place.put(stored("in Oslo", priority=3), seed=1)
    second = await place.say(first, "in Bergen", now=hour(2), seed=2)
    third = revisions.updated(second, replace(second, labels={"topic": "home"}), paths=("labels",), now=hour(4))
    await place.change(third)
    await place.store.catalog.write(lambda tx: tx.set_usage(first.uid, Usage(7, hour(5), 2.5)))
    other = await place.put(stored("tea", now=hour(1)), seed=3)
    gone = await place.change(revisions.deleted(other, now=hour(6)))
    return third, gone


async def test_a_history_arrives_as_it_left(places):
    here, there = places
    cube, _gone = await told_and_retold(here)
    await here.put(stored("elsewhere", NOTES))
    out = await here.out(deleted=True)
    assert [item.cube.revision for item in out if item.cube.uid == cube.uid] == [1, 2, 3]
    assert await there.into(out) == [CREATED, CREATED]
    assert plain(await there.out(deleted=True)) == plain(out)
    read = (await there.store.catalog.get([cube.name], scope(MAIN)))[cube.name]
    assert read.cube == replace(cube, usage=Usage(7, hour(5), 2.5))
    assert read.content_revision == 2
    assert await there.searched("bergen") == [cube.uid]
    assert await there.searched("tea") == await there.searched("oslo") == []
    then = await there.store.catalog.get_as_of([cube.name], scope(MAIN), as_of=hour(1), now=hour(9))
    assert then[cube.name].cube.text == "in Oslo"


async def test_only_the_newest_vector_waits_for_the_index(places):
    here, there = places
    cube, _ = await told_and_retold(here)
    await there.into(await here.out(deleted=True))
    waiting = await there.store.outbox.waiting(known=frozenset())
    assert [(point.uid, point.revision) for point in waiting.points] == [(cube.uid, 2)]
    assert np.array_equal(waiting.points[0].vector.values, vector(2).values)


async def test_the_feed_tells_of_an_import_as_something_of_now(places):
    here, there = places
    cube, gone = await told_and_retold(here)
    begin = await there.store.feed.latest(MAIN)
    await there.into(await here.out(deleted=True))
    told = [change for _, change in await there.store.feed.after(MAIN, begin, limit=9, now=hour(9))]
    assert {(one.kind, one.uid, one.revision, one.time) for one in told} == {
        (ChangeKind.CREATED, cube.uid, 3, hour(9)),
        (ChangeKind.CREATED, gone.uid, 2, hour(9)),
    }
    events = await there.store.audit.unsent(limit=9)
    assert {(event.action, event.resource, event.reason) for event in events} == {
        ("cube.import", str(cube.name), "from afar"),
        ("cube.import", str(gone.name), "from afar"),
    }


async def test_what_is_there_already_stays_and_newer_revisions_follow(places):
    here, there = places
    cube, _ = await told_and_retold(here)
    early = await here.out(as_of=hour(3))
    assert await there.into(early) == [CREATED, CREATED]
    await there.store.catalog.write(lambda tx: tx.set_usage(cube.uid, Usage(1, hour(8), 1.0)))
    assert await there.into(early) == [UNCHANGED, UNCHANGED]
    later = await here.out(deleted=True)
    assert await there.into(later) == [EXTENDED, EXTENDED]
    assert await there.into(later) == [UNCHANGED, UNCHANGED]
    assert await there.into(early) == [UNCHANGED, UNCHANGED]
    there_now = await there.out(deleted=True)
    assert [(item.cube.uid, replace(item.cube, usage=Usage())) for item in there_now] == [
        (item.cube.uid, replace(item.cube, usage=Usage())) for item in later
    ]
    assert {item.cube.usage.hits for item in there_now if item.cube.uid == cube.uid} == {1}
    assert await there.searched("bergen") == [cube.uid]
    assert await there.searched("tea") == []


async def test_a_text_that_follows_takes_the_place_of_the_older_one_in_the_index(places):
    here, there = places
    cube = await here.put(stored("in Oslo"), seed=1)
    await there.into(await here.out())
    await here.say(cube, "in Bergen", now=hour(2), seed=2)
    await there.into(await here.out())
    claim = await there.store.outbox.claim(limit=9, lease_seconds=9, now=hour(9))
    assert [(entry.point.revision, entry.gone) for entry in claim.entries][-1] == (2, (cube.uid, 1))
    assert await there.searched("oslo") == []


async def test_a_part_of_a_history_can_follow_another(places):
    here, there = places
    await told_and_retold(here)
    out = [item for item in await here.out() if item.cube.text != "tea"]
    assert await there.into(out[:1]) == [CREATED]
    assert await there.into(out[:2]) == [EXTENDED]
    assert await there.into(out[1:]) == [EXTENDED]
    assert plain(await there.out()) == plain(out)


async def test_without_revisions_the_record_begins_with_the_present_one(places):
    here, there = places
    cube, _ = await told_and_retold(here)
    out = await here.out(revisions=False)
    assert [(item.cube.revision, item.content_revision) for item in out] == [(3, 3)]
    assert plain(out)[0][2] == [("toy@1", vector(2).values.tobytes())]
    assert await there.into(out) == [CREATED]
    assert plain(await there.out()) == plain(out)
    history = await there.store.catalog.history(cube.name, scope(MAIN), before=None, limit=9, now=hour(9))
    assert [row.cube.revision for row in history] == [3]
    assert await there.store.catalog.get_as_of([cube.name], scope(MAIN), as_of=hour(3), now=hour(9)) == {}


async def test_an_export_is_of_a_moment(places):
    here, _ = places
    _cube, _gone = await told_and_retold(here)
    assert {(item.cube.text, item.cube.revision) for item in await here.out(as_of=hour(5))} == {
        ("in Oslo", 1),
        ("in Bergen", 2),
        ("in Bergen", 3),
        ("tea", 1),
    }
    assert [item.cube.text for item in await here.out(as_of=hour(0))] == ["in Oslo"]
    assert await here.out(as_of=hour(-1)) == []
    with pytest.raises(InvalidField, match="as_of"):
        await here.out(as_of=hour(10))
    with pytest.raises(VaultNotFound):
        await here.out(MAIN, by=grant(NOTES))


async def test_an_export_takes_what_the_filter_matches_at_the_moment(places):
    here, _ = places
    await told_and_retold(here)
    home = CubeFilter(labels={"topic": "home"}, states=frozenset(State))
    assert {item.cube.revision for item in await here.out(filter=home)} == {1, 2, 3}
    assert await here.out(filter=home, as_of=hour(3)) == []


async def test_pages_miss_nothing_and_repeat_nothing(places, monkeypatch):
    here, there = places
    monkeypatch.setattr(export_cubes, "PAGE_CUBES", 3)
    monkeypatch.setattr(export_cubes, "_REVISIONS", 2)
    monkeypatch.setattr(export_cubes, "PAGE_BYTES", 40)
    for number in range(10):
        cube = await here.put(stored(f"note {number}", now=NOW + timedelta(seconds=number // 3)), seed=number)
        for again in range(number % 4):
            cube = await here.say(cube, f"note {number}, {again}", now=hour(1 + again), seed=20 + number)
    out = await here.out()
    assert len(out) == sum(1 + number % 4 for number in range(10))
    assert len({(item.cube.uid, item.cube.revision) for item in out}) == len(out)
    assert await there.into(out) == [CREATED] * 10
    assert plain(await there.out()) == plain(out)


async def test_what_is_being_erased_is_not_exported(places):
    here, _ = places
    cube, _ = await told_and_retold(here)
    await erase(here, cube)
    assert [item.cube.text for item in await here.out(deleted=True)] == ["tea", "tea"]


async def test_what_was_purged_does_not_come_back(places):
    here, there = places
    cube, _ = await told_and_retold(here)
    erased = await there.put(stored("In  OSLO"))
    await erase(there, erased)
    (outcome,) = await there.into([item for item in await here.out() if item.cube.uid == cube.uid])
    assert isinstance(outcome, ContentPurged)
    assert await there.store.catalog.get([cube.name], scope(MAIN)) == {}


async def test_what_was_changed_here_stays_and_says_so(places):
    here, there = places
    cube, _ = await told_and_retold(here)
    out = [item for item in await here.out() if item.cube.uid == cube.uid]
    await there.into(out[:1])
    await there.say(out[0].cube, "in Rome", now=hour(3), seed=5)
    (outcome,) = await there.into(out)
    assert isinstance(outcome, StateConflict)
    assert outcome.metadata["state"] == "CHANGED"
    (outcome,) = await there.into(out[2:])
    assert isinstance(outcome, StateConflict)
    assert (await there.store.catalog.get([cube.name], scope(MAIN)))[cube.name].cube.text == "in Rome"


async def test_revisions_that_are_missing_between_are_not_passed_over(places):
    here, there = places
    cube, _ = await told_and_retold(here)
    out = [item for item in await here.out() if item.cube.uid == cube.uid]
    await there.into(out[:1])
    (outcome,) = await there.into(out[2:])
    assert isinstance(outcome, StateConflict)
    assert outcome.metadata["state"] == "GAP"


async def test_what_is_taken_here_is_refused_and_the_rest_is_stored(places):
    here, there = places
    _one, two, three = [await here.put(stored(text), seed=index) for index, text in enumerate(("one", "two", "three"))]
    await there.put(stored("one", id=uuid7()))
    await there.put(replace(stored("another"), name=two.name))
    out = await here.out()
    outcomes = dict(zip([item.cube.text for item in out], await there.into(out), strict=True))
    assert isinstance(outcomes["one"], DuplicateContent)
    assert isinstance(outcomes["two"], ResourceExists)
    assert outcomes["three"] is CREATED
    assert await there.searched("three") == [three.uid]


async def test_a_cube_is_in_one_vault_of_an_installation(places):
    here, there = places
    cube = await here.put(stored("one"), seed=1)
    (item,) = await here.out()
    await there.into([item])
    elsewhere = replace(item, cube=replace(item.cube, vault=NOTES))
    (outcome,) = await there.into([elsewhere], NOTES)
    assert isinstance(outcome, ResourceExists)
    assert str(MAIN) not in outcome.message  # of which the caller may not know
    (outcome,) = await there.into([elsewhere], NOTES, by=grant(MAIN, NOTES))
    assert isinstance(outcome, StateConflict)
    assert outcome.metadata["state"] == "ELSEWHERE"
    foreign = replace(
        first_revision(
            replace(item.cube, name=CubeName("globex", cube.name.id), vault=FOREIGN),
            uid=cube.uid,
            owner=replace(BEN, tenant="globex"),
            now=NOW,
            provenance_id="p",
            trace=None,
        )
    )
    (outcome,) = await there.into([ArchivedRevision(foreign, 1)], FOREIGN)
    assert isinstance(outcome, ResourceExists)


async def test_bytes_are_taken_by_the_cube_that_brings_them(places):
    here, there = places
    blob = BlobRef(uuid7(), 3, "d" * 64, "application/vnd.safetensors")
    away = replace(blob, name=uuid7())
    for place, one in ((here, blob), (there, away)):
        assert await place.store.blobs.stage(MAIN, one, most=9, quota=UNLIMITED, now=NOW)
    cube = first_revision(adapter(blob), uid=uuid7(), owner=BEN, now=NOW, provenance_id="p", trace=None)

    def create(tx):
        tx.insert(cube, vector=None)
        tx.blobs.take(blob.name, cube.uid)

    await here.store.catalog.write(create)
    (item,) = await here.out()
    (outcome,) = await there.into([item])
    assert isinstance(outcome, InvalidField)  # it names the bytes of the other installation
    moved = replace(item, cube=replace(item.cube, payload=replace(item.cube.payload, blob=away)))
    assert await there.into([moved]) == [CREATED]
    assert await there.store.blobs.find(MAIN, away.name) is None
    assert await there.into([item]) == [UNCHANGED]
    again = replace(blob, name=uuid7())
    await there.store.blobs.stage(MAIN, again, most=9, quota=UNLIMITED, now=NOW)
    moved = replace(item, cube=replace(item.cube, payload=replace(item.cube.payload, blob=again)))
    assert await there.into([moved]) == [UNCHANGED]
    assert [blob.name for blob in await there.store.blobs.held(MAIN)] == [away.name]
    gone = await here.change(revisions.deleted(cube, now=hour(2)))
    assert gone.delete_time is not None
    assert await here.out(deleted=True) == []


@pytest.mark.parametrize(
    ("field", "changed"),
    [
        ("etag", {"etag": "x"}),
        ("content_hash", {"content_hash": "0" * 64}),
        ("fingerprint", {"fingerprint": ""}),
        ("uid", {"uid": "no-uuid"}),
        ("vault", {"vault": VaultName("acme", "notes")}),
        ("access.owner", {"access": None}),
        ("revision", {"revision": 0}),
        ("update_time", {"update_time": NOW - timedelta(days=1)}),
        ("update_time", {"update_time": NOW + timedelta(days=3)}),
        ("create_time", {"create_time": None}),
        ("purge_time", {"delete_time": NOW}),
        ("purge_time", {"delete_time": NOW, "purge_time": NOW + timedelta(days=9_000)}),
        ("update_time", {"delete_time": NOW + timedelta(days=1), "purge_time": NOW + timedelta(days=31)}),
        ("usage", {"usage": Usage(-1)}),
        ("usage", {"usage": Usage(0, None, float("nan"))}),
        ("usage", {"usage": Usage(0, None, -1.0)}),
        ("usage", {"usage": Usage(0, NOW + timedelta(days=2))}),
        ("labels", {"labels": {"No Label": "x"}}),
    ],
)
async def test_what_storage_would_never_have_stored_is_refused(places, field, changed):
    _, there = places
    cube = replace(stored("one"), **changed)
    (outcome,) = await there.into([ArchivedRevision(cube, 1, (vector(1),))])
    assert isinstance(outcome, InvalidField | MissingField)
    assert field in outcome.field
    assert await there.out() == []


async def test_a_history_has_to_be_one(places):
    here, there = places
    await told_and_retold(here)
    one, two, three = [item for item in await here.out() if "in " in item.cube.text]
    broken = {
        "a gap": [one, three],
        "backwards": [one, replace(two, cube=replace(two.cube, update_time=NOW - timedelta(seconds=1)))],
        "another name": [one, replace(two, cube=replace(two.cube, name=CubeName("acme", "x")))],
        "no first text": [two, three],
        "a text between": [one, two, replace(three, content_revision=1)],
        "another size": [replace(one, vectors=(vector(1, dimensions=4), vector(1, "toy@2", 8)))],
        "two of one embedder": [replace(one, vectors=(vector(1), vector(2)))],
        "two sizes": [one, replace(two, vectors=(vector(1, dimensions=4),))],
        "not a number": [replace(one, vectors=(replace(vector(1), values=vector(1).values * np.nan),))],
    }
    await there.put(stored("x"), seed=9)
    for name, history in broken.items():
        if name == "no first text":
            history = [replace(two, content_revision=1, vectors=()), three]
        (outcome,) = await there.into(history)
        assert isinstance(outcome, InvalidField), name
    assert [item.cube.text for item in await there.out()] == ["x"]


async def test_an_import_says_what_it_cannot_take_at_once(places):
    _, there = places
    with pytest.raises(MissingField):
        await there.into([])
    with pytest.raises(LimitExceeded):
        await there.into([ArchivedRevision(stored("x"), 1)] * 1001)
    with pytest.raises(VaultNotFound):
        await there.import_(MAIN, [ArchivedRevision(stored("x"), 1)], reason="", mutation=mutation(grant(NOTES)))


async def test_bytes_of_a_cube_that_is_refused_do_not_wait(places):
    _, there = places
    blob = BlobRef(uuid7(), 3, "d" * 64, "application/vnd.safetensors")
    await there.store.blobs.stage(MAIN, blob, most=9, quota=UNLIMITED, now=NOW)
    cube = first_revision(adapter(blob), uid=uuid7(), owner=BEN, now=NOW, provenance_id="p", trace=None)
    (outcome,) = await there.into([ArchivedRevision(replace(cube, etag="x"), 1)])
    assert isinstance(outcome, InvalidField)
    assert await there.store.blobs.staged(MAIN) == 0


async def test_a_deletion_is_taken_back_with_the_text_alone(places):
    here, there = places
    cube = await here.put(stored("tea"), seed=1)
    gone = await here.change(revisions.deleted(cube, now=hour(1)))
    await there.into(await here.out(deleted=True))
    back = revisions.undeleted(gone, now=hour(2))
    out = [*(await here.out(deleted=True)), ArchivedRevision(back, 1)]
    (outcome,) = await there.into(out)
    assert isinstance(outcome, InvalidField)
    assert await there.into([*out[:-1], ArchivedRevision(back, back.revision, (vector(1),))]) == [EXTENDED]
    assert await there.searched("tea") == [cube.uid]


async def made_from(place, source, blob):
    """Store an adapter that was made from a memory."""
    await place.store.blobs.stage(MAIN, blob, most=9, quota=UNLIMITED, now=NOW)
    cube = adapter(blob, derived_from=(RevisionRef(source.name, source.revision),))
    cube = first_revision(cube, uid=uuid7(), owner=BEN, now=hour(1), provenance_id="p", trace=None)

    def create(tx):
        tx.insert(cube, vector=None)
        tx.blobs.take(blob.name, cube.uid)

    await place.store.catalog.write(create)
    return cube


async def state_of(place, cube):
    return (await place.store.catalog.get([cube.name], scope(MAIN)))[cube.name].cube.state


@pytest.fixture
async def moved(places):
    """Two installations; the second one has from the first a memory and an adapter that was made from it."""
    here, there = places
    source = await here.put(stored("tea"))
    cube = await made_from(here, source, BlobRef(uuid7(), 3, "d" * 64, "application/vnd.safetensors"))
    history = await here.out()
    away = replace(cube.blob, name=uuid7())
    await there.store.blobs.stage(MAIN, away, most=9, quota=UNLIMITED, now=NOW)
    assert await there.into([_with_bytes(item, away) for item in history]) == [CREATED, CREATED]
    return here, there, source, cube, away


def _with_bytes(item, blob):
    return replace(item, cube=item.cube.with_blob(blob)) if item.cube.blob is not None else item


async def test_a_source_that_changes_by_an_import_takes_what_was_made_from_it_out_of_use(moved):
    here, there, source, cube, away = moved
    await here.say(source, "coffee", now=hour(2))
    await here.change(revisions.moved(cube, state=State.STALE, frozen=False, now=hour(2)))
    history = [_with_bytes(item, away) for item in await here.out()]
    memory = [item for item in history if item.cube.blob is None]
    assert await there.into(memory) == [EXTENDED]
    assert await state_of(there, cube) is State.STALE
    derived = [item for item in history if item.cube.blob is not None]
    assert await there.into(derived) == [UNCHANGED]  # stale at both places, each at a time of its own
    assert await there.into(memory) == [UNCHANGED]


async def test_what_comes_back_to_a_source_that_has_changed_meanwhile_is_out_of_use(moved):
    here, there, source, _, _ = moved
    blob = BlobRef(uuid7(), 3, "e" * 64, "application/vnd.safetensors")
    there_source = (await there.store.catalog.get([source.name], scope(MAIN)))[source.name].cube
    other = await made_from(here, source, blob)
    await there.say(there_source, "coffee", now=hour(3))
    late = [item for item in await here.out() if item.cube.uid == other.uid]
    away = replace(blob, name=uuid7())
    await there.store.blobs.stage(MAIN, away, most=9, quota=UNLIMITED, now=NOW)
    assert await there.into([_with_bytes(item, away) for item in late]) == [CREATED]
    assert await state_of(there, other) is State.STALE
    assert await state_of(here, other) is State.GENERATED
