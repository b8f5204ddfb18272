"""Reads of the past, over random histories, against plain lists: what was live, what it said, what is found."""

import asyncio
import tempfile
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from memos_kernel.errors import CubeNotFound, DuplicateContent
from memos_kernel.ids import uuid7
from memos_storage.adapters.memory import MemorySpans, MemoryVectorIndex
from memos_storage.domain.filters import CubeFilter
from memos_storage.usecases.change_cubes import DeleteCube, UpdateCube
from memos_storage.usecases.create_cubes import CreateCubes
from memos_storage.usecases.follow_outbox import FollowOutbox
from memos_storage.usecases.legs import DenseLeg, LexicalLeg, PendingLeg
from memos_storage.usecases.past_leg import PastLeg
from memos_storage.usecases.pending_rows import PendingRows
from memos_storage.usecases.ranking.defaults import default_ranking
from memos_storage.usecases.read_cubes import GetCubes, ListCubes
from memos_storage.usecases.read_revisions import ListRevisions
from memos_storage.usecases.resolve_paths import ResolvePaths
from memos_storage.usecases.restore_cubes import Restoration, RestoreCubes
from memos_storage.usecases.roll_back_cube import RollBackCube
from memos_storage.usecases.search_cubes import Query, SearchCubes
from memos_storage.usecases.undelete_cube import UndeleteCube
from storage_cubes import MAIN, NOW, Clock, grant, item, opened, vector, wanted
from storage_world import TOMBSTONES, find_earlier, mutation

WORDS = ("oslo", "tea", "piano", "boiler", "violin")
ALL = grant(MAIN)


def text_of(number):
    return f"note of {WORDS[number]}"


@dataclass
class Told:
    """What the oracle knows of a cube: (record time, text or None for deleted, labels), oldest first."""

    name: object
    states: list = field(default_factory=list)

    @property
    def newest(self):
        return self.states[-1]

    def at(self, moment):
        """Return (text, labels) at a moment, or None."""
        then = [state for state in self.states if state[0] <= moment]
        return (then[-1][1], then[-1][2]) if then and not then[-1][3] else None

    def say(self, now, text, labels, *, gone=False):
        """Record time never runs backwards."""
        self.states.append((max([now, *[state[0] for state in self.states]]), text, labels, gone))


