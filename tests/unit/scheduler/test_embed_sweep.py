"""Every text gets a vector of the embedder that is to be used, and when there is nothing to do nothing is done."""

from datetime import timedelta
from itertools import pairwise

import pytest

from memos_kernel.errors import DependencyUnavailable
from memos_kernel.names import PrincipalName
from memos_scheduler.domain.jobs import EMBED_SWEEP
from memos_scheduler.ports import BareText
from memos_scheduler.usecases.embed_sweep import EmbedSweep, TriggerEmbedding


class Models:
    """An embedder whose vectors are the lengths of the texts."""

    def __init__(self) -> None:
        self.to_come = "new@1"
        self.batches: list[list[str]] = []

    async def target(self):
        return self.to_come

    async def embed(self, texts, *, embedder):
        assert embedder == self.to_come
        self.batches.append(list(texts))
        return [[float(len(text))] for text in texts]


class Store:
    """Texts by (uid, revision), and those that have a vector."""

    def __init__(self, texts) -> None:
        self.texts = dict(texts)  # (uid, revision) -> (text, whether it is that of now)
        self.vectors: dict[tuple[str, int], list[float]] = {}
        self.embedder = "old@1"
        self.log: list[str] = []
        self.meanwhile = None

    async def current(self):
        return self.embedder

    async def bare(self, embedder, *, past, after, limit):
        places = sorted(place for place, (_, now) in self.texts.items() if place not in self.vectors and (now or past))
        found = [place for place in places if str(place) > after][:limit]
        last = str(found[-1]) if len(found) == limit else ""
        return [BareText(*place, self.texts[place][0]) for place in found], last

    async def put(self, embedder, vectors):
        for text, values in vectors:
            self.vectors[text.uid, text.revision] = values
        self.log.append("put")
        if self.meanwhile is not None:
            self.texts.update(self.meanwhile)
            self.meanwhile = None
        return len(vectors)

    async def adopt(self, embedder):
        self.log.append("adopt")
        self.embedder = embedder
        return True


@pytest.fixture
def job(make_job):
    return make_job(EMBED_SWEEP, principal=PrincipalName("acme", "system"), max_attempts=5)


async def test_texts_of_now_come_first_then_the_embedder_is_adopted_then_those_of_before(job):
    store = Store(
        {("a", 1): ("before", False), ("a", 2): ("now", True), ("b", 1): ("too", True), ("c", 1): ("x", True)}
    )
    models = Models()
    steps = [step async for step in EmbedSweep(embedder=models, vectors=store, batch=2).run(job)]
    assert models.batches == [["now", "too"], ["x"], ["before"]]
    assert store.log == ["put", "put", "adopt", "put"]
    assert set(store.vectors) == set(store.texts)
    assert (steps[-1].fraction, steps[-1].quiet) == (1.0, False)
    assert steps[-1].result == {"embedder": "new@1", "embedded": "4"}
    assert all(before.fraction < after.fraction for before, after in pairwise(steps))


async def test_what_is_written_behind_the_place_is_met_in_another_round(job):
    store = Store({("b", 1): ("now", True), ("c", 1): ("too", True)})
    store.meanwhile = {("a", 2): ("written meanwhile", True)}
    _ = [step async for step in EmbedSweep(embedder=Models(), vectors=store, batch=1).run(job)]
    assert set(store.vectors) == set(store.texts)
    assert store.log[-1] == "adopt"


async def test_where_nothing_is_missing_there_is_nothing_to_tell(job):
    (step,) = [step async for step in EmbedSweep(embedder=Models(), vectors=Store({}), batch=9).run(job)]
    assert (step.fraction, step.quiet) == (1.0, True)


async def test_it_is_triggered_each_time_while_the_embedder_changes_and_else_now_and_then(clock):
    store, models, triggered = Store({}), Models(), []

    async def trigger():
        triggered.append(clock.now())

    sweep = TriggerEmbedding(
        trigger=trigger, embedder=models, vectors=store, clock=clock, now_and_then=timedelta(hours=1)
    )
    for _ in range(3):
        await sweep()
        clock.pass_time(seconds=60)
    assert len(triggered) == 3
    store.embedder = models.to_come
    for _ in range(120):
        await sweep()
        clock.pass_time(seconds=60)
    assert len(triggered) == 3 + 3  # at once, soon after, and an hour later
    models.to_come = "newer@1"
    await sweep()
    assert len(triggered) == 7


async def test_an_embedder_that_is_away_triggers_nothing(clock):
    models = Models()

    async def away():
        raise DependencyUnavailable("Inference is away.", dependency="inference")

    models.target = away
    sweep = TriggerEmbedding(
        trigger=away, embedder=models, vectors=Store({}), clock=clock, now_and_then=timedelta(hours=1)
    )
    with pytest.raises(DependencyUnavailable):
        await sweep()
