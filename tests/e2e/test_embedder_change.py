"""Another embedder takes the place of the present one while people search and write."""

import asyncio
import os
import random
import time
from collections import Counter
from datetime import UTC, datetime

import pytest

from encoders import write_smaller_minilm
from memos_client import MemosError, NewMemory

CUBES = int(os.environ.get("MEMOS_TEST_EMBEDDER_CUBES", "400"))
"""Memories that get a vector of the new embedder; `MEMOS_TEST_EMBEDDER_CUBES=10000` for many."""

TIE = 1e-3
"""Scores that differ by less are those of vectors that were computed in other batches."""

VAULT = "tenants/local/vaults/main"
SETTINGS = {"MEMOS_SCHEDULER__SWEEP_SECONDS": "1"}
PEOPLE = ("Nora", "Ben", "Olga", "Tariq", "Mei")
THINGS = ("violin", "bicycle", "teapot", "orchard", "telescope", "harbour", "recipe", "passport")
DEEDS = ("lost", "painted", "repaired", "sold", "inherited", "photographed", "described", "bought")


def facts(count: int) -> list[str]:
    rng = random.Random(3)
    return [
        f"{rng.choice(PEOPLE)} {rng.choice(DEEDS)} the {rng.choice(THINGS)} number {number} in {1950 + number % 70}."
        for number in range(count)
    ]


def questions(count: int) -> list[str]:
    rng = random.Random(4)
    return [f"who {rng.choice(DEEDS)} a {rng.choice(THINGS)}, {rng.choice(PEOPLE)}?" for _ in range(count)]


async def load(client, texts):
    async for answer in client.import_memories(VAULT, [NewMemory(text=text) for text in texts]):
        assert all(result.error is None for result in answer.results)


async def embedder_of(client) -> str:
    """Return the embedder that texts and queries are embedded with."""
    (answer,) = [answer async for answer in client.import_memories(VAULT, [])]
    return answer.embedder


async def found(client, question, **options) -> list[str]:
    answer = await client.search(question, vaults=[VAULT], top_k=10, **options)
    return [hit.cube.text for hit in answer.hits]


async def scores(client, question) -> dict[str, float]:
    """Return a hundred texts with their scores, best first, once no leg of the search is missing."""
    async with asyncio.timeout(120):
        while (answer := await client.search(question, vaults=[VAULT], top_k=100)).degraded:
            await asyncio.sleep(0.5)
    return {hit.cube.text: hit.score for hit in answer.hits}


def recall(told: dict[str, float], expected: dict[str, float]) -> float:
    """Return the share of the ten best that are among the ten best, or as good as the last of these."""
    last = sorted(expected.values(), reverse=True)[9]
    return sum(expected.get(text, 0.0) >= last - TIE for text in list(told)[:10]) / 10


async def searching(client, stop, seen, degraded):
    """Search without a pause, and write down what came of it, and when an answer was degraded."""
    for question in questions(100_000):
        if stop.is_set():
            return
        try:
            answer = await client.search(question, vaults=[VAULT], top_k=10)
        except MemosError as error:
            seen[f"failed: {error.reason}"] += 1
            continue
        seen["searches"] += 1
        seen["empty"] += not answer.hits
        seen["degraded"] += answer.degraded
        if answer.degraded:
            degraded.append(time.monotonic())
        dense = next(leg for leg in answer.legs if leg.name == "dense")
        seen["without dense leg"] += not dense.ran


async def writing(client, stop):
    """Write now and then, and search for it at once; return how much was written, and how often it was not found.

    What is written in the seconds around the change may have no vector of the embedder that the search goes by: it is
    found by its words then, behind what is much alike and has one.
    """
    number = missed = 0
    while not stop.is_set():
        text = f"Walrus {number} sleeps on ice floe {number * 31}."
        await client.add(VAULT, [text])
        missed += text not in await found(client, f"where does walrus {number} sleep?")
        number += 1
        await asyncio.sleep(0.3)
    return number, missed


@pytest.fixture
def smaller(tmp_path):
    return str(write_smaller_minilm(tmp_path / "smaller"))


async def test_searches_are_answered_throughout_and_go_by_the_new_embedder_afterwards(
    launch, tmp_path, smaller, record_property
):
    texts = facts(CUBES)
    system = launch(tmp_path / "state", env=SETTINGS)
    async with system.client() as client:
        await load(client, texts)
        old = await embedder_of(client)
        changed = (await client.search(texts[0], vaults=[VAULT], top_k=1)).hits[0].cube
        before = datetime.now(UTC)
        await client.update(changed.name, text="Something else entirely, about a lighthouse.")
    system.stop()
    system = launch(tmp_path / "state", env={**SETTINGS, "MEMOS_INFERENCE__NEXT_EMBEDDER": smaller})
    async with system.client() as client:
        stop, seen, degraded = asyncio.Event(), Counter(), []
        load_of_searches = [asyncio.create_task(searching(client, stop, seen, degraded)) for _ in range(4)]
        writer = asyncio.create_task(writing(client, stop))
        async with asyncio.timeout(60 + CUBES / 10):
            while (new := await embedder_of(client)) == old:
                await asyncio.sleep(0.5)
        await asyncio.sleep(12)  # what goes by the old one by memory has asked again by now
        stop.set()
        await asyncio.gather(*load_of_searches)
        written, missed = await writer
        for name, count in seen.items():
            record_property(name, count)
        record_property("written", written)
        record_property("written, not found at once", missed)
        assert missed <= 2 + written / 100
        assert new.startswith("smaller@")
        assert seen["searches"] > 100
        assert {name: count for name, count in seen.items() if name.startswith("failed")} == {}
        assert (seen["empty"], seen["without dense leg"]) == (0, 0)
        # who embeds queries asks again after 5 s by which embedder, and so does storage
        assert not degraded or degraded[-1] - degraded[0] < 12
        async with system.caller() as caller:
            await system.settled(caller)
        answer = await client.search(questions(1)[0], vaults=[VAULT], as_of=before)
        past = next(leg for leg in answer.legs if leg.name == "past")
        assert (past.ran, past.reason) == (True, "")
        # in the order in which they came, for among many equal scores the older cube is first
        everything = [(await client.get(cube.name)).text async for cube in client.list(VAULT)][::-1]
        told = {question: await scores(client, question) for question in questions(60)}
    system.stop()
    fresh = launch(tmp_path / "fresh", env={**SETTINGS, "MEMOS_INFERENCE__EMBEDDER": smaller})
    async with fresh.client() as client:
        await load(client, everything)
        assert await embedder_of(client) == new
        async with fresh.caller() as caller:
            await fresh.settled(caller)
        recalls = [recall(told[question], await scores(client, question)) for question in told]
    fresh.stop()
    record_property("recall", sum(recalls) / len(recalls))
    assert sum(recalls) / len(recalls) > 0.99
    system = launch(tmp_path / "state", env=SETTINGS)  # back to the first one, at once: the words find until it is done
    async with system.client() as client:
        answer = await client.search(questions(1)[0], vaults=[VAULT])
        assert answer.hits
        async with asyncio.timeout(60 + CUBES / 10):
            while (answer := await client.search(questions(1)[0], vaults=[VAULT])).degraded:
                assert answer.hits
                await asyncio.sleep(0.5)
        assert await embedder_of(client) == old