class History:
    """A storage, and an oracle that is told the same."""

    def __init__(self, store):
        catalog, spans, self.clock = store.catalog, MemorySpans(), Clock()
        parts = {"catalog": catalog, "clock": self.clock}
        index, pending = MemoryVectorIndex(), PendingRows(store.outbox)
        self.create = CreateCubes(
            **parts,
            blobs=store.blobs,
            index=index,
            ids=uuid7,
            tombstones=TOMBSTONES,
            earlier=find_earlier(catalog, index, pending, {}),
        )
        self.update = UpdateCube(**parts, ids=uuid7, tombstones=TOMBSTONES)
        self.delete = DeleteCube(**parts, ids=uuid7)
        self.undelete = UndeleteCube(**parts, ids=uuid7, tombstones=TOMBSTONES)
        self.roll_back = RollBackCube(**parts, ids=uuid7, tombstones=TOMBSTONES)
        self.restore = RestoreCubes(**parts, ids=uuid7, tombstones=TOMBSTONES)
        self.history = ListRevisions(**parts)
        self.get = GetCubes(**parts, spans=spans)
        self.page = ListCubes(**parts)
        self.follow = FollowOutbox(
            outbox=store.outbox, index=index, clock=self.clock, spans=spans, batch_rows=100, lease_seconds=10
        )
        self.search = SearchCubes(
            **parts,
            dense=DenseLeg(index=index, catalog=catalog, spans=spans, doubt=str),
            pending=PendingLeg(rows=pending, catalog=catalog, spans=spans),
            lexical=LexicalLeg(index=store.lexical, spans=spans),
            current=catalog.embedder,
            past=PastLeg(catalog=catalog, lexical=store.lexical, spans=spans),
            rank=default_ranking(
                reader=store.turns, graph=store.graph, links=store.links, catalog=catalog, spans=spans
            ),
            graph=store.graph,
            resolve_paths=ResolvePaths(store.graph),
            spans=spans,
        )
        self.told = []
        self.moments = {NOW - timedelta(hours=1)}

    async def do(self, step):
        kind, which, number, shift = step
        self.clock.advance(seconds=shift)
        if kind == "add":
            await self._add(number)
        elif kind == "index":
            await self.follow()
        elif self.told:
            await getattr(self, f"_{kind}")(self.told[which % len(self.told)], number)
        self.moments |= {told.newest[0] for told in self.told}

    def _held(self, text, told=None):
        return any(other is not told and not other.newest[3] and other.newest[1] == text for other in self.told)

    async def _add(self, number):
        text = text_of(number)
        labels = {"kind": str(number % 2)}
        made = await self.create([item(text, number, labels=labels)], return_existing=False, mutation=mutation())
        (outcome,) = made.answer.outcomes
        assert outcome.created is not self._held(text)
        if outcome.created:
            told = Told(outcome.cube.name)
            told.say(self.clock.now(), text, labels)
            self.told.append(told)

    async def _change(self, told, work, text, labels, *, gone=False):
        """Do what may be refused, exactly where the oracle says so; what changes nothing makes no revision."""
        try:
            cube = await work
        except CubeNotFound:
            assert told.newest[3]
            return
        except DuplicateContent:
            assert self._held(text, told)
            return
        assert not self._held(text, told)
        if cube.revision > len(told.states):
            told.say(self.clock.now(), text, labels, gone=gone)
        assert cube.revision == len(told.states)

    async def _retell(self, told, number):
        new = wanted(text_of(number), id=told.name.id)
        work = self.update(new, mask=["plaintext.text"], vector=vector(number), mutation=mutation())
        await self._change(told, work, text_of(number), told.newest[2])

    async def _label(self, told, number):
        labels = {"kind": str(number % 2)}
        new = wanted("unused", id=told.name.id, labels=labels)
        work = self.update(new, mask=["labels"], vector=None, mutation=mutation())
        await self._change(told, work, told.newest[1], labels)

    async def _delete(self, told, number):
        work = self.delete(told.name, etag="", mutation=mutation())
        await self._change(told, work, told.newest[1], told.newest[2], gone=True)

    async def _undelete(self, told, number):
        if told.newest[3]:
            work = self.undelete(told.name, etag="", mutation=mutation())
            await self._change(told, work, told.newest[1], told.newest[2])

    async def _rollback(self, told, number):
        revision = number % len(told.states) + 1
        _, text, labels, _ = told.states[revision - 1]
        work = self.roll_back(told.name, revision=revision, etag="", vector=None, mutation=mutation())
        await self._change(told, work, text, labels)

    async def _restore(self, told, number):
        """Take the vault back to a moment, in pages of two.

        A clock that jumps back makes cubes that seem to be made later than the way back began, and moments at which two
        cubes held the same content. There something is skipped, and the oracle would have to know what.
        """
        now = self.clock.now()
        moments = sorted(moment for moment in self.moments if moment <= now)
        as_of = moments[number % len(moments)]
        texts = [then[0] for told in self.told if (then := told.at(as_of))]
        if any(told.states[0][0] > now for told in self.told) or len(set(texts)) < len(texts):
            return
        wanted = Restoration(vault=MAIN, as_of=as_of, begun=now)
        for work in (self.restore.remove, self.restore.bring_back):
            after, going = "", True
            while going:
                page = await work(wanted, after=after, limit=2, mutation=mutation())
                assert page.skipped == ()
                after, going = page.last, bool(page.last)
        for told in self.told:
            await self._take_back(told, told.at(as_of))

    async def _take_back(self, told, wanted):
        """Tell the oracle; a cube whose content another one needed first was deleted in between."""
        rows, _ = await self.history(told.name, before=None, size=99, grant=ALL)
        new = len(rows) - len(told.states)
        _, text, labels, gone = told.newest
        final = (*wanted, False) if wanted else (text, labels, True)
        assert new == 2 if new > 1 else new == int(final != (text, labels, gone))
        if new == 2:
            assert wanted
            told.say(self.clock.now(), text, labels, gone=True)
        if new:
            told.say(self.clock.now(), final[0], final[1], gone=final[2])

    async def check(self):
        """Compare every moment at which something changed, and those between them."""
        self.clock.time = max(self.moments) + timedelta(hours=1)
        between = {moment + timedelta(microseconds=number) for moment in self.moments for number in (-1, 0, 1)}
        for moment in sorted(between):
            await self._check_at(moment)
        await self._check_at(None)

    async def _check_at(self, moment):
        then = {told.name: told.at(moment or self.clock.now()) for told in self.told}
        live = {name: state for name, state in then.items() if state is not None}
        for number in (None, 0, 1):
            labels = {} if number is None else {"kind": str(number)}
            kept = {name: text for name, (text, held) in live.items() if labels.items() <= held.items()}
            await self._check_list(moment, CubeFilter(labels=labels), kept)
            await self._check_search(moment, CubeFilter(labels=labels), kept)
        if then:
            outcomes = await self.get(list(then), as_of=moment, grant=ALL)
            read = [outcome.cube and (outcome.cube.text, dict(outcome.cube.labels)) for outcome in outcomes]
            assert read == list(then.values())

    async def _check_list(self, moment, filter, expected):
        listed, after = {}, None
        while True:
            cubes, after = await self.page(MAIN, filter, as_of=moment, after=after, size=2, grant=ALL)
            listed |= {cube.name: cube.text for cube in cubes}
            if after is None:
                break
        assert listed == expected

    async def _check_search(self, moment, filter, expected):
        query = Query(text="piano", vector=vector(2), top_k=100, filter=filter, as_of=moment)
        found = await self.search(query, grant=ALL)
        assert not found.degraded
        assert {hit.cube.name: hit.cube.text for hit in found.hits} == expected
        for hit in found.hits:
            number = WORDS.index(hit.cube.text.rpartition(" ")[2])
            cosine = float(vector(number).values @ vector(2).values)
            legs = dict(hit.fused.legs)
            assert ("lexical" in legs) is (number == 2)
            legs.pop("lexical", None)
            assert all(score == pytest.approx(cosine, abs=1e-5) for score in legs.values())


