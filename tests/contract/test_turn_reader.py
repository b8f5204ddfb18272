"""What every TurnReader does."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from memos_kernel.token_codes import pack_tokens, rotation, to_bytes
from memos_storage.domain.pool import NOBODY, STEPS
from memos_storage.domain.revisions import next_revision
from memos_storage.domain.turns import Mark, Role
from memos_storage.domain.values import PointId, Vector
from storage_cubes import DIMENSIONS, EMBEDDER, MAIN, NOTES, NOW, said, stored, vector


async def put(store, *cubes):
    await store.catalog.write(lambda tx: [tx.insert(cube, vector=None) for cube in cubes])


def turn(text, minute=0, *, speaker="Nora", session="s1", vault=MAIN):
    return stored(text, vault, sources=(said(speaker, session=session, at=NOW + timedelta(minutes=minute)),))


def uids_around(seen, row):
    return [seen.uids[place] if place != NOBODY else "" for place in seen.around[row]]


async def around(store, cube, query="x"):
    """Return the uids around a cube by step."""
    seen = await store.turns.turns([cube.uid], query)
    (row,) = [place for place, uid in enumerate(seen.uids) if uid == cube.uid]
    places = zip(STEPS, seen.around[row].tolist(), strict=True)
    return {step: seen.uids[place] for step, place in places if place != NOBODY}


async def test_a_text_is_told_with_all_that_ranking_asks(store):
    cube = turn("I have painted the old bridge since May. Have you?", speaker="  Nora  Lind ")
    await put(store, cube, turn("A bridge of bridges.", 1))
    seen = await store.turns.turns([cube.uid], "Which bridge did Nora paint, the bridge of Prague?")
    (row,) = [place for place, uid in enumerate(seen.uids) if uid == cube.uid]
    assert (seen.sessions[row], seen.speakers[row]) == ("s1", "nora lind")
    assert seen.times[row] == NOW.timestamp() * 1e6
    assert Mark(int(seen.marks[row])) == Mark.ASKS | Mark.FIRST_PERSON | Mark.TELLS_TIME
    assert Role(int(seen.roles[row])) is Role.OTHER
    assert seen.lengths[row] == len(["painted", "old", "bridge", "since", "may", "nora", "lind"])
    assert seen.counts[row].tolist() == [1, 1, 1, 0]  # bridge, Nora, paint, Prague
    (words,) = seen.statistics.values()
    assert words.average_length == (7 + 3) / 2
    bridge, _, _, prague = words.idf
    assert 0 < bridge < prague


async def test_words_of_the_query_lead_to_their_terms(store):
    cube = turn("The bridge.")
    await put(store, cube)
    seen = await store.turns.turns([cube.uid], "the painted bridges", words=["the", "painted", "bridges", "##s"])
    assert seen.asked.words == ((), (0,), (1,), ())


async def test_the_turns_around_a_text_are_in_the_order_of_their_times(store):
    late, early, middle, last, first = (turn(f"number {number}", number) for number in (4, 2, 3, 5, 1))
    for cube in (late, early, middle, last, first):
        await put(store, cube)
    assert await around(store, middle) == {-2: first.uid, -1: early.uid, 1: late.uid, 2: last.uid}
    assert await around(store, last) == {-2: middle.uid, -1: late.uid}


async def test_turns_of_one_moment_are_in_the_order_in_which_they_came(store):
    cubes = [turn(f"number {number}") for number in range(5)]
    await store.catalog.write(
        lambda tx: (tx.claim(cubes[::-1]), [tx.insert(cube, vector=None) for cube in cubes[::-1]])
    )
    assert await around(store, cubes[2]) == {
        -2: cubes[0].uid,
        -1: cubes[1].uid,
        1: cubes[3].uid,
        2: cubes[4].uid,
    }


async def test_other_conversations_and_vaults_and_texts_without_one_are_not_around(store):
    cube = turn("here", 1)
    await put(
        store,
        turn("elsewhere", 0, session="s2"),
        turn("another vault", 0, vault=NOTES),
        cube,
        stored("no conversation"),
        turn("nobody said it where", 2, session=""),
    )
    assert await around(store, cube) == {}


async def test_who_follows_a_deleted_turn_follows_the_one_before_it(store):
    cubes = [turn(f"number {number}", number) for number in range(4)]
    await put(store, *cubes)
    later = NOW + timedelta(hours=1)
    gone = replace(next_revision(cubes[1], now=later), delete_time=later)
    await store.catalog.write(lambda tx: tx.replace(gone))
    assert await around(store, cubes[2]) == {-1: cubes[0].uid, 1: cubes[3].uid}
    assert not (await store.turns.turns([cubes[1].uid], "x")).uids
    back = replace(next_revision(gone, now=NOW + timedelta(hours=2)), delete_time=None)
    await store.catalog.write(lambda tx: tx.replace(back, content=True))
    assert await around(store, cubes[2]) == {-2: cubes[0].uid, -1: cubes[1].uid, 1: cubes[3].uid}


async def test_those_around_a_text_are_around_each_other(store):
    cubes = [turn(f"number {number}", number) for number in range(9)]
    await put(store, *cubes)
    seen = await store.turns.turns([cubes[2].uid, cubes[7].uid], "number")
    found = {uid: uids_around(seen, row) for row, uid in enumerate(seen.uids)}
    names = ["", *(cube.uid for cube in cubes)]  # number 0 is the second of these
    assert found[cubes[2].uid] == [names[1], names[2], names[4], names[5]]
    assert found[cubes[3].uid] == [names[2], names[3], names[5], ""]  # the two readings do not meet
    assert found[cubes[0].uid] == ["", "", names[2], names[3]]
    assert found[cubes[8].uid] == [names[7], names[8], "", ""]


async def test_nothing_asked_and_nothing_there_is_nothing(store):
    for uids in ([], ["0190-nowhere"]):
        seen = await store.turns.turns(uids, "the")
        assert (list(seen.uids), seen.counts.shape, seen.around.shape) == ([], (0, 0), (0, len(STEPS)))


def coded(seed):
    """Return a vector with the codes of three tokens."""
    drawn = np.random.default_rng(seed).standard_normal((3, DIMENSIONS)).astype(np.float32)
    codes = pack_tokens(drawn / np.linalg.norm(drawn, axis=1, keepdims=True) @ rotation(DIMENSIONS))
    return Vector(EMBEDDER, vector(seed).values, to_bytes(codes, DIMENSIONS))


async def test_codes_of_tokens_are_those_of_the_text_of_now(store):
    first, second = coded(1), coded(2)
    cube, bare = turn("before"), turn("without", 1)
    await store.catalog.write(lambda tx: (tx.insert(cube, vector=first), tx.insert(bare, vector=vector(3))))
    uids = [cube.uid, bare.uid]
    assert await store.turns.tokens(uids, EMBEDDER) == {cube.uid: first.tokens}
    assert await store.turns.tokens(uids, "other") == {}
    newer = next_revision(cube, now=NOW + timedelta(hours=1))
    await store.catalog.write(lambda tx: tx.replace(newer, vector=second, content=True))
    assert await store.turns.tokens(uids, EMBEDDER) == {cube.uid: second.tokens}
    assert await store.catalog.write(lambda tx: tx.vector(cube.uid, 1).tokens) == first.tokens


@pytest.mark.parametrize("tokens", [None, b""])
async def test_codes_that_are_missing_are_added_once(store, tokens):
    cube = turn("said")
    held = Vector(EMBEDDER, vector(1).values, tokens)
    await store.catalog.write(lambda tx: tx.insert(cube, vector=held))
    wanted = await store.bare.page("acme", EMBEDDER, past=False, after=None, limit=10)
    assert [text.stored.cube.uid for text in wanted] == ([cube.uid] if tokens is None else [])
    assert not await store.bare.any(EMBEDDER)

    def add(tx):
        return tx.add_vector("acme", PointId(cube.uid, cube.revision), coded(1), now=NOW)

    assert await store.catalog.write(add) is (tokens is None)
    assert await store.catalog.write(add) is False
    assert (await store.turns.tokens([cube.uid], EMBEDDER) == {cube.uid: coded(1).tokens}) is (tokens is None)
    assert not await store.bare.page("acme", EMBEDDER, past=False, after=None, limit=10)