STEPS = st.tuples(
    st.sampled_from(("add", "add", "retell", "label", "delete", "undelete", "rollback", "restore", "index")),
    st.integers(0, 4),
    st.integers(0, len(WORDS) - 1),
    st.sampled_from((0, 1, 60, -30)),  # the clock may stand still and jump back
)


@pytest.mark.parametrize("kind", ["memory", "sqlite"])
@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
@given(steps=st.lists(STEPS, min_size=1, max_size=14))
def test_any_moment_of_any_history_is_read_as_it_was(kind, steps):
    async def run():
        with tempfile.TemporaryDirectory() as directory:
            async with opened(kind, Path(directory)) as store:
                history = History(store)
                for step in steps:
                    await history.do(step)
                await history.check()

    asyncio.run(run())


async def test_the_same_on_postgresql(tmp_path):
    steps = [
        ("add", 0, 0, 0), ("add", 0, 1, 1), ("index", 0, 0, 0), ("retell", 0, 2, 60), ("label", 1, 0, 0),
        ("add", 0, 3, -30), ("rollback", 0, 0, 1), ("delete", 1, 0, 60), ("retell", 2, 4, 0), ("index", 0, 0, 1),
        ("undelete", 1, 0, 1), ("rollback", 2, 0, -30), ("delete", 0, 0, 60),
        ("restore", 0, 3, 60), ("restore", 0, 1, 1),
    ]  # fmt: skip
    async with opened("postgresql", tmp_path) as store:
        history = History(store)
        for step in steps:
            await history.do(step)
        await history.check()
